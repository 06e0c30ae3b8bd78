"""Networks of timm and torchvision made lean: is the result the same, and how much does it keep?

    python benchmarks/zoo.py run [NAME ...] [--out FILE]
    python benchmarks/zoo.py table [--page]

Needs timm and torchvision beside PyTorch; random weights, statistics of batch norms drawn, too.
Each network runs forward and backward on two images, as PyTorch has it and frozen with an
example of one image. Goes on where it was broken off: networks that have a row are left out.
Writes `results/zoo.jsonl`; `table` prints what is there, and with `--page` writes `docs/ZOO.md` and
its picture.
"""

import argparse
import hashlib
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from result_rows import RESULTS, ROOT, append_row, latest, read_rows, surroundings
from torch import Tensor, nn

from addapt import DA3, AddaptError, Backbone, attach, audit, freeze
from addapt.engines.torch.backbones.vision_libraries import import_library
from addapt.engines.torch.memory import kept_bytes

FILE = RESULTS / "zoo.jsonl"
PAGE = ROOT / "docs" / "ZOO.md"
PICTURE = ROOT / "docs" / "zoo.png"
HEAD = """\
# Networks of timm and torchvision, frozen

What autograd keeps of one forward pass of a network made by
`addapt.freeze(network, example=image)`, as a share of what it keeps of the plain network with all
weights trained: exactly, and with `codes="8bit"`. *Blocks* is how many `addapt.Backbone.of` finds.
Random weights, {batch} images of the side *px*, in float32; outputs and input gradients are
compared with the plain network's, and agree to {output} and {gradient}, or in float64 to {exact}.
What most is kept for is a share with codes. [OWN_NETWORKS.md](OWN_NETWORKS.md) tells which layers
keep what, and why.

{counts}

![What a frozen network keeps against what PyTorch keeps of it]({picture})

Kept bytes of each network: as PyTorch has it and frozen, and a step of DA³. Lines are shares.

{table}

Made of [zoo.jsonl](../benchmarks/results/zoo.jsonl) by `python benchmarks/zoo.py table --page`, a
row each by `python benchmarks/zoo.py run NAME`.
"""
LARGER = {  # than 64 px, on which they cannot compute
    "timm:bat_resnext26ts": 256,
    "timm:halonet26t": 256,
    "timm:inception_v3": 96,
    "timm:inception_v4": 96,
    "torchvision:inception_v3": 96,
}
BATCH, PX, MOST_PX = 2, 64, 288
LEAN, MIDDLING = 0.06, 0.3
OUTPUT_ERROR, GRADIENT_ERROR = 1e-5, 1e-4  # in float32; in float64 1e-9
EXACT = 1e-9
CLASSES = 1000
SHARES = (1.0, MIDDLING, LEAN, 0.01)  # lines of the picture
SERIES = (  # of the picture: what a row holds, its words, its colour and mark
    ("kept_bytes", "frozen, exact", "tab:gray", "o"),
    ("kept_bytes_8bit", 'frozen, codes="8bit"', "tab:blue", "o"),
    ("da3_kept_bytes", "a step of DA³, exact", "tab:red", "x"),
)
FALL = 1e-4  # by how much a small step along the gradient should lower the loss
TORCHVISION = (
    *("alexnet", "vgg11_bn", "squeezenet1_1", "googlenet", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x1_0", "densenet121"),
    *("efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "resnet18"),
    *("resnet50", "resnext50_32x4d", "wide_resnet50_2", "convnext_tiny", "inception_v3"),
)
TIMM = (
    *("resnet10t", "resnet18", "resnet26d", "resnet50", "seresnet50", "ecaresnet26t", "skresnet18"),
    *("res2net50_14w_8s", "resnest14d", "resnetv2_50", "resnetv2_50x1_bit", "resnetblur50"),
    *("resnetrs50", "resnet50_gn", "seresnext26t_32x4d", "regnetx_002", "regnetx_004"),
    *("regnety_002", "regnetz_b16", "gernet_s", "repvgg_a0", "mobileone_s0", "eca_resnext26ts"),
    *("eca_botnext26ts_256", "lambda_resnet26t", "halonet26t", "bat_resnext26ts", "gcresnext26ts"),
    *(
        "densenet121",
        "dla34",
        "dla46x_c",
        "dpn68b",
        "vovnet39a",
        "ese_vovnet19b_dw",
        "hrnet_w18_small",
    ),
    *("hgnet_tiny", "hgnetv2_b0", "cspresnet50", "cs3darknet_s", "darknet53", "selecsls42b"),
    *("tresnet_m", "legacy_xception", "xception41", "inception_v3", "inception_v4", "nf_resnet50"),
    *("dm_nfnet_f0", "eca_nfnet_l0", "rexnet_100", "ghostnet_100", "ghostnetv2_100"),
    *("repghostnet_100", "mobilenetv2_100", "mobilenetv3_small_050", "mobilenetv3_large_100"),
    *("tf_mobilenetv3_small_100", "mobilenetv4_conv_small", "mobilenetv4_hybrid_medium"),
    *("lcnet_050", "fbnetc_100", "fbnetv3_b", "hardcorenas_a", "mnasnet_small", "spnasnet_100"),
    *("semnasnet_075", "tinynet_e", "mixnet_s", "efficientnet_b0", "efficientnet_b0_gn"),
    *("efficientnet_es", "efficientnet_lite0", "tf_efficientnet_lite0", "tf_efficientnet_b0"),
    *("tf_efficientnetv2_b0", "efficientnetv2_rw_t", "gc_efficientnetv2_rw_t", "convnext_atto"),
    *("convnextv2_atto", "convnext_atto_ols", "inception_next_atto", "convmixer_768_32"),
    *("fasternet_t0", "starnet_s1", "edgenext_xx_small", "repvit_m0_9", "mambaout_femto"),
    *(
        "fastvit_t8",
        "efficientvit_b0",
        "efficientformerv2_s0",
        "poolformer_s12",
        "focalnet_tiny_srf",
    ),
    *("levit_conv_128s", "mobilevit_xxs", "mobilevitv2_050", "coatnet_nano_rw_224"),
    *("vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"),
    *("tiny_vit_5m_224", "mixer_s32_224"),
)

Row = dict[str, Any]


def names() -> list[str]:
    return [*(f"timm:{name}" for name in TIMM), *(f"torchvision:{name}" for name in TORCHVISION)]


def build(name: str) -> nn.Module:
    """Make a network of a library with random weights, and statistics that do something."""
    library, _, model = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        network: nn.Module = import_library("timm").create_model(model)
    else:
        options = {"init_weights": True} if model in ("googlenet", "inception_v3") else {}
        network = import_library("torchvision").models.get_model(model, **options)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
        weight = getattr(layer, "weight", None)
        if isinstance(weight, nn.Parameter) and not weight.any():  # or what it scales is not seen
            nn.init.uniform_(weight, *((0.5, 1.5) if weight.ndim == 1 else (-0.1, 0.1)))
    return network.eval().requires_grad_(True)


def side_of(network: nn.Module) -> int:
    """Return the side of an image: small, or the one that the network insists on."""
    given = getattr(network, "default_cfg", {})
    fixed = given.get("fixed_input_size") or not hasattr(network, "default_cfg")
    px = int(given.get("input_size", (3, 96, 96))[1])
    return min(px, MOST_PX) if fixed else PX


def step(network: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return output, and the input's gradient for a random cotangent."""
    x = x.clone().requires_grad_()
    y = network(x)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(y, x, cotangent.to(y.dtype))
    return y.detach(), gradient


def error_of(value: Tensor, reference: Tensor) -> float:
    return float((value - reference).norm() / reference.norm())


def make_row(name: str) -> Row:
    row: Row = {"name": name}
    try:
        network = build(name)
        px = row["px"] = LARGER.get(name, side_of(network))
        x = torch.randn(BATCH, 3, px, px, generator=torch.Generator().manual_seed(0))
        expected = step(network, x)
        tensors = [*network.parameters(), *network.buffers()]
        row["eager_bytes"] = kept_bytes(lambda: network(x.requires_grad_()), tensors)
    except Exception as error:  # foreign code: what cannot be run plainly is not ours to freeze
        return row | {"failed": f"{type(error).__name__}: {error}".split("\n", 1)[0]}
    try:
        frozen = freeze(network, example=x[:1])
    except AddaptError as error:
        return row | {"refused": str(error)}
    try:
        row["errors"] = errors = [
            error_of(*pair) for pair in zip(step(frozen, x), expected, strict=True)
        ]
        if errors[0] > OUTPUT_ERROR or errors[1] > GRADIENT_ERROR:
            network, x = network.double(), x.detach().double()
            frozen = freeze(network, example=x[:1])  # its folded weights are of 64 bits, too
            twice = zip(step(frozen, x), step(network, x), strict=True)
            row["errors_float64"] = [error_of(*pair) for pair in twice]
            frozen, network, x = frozen.float(), network.float(), x.float()
        row["kept_bytes"] = kept_of(frozen, x)
        coded = freeze(network, example=x[:1], codes="8bit")
        row["kept_bytes_8bit"] = kept_of(coded, x)
        row["most_kept"] = most_kept(coded, x, row["eager_bytes"])
    except Exception as error:
        row["wrong"] = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    try:
        row |= cut_row(name, network, x.detach())
    except AddaptError as error:
        row["uncut"] = str(error)
    except Exception as error:
        row["wrong"] = f"Backbone.of: {type(error).__name__}: {error}".split("\n", 1)[0]
    return row


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    """Return the loss of a batch of one class: random networks hardly tell two images apart."""
    return nn.functional.cross_entropy(model(x), torch.zeros(BATCH, dtype=torch.int64))


def cut_row(name: str, network: nn.Module, x: Tensor) -> Row:
    """Cut a network into blocks, compare with it frozen, and make a small step of DA3."""
    backbone = Backbone.of(network, x[:1], name=name)
    linears = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if linears and backbone.info.features != CLASSES:
        network.set_submodule(linears[-1], nn.Identity())
    features = freeze(network, example=x[:1])
    with torch.no_grad():
        same = torch.equal(backbone(x), features(x))
    model = attach(backbone, DA3(), 2).train()
    torch.manual_seed(0)
    # Random, or else nothing but the head would have a gradient.
    nn.init.normal_(model.head.weight, std=float(backbone(x[:1]).norm()) ** -1)
    before, gradients = loss_of(model, x), {}
    before.backward()  # type: ignore[no-untyped-call]
    slope = 0.0
    for parameter in model.domain_parameters():
        if parameter.grad is not None:
            gradients[parameter] = parameter.grad.double()
            slope += float(gradients[parameter].square().sum())
    with torch.no_grad():
        for parameter, gradient in gradients.items():
            parameter.sub_((FALL * before.item() / slope * gradient).to(parameter.dtype))
        after = loss_of(model, x)
    return {
        "blocks": len(backbone.blocks),
        "gated_blocks": sum(block.identity_shortcut for block in backbone.info.blocks),
        "same_features": same,
        "loss": before.item(),
        "fell_of_foretold": (before - after).item() / (FALL * before.item()),
        "da3_kept_bytes": kept_of(model, x),
    }


def kept_of(network: nn.Module, x: Tensor) -> int:
    tensors = [*network.parameters(), *network.buffers()]
    x = x.detach().requires_grad_()
    return kept_bytes(lambda: network(x), tensors)


def most_kept(network: nn.Module, x: Tensor, eager_bytes: int) -> list[tuple[str, str, float]]:
    """Return what keeps most in a network with codes, as shares of what PyTorch keeps."""
    shares: dict[tuple[str, str], int] = {}
    for audited in audit(network, x.detach()):
        key = audited.kind, audited.reason.split(" (")[0]
        shares[key] = shares.get(key, 0) + audited.kept_bytes
    most = sorted(shares.items(), key=lambda item: -item[1])[:3]
    return [(*key, round(kept / eager_bytes, 4)) for key, kept in most if kept]


def is_right(row: Row) -> bool:
    """Say whether a frozen network computes the same, and has the same gradient."""
    if "wrong" in row or "errors" not in row:
        return False
    if "errors_float64" in row:
        return bool(max(row["errors_float64"]) <= EXACT)
    return not any(map(math.isnan, row["errors"]))  # as of an output of zeros


def foretold(row: Row) -> bool:
    """Say whether the loss fell as the gradient foretells, to a fifth."""
    return bool(0.8 < row["fell_of_foretold"] < 1.2)


def table(rows: list[Row]) -> str:
    lines = [
        "| network | px | kept, % | with codes, % | blocks | what it keeps |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        if "kept_bytes_8bit" not in row:
            why = row.get("refused") or row.get("failed") or row.get("wrong", "")
            lines.append(f"| {row['name']} | {row.get('px', '')} | – | – | – | {why[:150]} |")
            continue
        kept, coded = (100 * row[k] / row["eager_bytes"] for k in ("kept_bytes", "kept_bytes_8bit"))
        most = ", ".join(f"{kind} {100 * share:.1f}" for kind, _, share in row["most_kept"][:2])
        cuts = row.get("blocks", "–")
        mark = "" if is_right(row) else "differs: "
        lines.append(
            f"| {row['name']} | {row['px']} | {kept:.1f} | {coded:.1f} | {cuts} | {mark}{most} |"
        )
    return "\n".join(lines)


def counts(rows: list[Row]) -> str:
    """Say in words how many networks are how lean."""
    ran = [row for row in rows if "failed" not in row]
    right = [row for row in ran if is_right(row)]
    cut = [row for row in right if "blocks" in row]
    stepped = [row for row in cut if "fell_of_foretold" in row]

    def below(share: float, key: str) -> int:
        return sum(row[key] < share * row["eager_bytes"] for row in right)

    return (
        f"Of {len(names())} networks {len(ran)} have been run: "
        f"{sum('refused' in row for row in ran)} were refused, {len(right)} compute the same, "
        f"{sum('errors' in row for row in ran) - len(right)} but for rounding that it amplifies. "
        f"Of these {below(LEAN, 'kept_bytes')} keep less than {LEAN:.0%} "
        f"({below(LEAN, 'kept_bytes_8bit')} with codes), "
        f"and {below(MIDDLING, 'kept_bytes')} less than {MIDDLING:.0%} "
        f"({below(MIDDLING, 'kept_bytes_8bit')} with codes). {len(cut)} are cut into blocks by "
        f"themselves; the features of {sum(row['same_features'] for row in cut)} are the frozen "
        f"network's to the bit. With {len(stepped)} of them a small step of DA³ was made: the loss "
        f"fell by what the gradient foretells, to a fifth, in {sum(map(foretold, stepped))}."
    )


def page(rows: list[Row]) -> str:
    return HEAD.format(
        batch=BATCH,
        output=f"{OUTPUT_ERROR:.0e}",
        gradient=f"{GRADIENT_ERROR:.0e}",
        exact=f"{EXACT:.0e}",
        counts=counts(rows),
        picture=PICTURE.name,
        table=table(rows),
    )


def points(rows: list[Row]) -> dict[str, list[tuple[int, int]]]:
    """Return what PyTorch keeps of each network, and what each series of the picture keeps."""
    return {
        key: [(row["eager_bytes"], row[key]) for row in rows if row.get(key)]
        for key, _, _, _ in SERIES
    }


def mark(found: dict[str, list[tuple[int, int]]]) -> str:
    """Return what the picture's file says of the points that are drawn in it."""
    return hashlib.sha256(repr(found).encode()).hexdigest()


def draw(found: dict[str, list[tuple[int, int]]], path: Path) -> None:
    """Draw what is kept of a frozen network against what PyTorch keeps of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for key, words, color, marker in SERIES:
        x, y = zip(*((a / 1e6, b / 1e6) for a, b in found[key]), strict=True)
        axes.plot(x, y, marker, color=color, markersize=5, alpha=0.7, label=words)
    eager = [x / 1e6 for x, _ in found[SERIES[0][0]]]
    ends = min(eager) / 1.3, max(eager) * 1.3
    for share in SHARES:
        axes.plot(ends, [share * end for end in ends], color="0.7", linewidth=0.8, zorder=0)
        axes.annotate(f"{share:.0%}", (ends[1], share * ends[1]), color="0.4", va="center")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"kept by PyTorch with all weights trained, MB ({BATCH} images)")
    axes.set_ylabel("kept here, MB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=150, metadata={"Description": mark(found)})


def rows_of(file: Path) -> list[Row]:
    """Return the last row of each network that has one, in the order of the lists."""
    there = latest(read_rows(file), "name")
    return [there[name,] for name in names() if (name,) in there]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("name", nargs="*", help="as timm:resnet18 or torchvision:resnet18")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    unknown = sorted({*arguments.name} - {*names()})
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; see `names` in this file")
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    there = latest(read_rows(arguments.out), "name")
    if arguments.action == "run":
        for name in arguments.name or [name for name in names() if (name,) not in there]:
            row = make_row(name) | surroundings(f"python benchmarks/zoo.py run {name}")
            append_row(arguments.out, row)
            print(table([row]).splitlines()[-1], flush=True)
    rows = rows_of(arguments.out)
    if arguments.page:
        PAGE.write_text(page(rows), encoding="utf-8")
        draw(points(rows), PICTURE)
    elif arguments.action == "table":
        print(table(rows))
    print(counts(rows))


if __name__ == "__main__":
    main()

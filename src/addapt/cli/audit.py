"""`addapt audit`: what a backbone, or a method on it, keeps for backward, and why."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table, say

if TYPE_CHECKING:
    from addapt.engines.torch.freezing import AuditRow


def audit(
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    image_px: options.ImagePx = None,
    batch: Annotated[int, typer.Option(min=1, help="Images in memory at once.")] = 1,
    method: Annotated[
        str | None,
        typer.Option(help="Audit a training step of this method; see `addapt methods`."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Audit the network as PyTorch would run it.")
    ] = False,
    codes: Annotated[
        str | None,
        typer.Option(help='"8bit": smooth activations keep codes of 1 byte; by default exact.'),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List layers that keep nothing, too.")
    ] = False,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Say what a backbone keeps for backward, layer by layer, and why; or a method on it."""
    with command(as_json=as_json, debug=debug, threads=threads):
        if plain and codes is not None:
            raise OptionError("--codes is for the frozen network: leave out --plain or --codes.")
        if method is not None:
            if plain or codes is not None or every or weights is not None:
                raise OptionError(
                    "--method audits a method's own step, whatever the weights: leave out --plain, "
                    "--codes, --all and --weights."
                )
            _audit_method(backbone, method, image_px, batch, as_json=as_json)
            return
        import torch

        from addapt.engines.torch.backbones import load_backbone
        from addapt.engines.torch.freezing import audit as audit_network
        from addapt.engines.torch.freezing import freeze

        network = load_backbone(backbone, weights, plain=True)
        px = image_px or network.info.input.px
        # What is kept depends on shapes alone: nothing needs to be computed, or to fit in memory.
        example = torch.empty(batch, 3, px, px, device="meta")
        network.to("meta")
        plain_rows = audit_network(network, example)
        frozen = freeze(network, codes=codes, consume=True)  # type: ignore[arg-type]  # it checks
        frozen_rows = audit_network(frozen, example)
        rows = plain_rows if plain else frozen_rows
        rows = tuple(row for row in rows if every or row.kept_bytes)
        plain_bytes, frozen_bytes = _sum_bytes(plain_rows), _sum_bytes(frozen_rows)
        if as_json:
            fields = {
                "backbone": backbone,
                "image_px": px,
                "batch": batch,
                "rows": [dataclasses.asdict(row) for row in rows],
                "frozen_kept_bytes": frozen_bytes,
                "plain_kept_bytes": plain_bytes,
            }
            print_json(fields)
            return
        _print_rows(rows)
        say(
            f"For a batch of {batch} at {px} px {backbone} keeps {frozen_bytes / 1e6:.2f} MB for "
            f"backward; in plain PyTorch the same network keeps {plain_bytes / 1e6:.2f} MB."
        )


def _audit_method(
    backbone: str, name: str, image_px: int | None, batch: int, *, as_json: bool
) -> None:
    from addapt.engines.torch.backbones.registry import unfilled_backbone
    from addapt.engines.torch.memory import audit_method
    from addapt.engines.torch.methods import build_method

    method = build_method(name)
    px = image_px or unfilled_backbone(backbone).info.input.px
    rows = audit_method(backbone, method, image_px=px, batch=batch)
    kept_bytes = _sum_bytes(rows)
    if as_json:
        fields = {
            "backbone": backbone,
            "method": name,
            "image_px": px,
            "batch": batch,
            "rows": [dataclasses.asdict(row) for row in rows],
            "kept_bytes": kept_bytes,
            "why": method.why_kept,
        }
        print_json(fields)
        return
    _print_rows(rows)
    say(
        f"For a batch of {batch} at {px} px {name} on {backbone} keeps {kept_bytes / 1e6:.2f} MB "
        f"for backward. {method.why_kept}"
    )


def _print_rows(rows: "tuple[AuditRow, ...]") -> None:
    table = make_table(None, "layer", "kind", ">kept, kB", "why", "remedy")
    for row in rows:
        kept_kb = f"{row.kept_bytes / 1e3:.1f}"
        add_row(table, row.name, row.kind, kept_kb, row.reason, row.remedy or "-")
    print_table(table)


def _sum_bytes(rows: "tuple[AuditRow, ...]") -> int:
    return sum(row.kept_bytes for row in rows)

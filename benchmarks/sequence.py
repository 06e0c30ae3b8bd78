"""Forgetting: five domains are learned one after another, by one shared network and by adaptors.

    python benchmarks/sequence.py [--threads 2] [--restart]

*finetune*: one network goes through all domains. Each gets a head of its own, which is kept; the
network's weights and statistics carry over. After each domain all earlier ones are judged again,
with their heads on the network as it is by then. *da3*: the same with adaptors. The logits of all
test images are compared, bit by bit, with those right after learning.

Writes `results/sequence.json` after each step and goes on there: the learned domains are kept in
demo/sequence. Rates and schedules as in `accuracy.py`.
"""

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import domains
import torch
import tuning
from result_rows import RESULTS, ROOT, read_rows, same, spell_command, surroundings
from safetensors.torch import load_file, save_file
from torch import Tensor
from trial import BACKBONE, build, hyperparameters, is_of

import addapt
from addapt.engines.torch.methods import AdaptedModel
from addapt.engines.torch.methods.finetune import TunedCopy
from addapt.engines.torch.model import TorchModel
from addapt.images import load_images, scan_classes
from addapt.learning import Learner
from addapt.learning.evaluation import logits_of
from addapt.methods import METHODS

FILE = RESULTS / "sequence.json"
WORK = ROOT / "demo" / "sequence"
METHODS_COMPARED = ("finetune", "da3")

Record = dict[str, Any]


class DomainSequence:
    """Domains that are learned in a row with one method, kept in a folder.

    Args:
        backbone: shared.
        method: "finetune" carries its network from domain to domain, others have adaptors.
        names: of the domains, in their order.
        work: gets the learned domains and the first logits.
        record: what is known so far; each step adds a row to its lists.
    """

    def __init__(
        self, backbone: addapt.Backbone, method: str, names: list[str], work: Path, record: Record
    ) -> None:
        self.backbone = backbone
        self.method = method
        self.names = names
        self.work = work
        self.record = record
        self.learner = Learner(backbone, work)
        settings, why = tuning.chosen_settings(read_rows(tuning.FILE), method)
        self.settings = settings
        given = {"settings": dataclasses.asdict(settings), "settings_from": why}
        known = {key: record.get(key) for key in given}
        if not (same(known, given) and is_of(record, method)):  # nothing yet, or stale
            given["hyperparameters"] = hyperparameters(method)
            record.clear()
            record.update(given, accuracy=[], changed_logits=[], learn_s=[])
        if not record["accuracy"]:
            shutil.rmtree(work, ignore_errors=True)

    def step(self) -> None:
        """Learn the next domain, then judge it and all before it."""
        place = len(self.record["accuracy"])
        name = self.names[place]
        method = build(self.method, self.settings)
        learner = self.learner
        if self.carries_over and place:
            previous = learner.store.path(self.names[place - 1])
            learner = Learner(continued(self.backbone, previous), self.work)
        folders = domains.domain_folders(name)
        report = learner.learn(
            name, folders.train, method=method, image_px=domains.IMAGE_PX, restart=True
        )
        accuracy, changed = [], []
        for earlier in self.names[: place + 1]:
            share, logits = self._judge(earlier, network_of=name)
            first = self.work / f"{earlier}.logits"
            if earlier == name:
                save_file({"logits": logits}, first)
            accuracy.append(share)
            changed.append(int((load_file(first)["logits"] != logits).sum()))
        self.record["accuracy"].append(accuracy)
        self.record["changed_logits"].append(changed)
        self.record["learn_s"].append(round(report.learn_s, 1))

    @property
    def carries_over(self) -> bool:
        """Whether all domains share one trained network."""
        return METHODS[self.method].plain

    def _judge(self, name: str, network_of: str) -> tuple[float, Tensor]:
        """Return accuracy and logits on the test images of a domain, as things are now."""
        info, model = self.learner.load(name)
        if self.carries_over:
            assert isinstance(model, TorchModel)
            carry_network(model.module, self.learner.store.path(network_of))
        samples = scan_classes(domains.domain_folders(name).test, info.classes).samples
        images, _ = load_images(samples, info.image_px, info.interpolation)
        logits = logits_of(model, images)
        return float((logits.argmax(1) == images.labels).mean()), torch.from_numpy(logits)


def continued(backbone: addapt.Backbone, previous: Path) -> addapt.Backbone:
    """Return a backbone that fine-tuning starts from: the network of a fine-tuned domain's file."""
    model = addapt.attach(backbone, addapt.Finetune(), classes=1)
    carry_network(model, previous)
    assert isinstance(model.adaptor, TunedCopy)
    stem, *blocks, tail = model.adaptor.layers
    return addapt.Backbone(stem, blocks, tail, backbone.info)


def carry_network(model: AdaptedModel, source: Path) -> None:
    """Put the network of a fine-tuned domain's file into `model`; the head stays."""
    head = {id(parameter) for parameter in model.head.parameters()}
    tensors = load_file(source)
    state = {
        name: tensor.detach() if id(tensor) in head else tensors[name]
        for name, tensor in model.domain_state().items()
    }
    model.load_domain_state(state)


def run(names: list[str], file: Path, work: Path, methods: tuple[str, ...], device: str) -> None:
    """Make the steps that are not in the file yet."""
    result: Record = json.loads(file.read_text()) if file.exists() else {}
    if result.get("domains") != names:
        result = {"domains": names, "image_px": domains.IMAGE_PX, "backbone": BACKBONE, "seed": 0}
    backbone = addapt.load_backbone(BACKBONE, device=device)
    for method in methods:
        record = result.setdefault(method, {})
        done = names[: len(record.get("accuracy", []))]
        kept = all((work / method / f"{name}.logits").exists() for name in done)
        if not kept and done != names:  # begun elsewhere
            record.clear()
        sequence = DomainSequence(backbone, method, names, work / method, record)
        while len(record["accuracy"]) < len(names):
            started = time.perf_counter()
            sequence.step()
            result |= surroundings(spell_command("sequence", device=device), device)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(result, indent=1) + "\n")
            row = "  ".join(f"{share:.3f}" for share in record["accuracy"][-1])
            print(f"{method:9} {row}  {time.perf_counter() - started:.0f} s", flush=True)


def table(result: Record) -> str:
    """Render both sequences as Markdown."""
    names = result["domains"]
    lines = [
        f"| method, after learning | {' | '.join(names)} | changed logits |",
        f"|---|{'---:|' * (len(names) + 1)}",
    ]
    for method in METHODS_COMPARED:
        record = result.get(method, {})
        for place, name in enumerate(names):
            shares = [f"{100 * share:.1f}" for share in _at(record, "accuracy", place)]
            changed = sum(_at(record, "changed_logits", place))
            if not shares:
                shares, changed = ["not run here"] * (place + 1), "–"
            cells = shares + [""] * (len(names) - len(shares))
            lines.append(f"| {method}, {name} | {' | '.join(cells)} | {changed} |")
    return "\n".join(lines) + "\n"


def _at(record: Record, name: str, place: int) -> list[Any]:
    rows: list[list[Any]] = record.get(name, [])
    return rows[place] if place < len(rows) else []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help='"cpu" or "cuda"')
    parser.add_argument("--restart", action="store_true", help="learn everything anew")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.restart:
        FILE.unlink(missing_ok=True)
    run(
        domains.available_domains(list(domains.GREY)),
        FILE,
        WORK,
        METHODS_COMPARED,
        options.device,
    )
    print(table(json.loads(FILE.read_text())))


if __name__ == "__main__":
    main()

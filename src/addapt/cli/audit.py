"""`addapt audit`: what a backbone keeps for backward, layer by layer, and why."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table

if TYPE_CHECKING:
    from addapt.freezing import AuditRow


def audit(
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    image_px: options.ImagePx = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures in memory at once.")] = 1,
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
    """Say what a backbone keeps for backward, layer by layer, and why."""
    with command(as_json=as_json, debug=debug, threads=threads):
        if plain and codes is not None:
            raise OptionError("--codes is for the frozen network: leave out --plain or --codes.")
        import torch

        from addapt.backbones import load_backbone
        from addapt.freezing import audit as audit_network
        from addapt.freezing import freeze

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
        table = make_table(None, "layer", "kind", ">kept, kB", "why", "remedy")
        for row in rows:
            kept_kb = f"{row.kept_bytes / 1e3:.1f}"
            add_row(table, row.name, row.kind, kept_kb, row.reason, row.remedy or "-")
        print_table(table)
        typer.echo(
            f"For a batch of {batch} at {px} px {backbone} keeps {frozen_bytes / 1e6:.2f} MB for "
            f"backward; in plain PyTorch the same network keeps {plain_bytes / 1e6:.2f} MB."
        )


def _sum_bytes(rows: "tuple[AuditRow, ...]") -> int:
    return sum(row.kept_bytes for row in rows)

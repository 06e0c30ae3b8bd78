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
    """Say what a backbone or a method keeps for backward, and why. One line is one layer."""
    with command(as_json=as_json, debug=debug):
        if plain and codes is not None:
            raise OptionError("--codes is for the frozen network: leave out --plain or --codes.")
        if method is not None and (plain or codes is not None or every or weights is not None):
            raise OptionError(
                "--method audits a method's own step, whatever the weights: leave out --plain, "
                "--codes, --all and --weights."
            )
        from addapt.engines import native_px
        from addapt.engines.installed import require_torch

        require_torch("`addapt audit`")
        from addapt.engines.torch.memory import audit_backbone, audit_method
        from addapt.methods import build_method

        px = image_px or native_px(backbone)
        totals: dict[str, object]
        if method is None:
            plain_rows, frozen_rows = audit_backbone(
                backbone, weights, image_px=px, batch=batch, codes=codes
            )
            rows = plain_rows if plain else frozen_rows
            rows = tuple(row for row in rows if every or row.kept_bytes)
            plain_bytes, frozen_bytes = _sum_bytes(plain_rows), _sum_bytes(frozen_rows)
            totals = {"frozen_kept_bytes": frozen_bytes, "plain_kept_bytes": plain_bytes}
            said = (
                f"{backbone} keeps {frozen_bytes / 1e6:.2f} MB for backward; "
                f"in plain PyTorch the same network keeps {plain_bytes / 1e6:.2f} MB."
            )
        else:
            asked = build_method(method)
            rows = audit_method(backbone, asked, image_px=px, batch=batch)
            kept_bytes = _sum_bytes(rows)
            totals = {"method": method, "kept_bytes": kept_bytes, "why": asked.why_kept}
            said = (
                f"{method} on {backbone} keeps {kept_bytes / 1e6:.2f} MB for backward. "
                f"{asked.why_kept}"
            )
        if as_json:
            fields = {"backbone": backbone, "image_px": px, "batch": batch, **totals}
            print_json({**fields, "rows": [dataclasses.asdict(row) for row in rows]})
            return
        table = make_table(None, "layer", "kind", ">kept, kB", "why", "remedy")
        for row in rows:
            kept_kb = f"{row.kept_bytes / 1e3:.1f}"
            add_row(table, row.name, row.kind, kept_kb, row.reason, row.remedy or "-")
        print_table(table)
        say(f"For a batch of {batch} at {px} px {said}")


def _sum_bytes(rows: "tuple[AuditRow, ...]") -> int:
    return sum(row.kept_bytes for row in rows)

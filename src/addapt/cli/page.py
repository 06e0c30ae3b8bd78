"""`addapt page` and `addapt serve`: the page that teaches in the browser."""

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt.cli import options
from addapt.cli.output import command, print_json, say
from addapt.cli.stopping import StopOnSignal

if TYPE_CHECKING:
    from addapt.page.folder import PageReport

Sizes = Annotated[
    list[int] | None,
    typer.Option(
        "--image-px",
        help="Side of the images to learn from; may be given several times, the first is proposed.",
    ),
]


def page(
    folder: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="A new or empty folder.")],
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    sizes: Sizes = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write the page that teaches in the browser.

    It is a folder of static files for any host.
    """
    with command(as_json=as_json, debug=debug):
        report = _write(folder, backbone, weights, sizes)
        if as_json:
            print_json(dataclasses.asdict(report))
            return
        say(
            f"Wrote the page into {report.folder}, {report.page_bytes / 1e6:.1f} MB, for images of "
            f"{', '.join(map(str, report.sizes))} px.",
            "Any host of static files can serve it, over HTTPS; docs/PAGE.md says more.",
        )


def serve(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 is any that is free.")
    ] = 8765,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    sizes: Sizes = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Serve the page that teaches in the browser.

    Only this machine can open it. Ctrl-C ends it.
    """
    with command(as_json=as_json, debug=debug):
        import webbrowser

        from addapt.page.server import LOOPBACK, make_server

        with StopOnSignal(), tempfile.TemporaryDirectory(prefix="addapt-page-") as temporary:
            folder = Path(temporary) / "page"
            with make_server(folder, port) as server:  # a port that is taken is known at once
                _write(folder, backbone, weights, sizes)
                address = f"http://{LOOPBACK}:{server.server_port}/"
                if as_json:
                    print_json({"address": address})
                else:
                    say(f"The page is at {address}. Nothing that you show it leaves this machine.")
                if browser:
                    webbrowser.open(address)
                server.serve_forever()


def _write(
    folder: Path, backbone: str, weights: Path | None, sizes: list[int] | None
) -> "PageReport":
    from addapt.engines import open_engine
    from addapt.learning.job import DEFAULT_METHOD
    from addapt.methods import build_method
    from addapt.page.folder import SIZES, require_built, write_page

    require_built()
    engine = open_engine(backbone, weights, engine="onnx")
    method = build_method(DEFAULT_METHOD).for_backbone(len(engine.backbone.blocks))
    return write_page(engine, method, folder, sizes or SIZES)

"""`addapt page` and `addapt serve`: the page that teaches in the browser."""

import dataclasses
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.output import command, print_json, say
from addapt.cli.stopping import StopOnSignal

if TYPE_CHECKING:
    from addapt.page.folder import PageReport

STOP_S = 3.0  # a lesson saves its state after its step

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
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            help="Also offer the domains of this folder: to try, download, and teach here.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="With --store, where to listen, such as 0.0.0.0: others need the token."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ADDAPT_TOKEN",
            help="What others have to know; by default a new one, which is printed.",
        ),
    ] = None,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    sizes: Sizes = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Serve the page that teaches in the browser.

    Only this machine can open it, unless --host says otherwise. Ctrl-C ends it.
    """
    with command(as_json=as_json, debug=debug):
        import socket
        import webbrowser

        from addapt._hosts import EVERYWHERE, LOOPBACK, is_loopback
        from addapt.page.access import Access, make_token
        from addapt.page.server import PageHandler, make_server

        if store is None and host is not None:
            raise OptionError("--host is for the domains of a device: give --store, too.")
        host = host or LOOPBACK
        wanted = make_token(token) if token is not None or not is_loopback(host) else None
        with StopOnSignal(), tempfile.TemporaryDirectory(prefix="addapt-page-") as temporary:
            folder, device = Path(temporary) / "page", None
            handler: Callable[..., PageHandler] = PageHandler
            if store is not None:
                from addapt.engines import open_engine
                from addapt.page.device import Device, DeviceHandler

                device = Device(
                    store,
                    partial(open_engine, backbone, weights),
                    Access(wanted),
                    threads,
                )
                handler = partial(DeviceHandler, device=device)
            with make_server(folder, port, host, handler) as server:
                _write(folder, backbone, weights, sizes)
                name = socket.gethostname() if host in EVERYWHERE else host
                address = f"http://{f'[{name}]' if ':' in name else name}:{server.server_port}/"
                if wanted is not None:
                    address += f"?token={wanted}"
                _tell(address, as_json=as_json, is_alone=is_loopback(host))
                if browser:
                    webbrowser.open(address)
                try:
                    server.serve_forever()
                finally:
                    if device is not None:
                        device.teaching.stop(STOP_S)


def _tell(address: str, *, as_json: bool, is_alone: bool) -> None:
    if as_json:
        print_json({"address": address})
    elif is_alone:
        say(f"The page is at {address}. Nothing that you show it leaves this machine.")
    else:
        say(
            f"The page is at {address}",
            "Who knows the token can try and teach this machine's domains. What is sent is not "
            "encrypted: docs/PAGE.md says how to do that.",
        )


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

"""`addapt fleet serve`, `join` and `key`: many devices learn one domain together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from addapt.cli import options
from addapt.cli.output import command, print_json, say
from addapt.cli.stopping import StopOnSignal

if TYPE_CHECKING:
    from addapt.fleet.news import News

DEFAULT_KEYS = Path("fleet-keys")
FEW_CLASSES = 5  # named in a line

fleet = typer.Typer(
    help="Let devices learn one domain together, each with its images.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Insecure = Annotated[
    bool, typer.Option("--insecure", help="Neither certificate nor keys: only where all are known.")
]


@fleet.command()
def serve(
    name: options.DomainName,
    rounds: Annotated[int, typer.Option(help="How often all devices learn and are averaged.")] = 20,
    min_devices: Annotated[
        int, typer.Option("--min-devices", help="Wait for so many, and in each round, too.")
    ] = 2,
    strategy: Annotated[
        str, typer.Option(help="How to average: fedavg, fedprox or fedadam.")
    ] = "fedavg",
    store: options.Store = options.DEFAULT_STORE,
    host: Annotated[
        str,
        typer.Option(help="Where to listen, such as 0.0.0.0: by default for this machine only."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The same.")] = 8000,
    keys: Annotated[
        Path,
        typer.Option(help="Folder of the certificate, made if need be, and of devices' keys."),
    ] = DEFAULT_KEYS,
    insecure: Insecure = False,
    method: Annotated[str, typer.Option(help="How to adapt; see `addapt methods`.")] = "da3",
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    image_px: Annotated[
        int | None,
        typer.Option("--image-px", help="Side of the images; by default as most devices need it."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    clipping_norm: Annotated[
        float,
        typer.Option(
            "--clipping-norm", help="Differential privacy: how far one device moves all in a round."
        ),
    ] = 0.0,
    noise_multiplier: Annotated[
        float, typer.Option("--noise-multiplier", help="The same: noise, in clipping norms.")
    ] = 0.0,
    round_timeout: Annotated[
        str,
        typer.Option("--round-timeout", help="Then go on without the devices that are missing."),
    ] = "10min",
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Begin anew although there is a domain."),
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Lead a fleet until its domain is learned.

    Who runs it needs no images. The same command goes on where it was stopped.
    """
    with command(as_json=as_json, debug=debug), StopOnSignal():
        from addapt.fleet.serving import Serving
        from addapt.fleet.serving import serve as lead

        asked = Serving(
            name=name,
            store=store,
            rounds=rounds,
            min_devices=min_devices,
            strategy=strategy,
            host=host,
            port=port,
            keys=keys,
            insecure=insecure,
            restart=restart,
            backbone=backbone,
            weights=weights,
            method=method,
            image_px=image_px,
            seed=seed,
            clipping_norm=clipping_norm,
            noise_multiplier=noise_multiplier,
            round_timeout_s=options.parse_seconds(round_timeout, "--round-timeout"),
        )
        last: News = {}
        for last in lead(asked):
            if not as_json:
                say(*_of_server(last))
        if as_json:
            print_json({**last, "name": name})


@fleet.command()
def join(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The server's.")],
    name: options.DomainName,
    images: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of class folders.")],
    store: options.Store = options.DEFAULT_STORE,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Keep what all have learned in the store here, too.")
    ] = False,
    personal: Annotated[
        bool,
        typer.Option("--personal", help="Go on alone at the end, and keep that if it is better."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Replace a domain of that name at the end.")
    ] = False,
    budget: options.Budget = None,
    certificate: Annotated[
        Path | None, typer.Option(help="The ca.crt that the server has made.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="This device's key, see `addapt fleet key`.")
    ] = None,
    insecure: Insecure = False,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Take part in a fleet with the images of this device, which stay on it.

    It waits for a server that is not there, or away for a while.
    """
    with command(as_json=as_json, debug=debug), StopOnSignal():
        from addapt.fleet.joining import Joining
        from addapt.fleet.joining import join as take_part
        from addapt.images import usable_threads

        asked = Joining(
            address=address,
            name=name,
            images=images,
            store=store,
            fetch=fetch,
            personal=personal,
            restart=restart,
            budget_bytes=options.parse_budget(budget),
            threads=threads or usable_threads(),
            backbone=backbone,
            weights=weights,
            certificate=certificate,
            key=key,
            insecure=insecure,
        )
        asked.check()
        if not as_json:
            say(f"Waiting for the server at {asked.link.address}. Ctrl-C ends it.")
        last: News = {}
        for last in take_part(asked):
            if not as_json:
                say(*_of_device(last))
        if as_json:
            print_json({**last, "name": name})


@fleet.command()
def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make a key, by which a server knows this device."""
    with command(as_json=as_json, debug=debug):
        from addapt.fleet.processes import require_flower

        require_flower()
        from addapt.fleet.identity import make_key

        public = make_key(file)
        if as_json:
            print_json({"key": str(file), "public": str(public)})
        else:
            say(f"Made {file}, which stays here, and {public}, which the server needs.")


def _of_server(news: "News") -> list[str]:
    """Say what happens on the server."""
    if "waiting" in news:
        return [f"{news['waiting']} of {news['needed']} devices are there."]
    if "left_out" in news:
        return [f"Left out {news['left_out']}: {news['why']}."]
    if "file" in news:
        return [f"Learned {len(news['classes'])} classes, {_accuracy(news)}: {news['file']}"]
    if "round" in news:
        devices = "1 device" if news["devices"] == 1 else f"{news['devices']} devices"
        return [
            f"Round {news['round']} of {news['rounds']}: {devices}, "
            f"{_accuracy(news)} before it{_left(news)}"
        ]
    lines = [
        f"Learning {len(news['classes'])} classes in images of {news['image_px']} px, "
        f"{news['rounds'] - news['done']} rounds to go:"
    ]
    for device in news["devices"]:
        few = device["lacking"][:FEW_CLASSES]
        more = " ..." if device["lacking"][FEW_CLASSES:] else ""
        without = f", without {', '.join(few)}{more}" if few else ""
        lines.append(f"  {device['name']}: {device['images']} images{without}")
    return lines


def _of_device(news: "News") -> list[str]:
    """Say what happens on a device."""
    if news.get("forgotten"):
        return ["The server has begun anew and forgotten this device: joining again."]
    if "server_is_there" in news:
        return [
            "The server is there." if news["server_is_there"] else "The server is away: waiting."
        ]
    if not news.get("over"):
        return [f"Learned in round {news['round']} of {news['rounds']}, {_accuracy(news)} before."]
    if news["file"] is None:
        return [f"The fleet is done, {_accuracy(news)} here."]
    whose = "its own version" if news["personal"] else "what all have learned"
    return [f"The fleet is done, {_accuracy(news)} here; kept {whose}: {news['file']}"]


def _accuracy(news: "News") -> str:
    if news.get("accuracy") is None:
        return "accuracy unknown"
    return f"accuracy {news['accuracy']:.1%}"


def _left(news: "News") -> str:
    seconds: Any = news.get("left_s")
    if seconds is None:
        return ""
    return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"

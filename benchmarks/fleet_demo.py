"""Four devices on one machine learn the ten digits together, each of them seeing only five.

    python benchmarks/fleet_demo.py [--rounds 8] [--image-px 64] [--out demo/fleet.png]

One server and four devices, as `addapt fleet serve` and `addapt fleet join` start them, on the
loopback address. What the server says is shown, and the accuracy by rounds is drawn. Needs
`.[demo,fleet]`.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import domains

from addapt._hosts import LOOPBACK
from addapt.fleet.processes import free_port

DEVICES = 4
SEEN = 5  # classes of a device
IMAGES = 12  # of a class on a device
GOODBYE_S = 60  # devices end by themselves, a little later than the server
ADDAPT = "from addapt.cli.main import main; main()"
ROUND = re.compile(r"Round (\d+) of \d+: .*?accuracy ([\d.]+)%")
END = re.compile(r"Learned \d+ classes, accuracy ([\d.]+)%")


def lay_out(train: Path, work: Path) -> list[Path]:
    """Give each device images of five classes, of which each class has two devices."""
    classes = sorted(train.iterdir())
    folders = []
    for device in range(DEVICES):
        folders.append(work / f"device{device}")
        first = device * len(classes) // DEVICES
        for place in range(first, first + SEEN):
            source = classes[place % len(classes)]
            (folders[-1] / source.name).mkdir(parents=True)
            paths = sorted(source.iterdir())[device * IMAGES : (device + 1) * IMAGES]
            for path in paths:
                shutil.copyfile(path, folders[-1] / source.name / path.name)
    return folders


def accuracies(said: str) -> list[float]:
    """Read the accuracy before each round, and in the end, of what a server has said."""
    before = [float(accuracy) / 100 for _, accuracy in ROUND.findall(said)]
    return before + [float(accuracy) / 100 for accuracy in END.findall(said)]


def draw(curve: list[float], file: Path) -> None:
    """Draw the accuracy by rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(len(curve)), [100 * accuracy for accuracy in curve], marker="o")
    axes.set_xlabel("rounds")
    axes.set_ylabel("accuracy on images held out on the devices, %")
    axes.set_title(f"{DEVICES} devices, each of which sees {SEEN} of ten digits")
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


def start(*words: object) -> "subprocess.Popen[str]":
    """Start one of the commands of `addapt fleet`."""
    return subprocess.Popen(
        [sys.executable, "-c", ADDAPT, "fleet", *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--image-px", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("demo/fleet.png"))
    args = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as work:
        folders = lay_out(domains.domain_folders("digits").train, Path(work))
        how = ("--rounds", args.rounds, "--image-px", args.image_px, "--min-devices", DEVICES)
        server = start("serve", "digits", "--port", port, "--store", f"{work}/server", *how)
        devices = [
            start(
                *("join", f"{LOOPBACK}:{port}", "digits", folder),
                *("--store", f"{work}/{folder.name}-store", "--threads", 1),
            )
            for folder in folders
        ]
        assert server.stdout is not None
        said = ""
        try:
            for line in server.stdout:
                print(line, end="", flush=True)
                said += line
            failed = server.wait()
            for device in devices:
                device.communicate(timeout=GOODBYE_S)
        finally:
            for process in (server, *devices):
                process.terminate()
                process.communicate()
        if failed:
            sys.exit(failed)
    draw(accuracies(said), args.out)
    print(f"Drew {args.out}")


if __name__ == "__main__":
    main()

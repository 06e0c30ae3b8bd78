"""What the page that teaches in the browser takes, in headless Chromium: time, bytes, accuracy.

    python benchmarks/page.py [table]

Ten digits with 20 images each are taught in the page at 96 px, by its own buttons, and in the
shell from the same images; both answer the same test images. Then a tab of a browser that records
nothing teaches them for a minute at 96 px and for another at 224, and what it holds is looked at;
and a server with a store learns the same images as a device. Needs what tests/web needs; builds
the page anew. Writes `results/page.json`, of which `docs/PAGE.md` has a table.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import domains
import memory_tables
from result_rows import RESULTS, ROOT, Row, surroundings

from addapt.page.folder import BUILT
from addapt.page.server import PageHandler, make_server

FILE = RESULTS / "page.json"
PAGE = ROOT / "docs" / "PAGE.md"
MARK = "numbers"
DOMAIN = "digits"
CLASSES, IMAGES = 10, 20  # of each class
TEST_IMAGES = 500
IMAGE_PX, LARGE_PX = 96, 224
MEMORY_S = 60  # of teaching while memory is looked at
POLL_S = 0.1
ADDAPT = (sys.executable, "-c", "from addapt.cli.main import main; main()")


def main() -> None:
    if sys.argv[1:] == ["table"]:
        return write_table()
    if sys.argv[1:]:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder))
    FILE.write_text(json.dumps(result, indent=2) + "\n")
    write_table()


def write_table() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(table(read()))


def measure(folder: Path) -> Row:
    images = domains.domain_folders(DOMAIN)
    train = copy_some(images.train, folder / "train", IMAGES)
    test = copy_some(images.test, folder / "test", TEST_IMAGES // CLASSES)
    subprocess.run(["node", "build.mjs", str(BUILT)], cwd=ROOT / "web", check=True)
    sizes = ("--image-px", str(IMAGE_PX), "--image-px", str(LARGE_PX))
    run("page", str(folder / "page"), *sizes)
    in_page = visit(folder / "page", train, test)
    store = ("--store", str(folder / "store"))
    learned = run("learn", DOMAIN, str(train), "--image-px", str(IMAGE_PX), *store)
    evaluated = run("eval", DOMAIN, str(test), *store)
    return {
        "page": in_page,
        "shell": {"learn_s": learned["learn_s"], "accuracy": evaluated["accuracy"]},
        "server": {"process_bytes": teach_device(folder / "device", train)},
        "images": {"classes": CLASSES, "of_each": IMAGES, "test": TEST_IMAGES},
        "image_px": IMAGE_PX,
        "large_px": LARGE_PX,
        **surroundings("python benchmarks/page.py"),
    }


def copy_some(source: Path, folder: Path, images: int) -> Path:
    """Copy the first images of each class."""
    for path in sorted(source.iterdir()):
        (folder / path.name).mkdir(parents=True)
        for file in sorted(path.iterdir())[:images]:
            shutil.copy(file, folder / path.name)
    return folder


def run(*words: str) -> Any:
    done = subprocess.run([*ADDAPT, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout)


class Counting(PageHandler):
    """Tells at /sent how many bytes of files it has given out."""

    sent_bytes = 0

    def do_GET(self) -> None:  # noqa: D102
        if self.path != "/sent":
            return super().do_GET()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(Counting.sent_bytes).encode())

    def copyfile(self, source: Any, outputfile: Any) -> None:  # noqa: D102
        Counting.sent_bytes += Path(source.name).stat().st_size
        super().copyfile(source, outputfile)


@contextmanager
def serving(page: Path) -> Iterator[str]:
    with make_server(page, 0, handler=Counting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def visit(page: Path, train: Path, test: Path) -> Row:
    """Have a browser teach and try; times of single visits and images become medians."""
    chromium = subprocess.run(
        [ROOT / "scripts/chromium"], stdout=subprocess.PIPE, text=True, check=True
    )
    with serving(page) as address:
        order = {"address": address, "chromium": chromium.stdout.strip(), "train": str(train)}
        files = sorted(str(file) for file in test.glob("*/*"))
        found: Row = drive("page.mjs", {**order, "test": files})
        sizes = [IMAGE_PX, LARGE_PX]
        held = drive("page_memory.mjs", {**order, "sizes": sizes, "seconds": MEMORY_S})
        found["taught"] |= held[0]
        found["large"] = held[1]
    tried = found.pop("tried")
    return {
        **found,
        "ready_ms": statistics.median(found["ready_ms"]),
        "accuracy": tried["right"] / tried["of"],
        "refused": tried["refused"],
        "try_ms": statistics.median(tried["try_ms"]),
    }


def drive(script: str, order: Row) -> Any:
    """Run a script beside this one that drives a browser; return its figures."""
    done = subprocess.run(
        ["node", str(Path(__file__).with_name(script))],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def teach_device(folder: Path, train: Path) -> int:
    """Teach a device's store through its server; return the most that the server held."""
    serve = ("serve", "--store", str(folder), "--port", "0", "--no-browser")
    with subprocess.Popen([*ADDAPT, *serve], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(filter(None, map(find_address, server.stdout)))
            files = sorted(train.glob("*/*"))
            for number, file in enumerate(files):
                place = f"api/images/{DOMAIN}/{file.parent.name}/{number}"
                ask(f"{address}{place}", "PUT", file.read_bytes())
            order = json.dumps({"name": DOMAIN, "images": len(files)}).encode()
            ask(f"{address}api/learning", "POST", order)
            while not any(folder.glob(f"{DOMAIN}.safetensors")):
                time.sleep(POLL_S)
            status = Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.terminate()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return 1024 * int(found[1])


def find_address(line: str) -> str:
    found = re.search(r"http://[^\s]+/", line)
    return found[0] if found else ""


def ask(address: str, method: str, content: bytes) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, content, method=method)):
        pass


def table(result: Row) -> str:
    """Render the numbers as Markdown, each with its limit."""
    if not result:
        return "not run here"
    page, images = result["page"], result["images"]
    taught, large = page["taught"], page["large"]
    what = f"{images['classes']} digits, {images['of_each']} images each, {result['image_px']} px"
    rows = [
        ("page ready, its files kept", f"{page['ready_ms'] / 1000:.1f} s", "2 s"),
        ("first load", f"{page['first_load_bytes'] / 1e6:.1f} MB", "30 MB"),
        (f"{what}: taught", f"{taught['teach_s']:.0f} s", "120 s"),
        ("the same in the shell", f"{result['shell']['learn_s']:.0f} s", "–"),
        (
            f"accuracy on {images['test']} test images",
            f"{100 * page['accuracy']:.1f} %",
            f"the shell's {100 * result['shell']['accuracy']:.1f} % less 1.5",
        ),
        ("an image tried", f"{page['try_ms']:.0f} ms", "60 ms"),
        ("longest block of the main thread meanwhile", block(taught), "100 ms"),
        (f"memory of the tab, teaching at {result['image_px']} px", megabytes(taught), "–"),
        (f"memory of the tab, teaching at {result['large_px']} px", megabytes(large), "400 MB"),
        (
            "memory of `addapt serve --store`, teaching on the device",
            f"{result['server']['process_bytes'] / 1e6:.0f} MB",
            "–",
        ),
    ]
    lines = ["| what | measured | limit |", "|---|---:|---:|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def block(taught: Row) -> str:
    """Browsers tell of blocks of 50 ms and more only."""
    longest = taught["longest_block_ms"]
    return f"{longest:.0f} ms" if longest else "below 50 ms"


def megabytes(taught: Row) -> str:
    most, usual = taught["most_bytes"] / 1e6, taught["usual_bytes"] / 1e6
    return f"{usual:.0f} MB, at its most {most:.0f} MB"


def read() -> Row:
    found: Row = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    return found


def filled(page: str) -> str:
    """Return docs/PAGE.md with the table as the result has it."""
    return memory_tables.fill(page, {MARK: lambda: table(read())})


if __name__ == "__main__":
    main()

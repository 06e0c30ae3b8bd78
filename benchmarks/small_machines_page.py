"""Make docs/SMALL_MACHINES.md from the committed results of its two scripts.

python benchmarks/small_machines_page.py
"""

import json

import arm64
import small_machine
from result_rows import ROOT, Row

PAGE = ROOT / "docs" / "SMALL_MACHINES.md"
# What a row of `small_machine` is called.
JOBS = {"da3": "learn (DA³)", "recognise": "recognise", "finetune": "learn by fine-tuning"}

ARM64 = """\
## 64-bit ARM, emulated

    scripts/arm64

makes an emulated aarch64 Python from Debian's packages (qemu-user; no root), installs the
project's wheel and all it depends on for that processor and, in the same versions, for this one,
and lets both learn {images[classes]} classes of {images[of_each]} drawn images at {images[px]} px
with EfficientNet-Lite0, one thread each. Then each recognises {unseen} new images with both
domains. It takes about {minutes} minutes, and needs an x86-64 Debian, Python 3.11 and the
registries. Result: [arm64.json](../benchmarks/results/arm64.json), made with {emulator}.
"""

SMALL = """\
## {limit} of memory

    sudo scripts/small_machine

runs commands in a control group of Linux (cgroup; here version {cgroup_version}) that has {limit}
and no swap: {images[number]:,} drawn images of {images[px]} px in {images[classes]} classes,
batch {images[batch]}, one epoch, EfficientNet-Lite0, {threads} threads. The same commands run in
a group without a limit, which only counts. Both environments are made from the project's wheel
for this run, and none of their files is in memory when a command begins, so what is read from
them is counted, too. Result: [small_machine.json](../benchmarks/results/small_machine.json).
"""

READING = """\
A group holds what its processes allocate (*allocated*: the most that was seen, every 20 ms) and
the files that they read or map, libraries and weights among them. Those the kernel drops where
memory is short and reads again when they are needed (*read again*), which costs time and no
failure; so a group with a limit may well reach it. A program that wants more to allocate than
there is, is killed.
"""

NOT_RUN = """\
## What was not run

No real board. So nothing here says how fast a board is, how warm it gets or what its card does in
a power cut, and how much memory a process takes there is known from x86-64 only: under emulation
it is the emulator's. Of 64-bit ARM one processor was emulated; others, with wider vectors,
compute with other routines of the runtime. 32-bit ARM is not supported: ONNX Runtime has no
wheels for it.
"""


def page() -> str:
    """Return the whole page."""
    arm = json.loads(arm64.RESULT.read_text(encoding="utf-8"))
    parts = [
        "# Small machines",
        "Made by `python benchmarks/small_machines_page.py` from committed results; a test checks "
        "that it is current. What a process holds, and why, tells [MEMORY.md](MEMORY.md).",
        *small_parts(),
        ARM64.format(minutes=max(1, round(arm["seconds"] / 60)), **arm),
        arm_table(arm),
        arm_words(arm),
        NOT_RUN,
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def small_parts() -> list[str]:
    """Return what is said of a group with little memory."""
    if not small_machine.RESULT.exists():
        return [
            "## 128 MB of memory",
            "`sudo scripts/small_machine` learns from 1,000 images in a control group of 128 MB "
            "and lets fine-tuning try the same. It was not run yet with this version.",
        ]
    small = json.loads(small_machine.RESULT.read_text(encoding="utf-8"))
    return [
        SMALL.format(limit=megabytes(small["limit_bytes"]), **small),
        memory_table(small),
        READING,
        same_domain(small),
    ]


def memory_table(result: Row) -> str:
    """Show how each command ended, and what its group held."""
    lines = [
        "| command | limit | ended | seconds | the group, at most | allocated | read again |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        limit = row["limit_bytes"]
        held = (row["peak_bytes"], row["anonymous_bytes"], row["read_again_bytes"])
        cells = [
            JOBS[row["what"]],
            "–" if limit is None else megabytes(limit),
            ending(row),
            f"{row['seconds']:.0f}",
            *map(megabytes, held),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ending(row: Row) -> str:
    """Say how a command ended."""
    if row["killed"]:
        return f"killed by the system (exit {row['exit_code']})"
    if row["given_up"]:
        return "given up: it read its libraries again and again"
    return "well" if row["exit_code"] == 0 else f"failed (exit {row['exit_code']})"


def same_domain(result: Row) -> str:
    """Say whether the domain is the same with the limit and without it."""
    different = result["difference"]
    if different is None:
        return "There are no two domains to compare."
    tensors, fields = different["different_tensors"], different["different_fields"]
    if tensors or set(fields) - {"date"}:
        return f"The two domains differ in {', '.join([*tensors, *fields])}."
    return (
        f"The domain learned with the limit is that learned without, byte by byte in all "
        f"{different['tensors']} tensors ({megabytes(different['bytes'])}), and in all that its "
        "file says but the date."
    )


def arm_table(result: Row) -> str:
    """Show how far the two sides are apart."""
    native, emulated = (result[side] for side in arm64.SIDES)
    domains = result["domains"]
    lines = [
        "| compared | largest difference |",
        "|---|---|",
        f"| the {domains['tensors']} tensors of the domain, learned here and there | "
        f"{domains['largest_difference']:.0e} of the tensor's largest element |",
        f"| accuracy on images held out | {native['val_accuracy']:.1%} here, "
        f"{emulated['val_accuracy']:.1%} there |",
    ]
    words = {
        "native": "the domain learned here, used here and there",
        "emulated": "the domain learned there, used here and there",
        "each its own": "each its own domain",
    }
    for row in result["recognised"]:
        same = "the same classes" if row["same_classes"] else "**not the same classes**"
        lines.append(
            f"| probabilities, {words[row['learned']]} | {row['largest_difference']:.0e}; {same} |"
        )
    return "\n".join(lines)


def arm_words(result: Row) -> str:
    """Say what else was seen."""
    native, emulated = (result[side] for side in arm64.SIDES)
    right = " and ".join(f"{result['right'][side]}" for side in arm64.SIDES)
    said = (
        f"Of the {result['unseen']} images {right} were recognised rightly, here and there. "
        f"Learning took {native['learn_s']:.0f} s here and {emulated['learn_s']:.0f} s there; "
        "emulation translates each instruction, so that says nothing about a board."
    )
    warned = [line for line in emulated["warnings"] if line not in native["warnings"]]
    if warned:
        said += f" On standard error it says there: {'; '.join(f'`{line}`' for line in warned)}."
    return said


def megabytes(amount_bytes: int) -> str:
    return (
        f"{amount_bytes / 1e6:,.0f} MB" if amount_bytes >= 1e7 else f"{amount_bytes / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

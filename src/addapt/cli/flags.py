"""The flags by which the command line knows what the library names in its errors."""

import re
import shlex

from addapt.memory import format_bytes

# Where a flag is not the parameter's name with dashes.
RENAMED = {
    "at_least_every_s": "--at-least-every",
    "budget_bytes": "--budget",
    "cache_bytes": "--cache-mb",
    "loads": "--load",
    "round_timeout_s": "--round-timeout",
    "save_every_s": "--save-every",
    "smooth_s": "--smooth",
}
SAME = (
    "above accept balance batch certificate clipping_norm codes compute debug device engine epochs "
    "every_frame extend fetch flip gate_kind gate_unit gates host image_px insecure key lose lr "
    "method methods micro_batch min_devices noise_multiplier overwrite personal port repair "
    "restart rounds seed store strategy threads token val_fraction weights"
)
FLAGS = {name: f"--{name.replace('_', '-')}" for name in SAME.split()} | RENAMED
PARAMETER = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")


def with_flags(message: str) -> str:
    """Write the parameters in a message as flags: `epochs` as --epochs, `lr=0.1` as --lr 0.1.

    What is no option of the command line stays as it is.
    """
    return PARAMETER.sub(_flag, message)


def _flag(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    if name not in FLAGS:
        return parameter[0]
    flag = FLAGS[name]
    if value is None or value == "True" or value.endswith(")"):  # gates=GateConfig()
        return flag
    if value == "False":
        return f"--no-{flag.removeprefix('--')}"
    if name == "budget_bytes" and value.isdigit():
        value = format_bytes(int(value), round_up=True).replace(" ", "")
    elif name == "cache_bytes" and value.isdigit():
        value = str(int(value) // 1_000_000)
    unquoted = value.strip("'\"")
    return f"{flag} {shlex.quote(unquoted)}"

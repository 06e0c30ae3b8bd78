"""What commands say about the gates of a domain."""

from typing import TYPE_CHECKING

from addapt.cli.output import say

if TYPE_CHECKING:
    from addapt.domains import DomainInfo


def say_gates(info: "DomainInfo", *, used: bool, wanted: bool | None) -> None:
    """Say whether the domain's gates were used, and why not; nothing where there are none."""
    if not info.gates:
        return
    if used:
        compute = info.gates["report"]["compute"]
        say(f"Gates of {info.gates['unit']} were used: {compute:.0%} of the multiply-adds.")
    elif wanted is None:
        say("Gates were not used: on this device they are not faster.")
    else:
        say("Gates were not used, as you asked.")

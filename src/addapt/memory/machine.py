"""How much memory there is."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def machine_bytes() -> int | None:
    """Return the memory this process may use, or None where that cannot be told.

    It is that of the machine, or the limit of the container (cgroup) if that is less.
    """
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # no such call, or no such name
        return None
    return min([total, *_cgroup_limits(Path("/"))]) if total > 0 else None


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield the limits of this process's control group and of those around it."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in groups:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a container the path may be the host's; its root is then the group itself.
        group = PurePosixPath(path.lstrip("/"))
        for folder in (group, *group.parents):
            try:
                yield int((mount / folder / name).read_text(encoding="utf-8"))
            except (OSError, ValueError):  # no such file, or the word "max"
                continue

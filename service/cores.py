"""How many cores this process may use: its CPU affinity, and the CPU quotas of the control groups that it is in.

A quota of a group holds for all groups below it, so the smallest one counts, from the process's own group up. Where the
folders of these groups are, the kernel says: `/proc/self/cgroup` has the path of the group in each hierarchy (version 2
has one, version 1 one for each controller), and `/proc/self/mountinfo` where a hierarchy is mounted, and which of its
groups is the root of that mount: in a container it may be the container's own.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc/self")
VERSION_2 = ""  # in place of a controller's name: its hierarchy has them all
ESCAPED = re.compile(r"\\([0-7]{3})")  # mountinfo writes a space in a path as \040


def available_cores(proc: Path = PROC) -> int:
    """The cores that this process may use, at least 1; a fraction of a core is left out.

    Each worker keeps a core busy: with more of them than the quota holds, the kernel would stop all for a part of each
    0.1 s, when there is most to do.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(min(cores, cpu_quota(proc))), 1)


def cpu_quota(proc: Path = PROC) -> float:
    """The cores that the control groups of this process allow, which may be a fraction; infinity without a quota."""
    return min((_quota(folder) for folder in _group_folders(proc)), default=math.inf)


def _group_folders(proc: Path) -> Iterator[Path]:
    """The folder of each control group that may limit the CPU: the process's own, and those above it."""
    groups = _groups(proc)
    for controller, root, mount_point in _mounts(proc):
        group = groups.get(controller)
        if group is None:
            continue
        is_below = group.is_relative_to(root) and ".." not in group.parts
        own = mount_point / group.relative_to(root) if is_below else mount_point
        yield from (one for one in (own, *own.parents) if one.is_relative_to(mount_point))


def _groups(proc: Path) -> dict[str, Path]:
    """The path of this process's group by controller: `cpu` in version 1, and `VERSION_2`."""
    fields = [line.split(":", 2) for line in _lines(proc / "cgroup")]
    return {name: Path(path) for _, names, path in fields for name in names.split(",") if name in ("cpu", VERSION_2)}


def _mounts(proc: Path) -> Iterator[tuple[str, Path, Path]]:
    """Of each mounted hierarchy that limits the CPU: the controller, the group at its root, and where it is mounted."""
    for line in _lines(proc / "mountinfo"):
        mount, _, hierarchy = line.partition(" - ")
        root, mount_point = (Path(ESCAPED.sub(lambda found: chr(int(found[1], 8)), one)) for one in mount.split()[3:5])
        match hierarchy.split():
            case ["cgroup2", *_]:
                yield VERSION_2, root, mount_point
            case ["cgroup", _, options] if "cpu" in options.split(","):
                yield "cpu", root, mount_point


def _quota(folder: Path) -> float:
    """The cores that the files of one control group allow; infinity if it has no quota."""
    # Version 2: "<quota> <period>" in microseconds, or "max <period>". Version 1: a file for each; no quota is -1.
    v1 = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    quota, period = [*" ".join(_lines(folder / "cpu.max") or v1).split(), "", ""][:2]
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else math.inf


def _lines(path: Path) -> list[str]:
    """The lines of a file of the kernel; none if it is not there, as on other systems than Linux."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []

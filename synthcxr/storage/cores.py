"""The number of CPU cores that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def count_usable_cores(*, root: Path = _ROOT) -> int:
    """The cores of the CPU affinity, or fewer where a cgroup quota allows fewer; at least 1.

    A container's CPU limit is such a quota; a fractional quota is rounded up. macOS and Windows have neither affinity
    nor quota: there it is the number of cores of the machine. `root` is the folder that holds proc/ and sys/.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([n_cores, *_cgroup_quotas(root)])))


def _cgroup_quotas(root: Path) -> Iterator[float]:
    """The quota in cores of every cgroup that this process is in, ancestors included; infinite for no limit."""
    for folder in _cgroup_folders(root):
        try:
            yield _read_v2(folder) if (folder / "cpu.max").exists() else _read_v1(folder)
        except (OSError, ValueError):
            continue


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups that may hold a CPU quota, up to their mount points.

    Inside a container, the path in /proc/self/cgroup may be that of the host, of which only the mount point exists.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mounts = (root / "sys/fs/cgroup" / name for name in (controllers, "cpu"))
            mount = next((folder for folder in mounts if folder.is_dir()), root / "sys/fs/cgroup/cpu")
        else:
            continue
        group = mount / path.lstrip("/")
        yield from (group, *(parent for parent in group.parents if parent == mount or mount in parent.parents))


def _read_v2(folder: Path) -> float:
    """The quota of cpu.max, "QUOTA PERIOD" in microseconds or "max PERIOD"."""
    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _read_v1(folder: Path) -> float:
    """The quota of cpu.cfs_quota_us over cpu.cfs_period_us; -1 is no limit."""
    quota, period = (
        int((folder / name).read_text(encoding="utf-8")) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    )
    return math.inf if quota < 0 else quota / period

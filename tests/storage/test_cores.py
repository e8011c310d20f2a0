"""The number of usable cores, on Linux with and without a cgroup quota, and elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synthcxr.storage.cores import count_usable_cores


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may run on eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Files below `root`, by their paths."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "n_cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "not a quota\n"}, 8),
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/user/job/cpu.max": "max 100000\n",
            },
            2,
        ),
        ({"proc/self/cgroup": "0::/docker/of-the-host\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
    ],
)
def test_a_cgroup_v2_quota_limits_the_cores(tmp_path: Path, files: dict[str, str], n_cores: int) -> None:
    """The smallest quota of the process's cgroup and its ancestors counts, rounded up; without one, the affinity."""
    assert count_usable_cores(root=write_files(tmp_path, files)) == n_cores


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("quota_us", "n_cores"), [("-1", 8), ("150000", 2), ("1600000", 8)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_cgroup_v1_quota_limits_the_cores(tmp_path: Path, mount: str, quota_us: str, n_cores: int) -> None:
    """cpu.cfs_quota_us over cpu.cfs_period_us is the quota; -1 is none, and one above the affinity changes nothing."""
    files = {
        "proc/self/cgroup": f"5:memory:/job\n4:{mount}:/job\n0::/\n",
        f"sys/fs/cgroup/{mount}/job/cpu.cfs_quota_us": f"{quota_us}\n",
        f"sys/fs/cgroup/{mount}/job/cpu.cfs_period_us": "100000\n",
    }
    assert count_usable_cores(root=write_files(tmp_path, files)) == n_cores


def test_a_system_without_affinity_uses_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows have neither affinity nor cgroups."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert count_usable_cores(root=tmp_path) == 6


def test_the_affinity_of_this_process_is_counted() -> None:
    """On this machine there is at least one core, and no more than the machine has."""
    assert 1 <= count_usable_cores() <= (os.cpu_count() or 1)

"""Room on the disk: refused before the work where it cannot fit, and one line where it runs out."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.writers import disk_space


def test_check(tmp_path: Path) -> None:
    """What is free passes, more does not; the folder need not exist yet."""
    disk_space.check(tmp_path / "a/b", 1)
    with pytest.raises(DataError, match=r"needs about .*, .* are free; make room or ask for fewer"):
        disk_space.check(tmp_path / "a/b", shutil.disk_usage(tmp_path).total + 1)


def test_a_full_disk_is_one_line() -> None:
    """ENOSPC becomes an error of ours that says how to go on; other errors stay what they are."""
    says = "x: the disk is full; make room and run the same command again"
    with pytest.raises(DataError, match=says), disk_space.full_disk_is_one_line(Path("x")):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), disk_space.full_disk_is_one_line(Path("x")):
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0.0 kB"), (1499, "1.5 kB"), (12_345_678, "12 MB"), (3.2e9, "3.2 GB"), (5e12, "5.0 TB")]
)
def test_readable(n_bytes: float, text: str) -> None:
    """Sizes are said with two or three digits."""
    assert disk_space.readable(int(n_bytes)) == text

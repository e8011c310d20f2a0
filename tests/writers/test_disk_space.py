"""Disk space: a dataset that does not fit is refused before it is generated, and a full disk is one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.writers import disk_space


def test_too_little_space_is_refused(tmp_path: Path) -> None:
    """Less than is free passes, more raises DataError; the folder need not exist yet."""
    disk_space.check_free_space(tmp_path / "a/b", 1)
    with pytest.raises(DataError, match=r"needs about .*, but only .* are free; free some space"):
        disk_space.check_free_space(tmp_path / "a/b", shutil.disk_usage(tmp_path).total + 1)


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0.0 kB"), (1499, "1.5 kB"), (12_345_678, "12 MB"), (3.2e9, "3.2 GB"), (5e12, "5.0 TB")]
)
def test_sizes_have_two_or_three_digits(n_bytes: float, text: str) -> None:
    """Sizes are rounded to two or three digits with a unit."""
    assert disk_space.format_bytes(int(n_bytes)) == text

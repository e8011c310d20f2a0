"""Reading whole files: what is refused, and how much memory a read takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from synthcxr.storage import guarded_files


def test_a_small_file_takes_little_memory_whatever_the_limit(tmp_path: Path) -> None:
    """The buffer has the size of the file; one of the limit would not fit into a small container."""
    path = tmp_path / "x"
    path.write_bytes(b"content" * 1000)
    tracemalloc.start()
    try:
        assert guarded_files.read_bytes(path, "text", max_bytes=2**40) == b"content" * 1000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_name_that_no_file_can_have_is_no_file(tmp_path: Path) -> None:
    """Absent, too long, and a folder."""
    (tmp_path / "file").touch()
    names = ("file", "absent", "1" * 5000, ".")
    assert [guarded_files.is_file(tmp_path / name) for name in names] == [True, False, False, False]

"""Packing films on a disk that is too small."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.small_disk import mount_small_disk

from synthcxr.data import images
from synthcxr.data.film_dataset import build_film_dataset
from synthcxr.data.films import Film
from synthcxr.errors import DataError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    with mount_small_disk(folder, "size=256k"):
        yield folder


def test_disk_space_is_checked_before_a_film_is_read(small_disk: Path) -> None:
    """A dataset of 1.4 MB is refused on a disk of 256 kB before a film is decoded."""

    def read() -> images.Float32:
        raise AssertionError("a film was read")

    film = Film("a", "1", "a", "PA", (0.0,) * 14, read, lambda: 1024, "a")
    with pytest.raises(DataError, match=r"1\.4 MB are needed, 0\.[23] MB are free"):
        build_film_dataset([film], out=small_disk / "cxr", resolution=1024, splits={"a": "train"}, on_bad="error")


def test_a_disk_that_fills_up_while_writing_raises_an_error(small_disk: Path) -> None:
    """When another process takes the free space, writing raises OSError. A memory map would crash."""

    def read() -> images.Float32:
        (small_disk / "another").write_bytes(bytes(180_000))
        return np.linspace(0, 1, 256 * 256, dtype=np.float32).reshape(256, 256)

    film = Film("a", "1", "a", "PA", (0.0,) * 14, read, lambda: 256, "a")
    with pytest.raises(OSError, match="No space left") as error_info:
        build_film_dataset([film], out=small_disk / "cxr", resolution=256, splits={"a": "train"}, on_bad="error")
    assert error_info.value.errno == errno.ENOSPC

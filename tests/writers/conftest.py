"""Made-up records with real PNGs, to write without a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from synthcxr.data import images
from synthcxr.data.records import Record
from synthcxr.storage import digests
from synthcxr.writers.formats.store import Store

Fill = Callable[..., list[Record]]


def described(index: int) -> Record:
    """A record of candidate `index` before it has a file."""
    probabilities = tuple(round((index * 7 + at) % 100 / 99, 6) for at in range(14))
    return Record("", index, 1, "Edema", ("Edema", "Mass"), probabilities, 1.0, "")


def png_of(index: int) -> bytes:
    """A small grey PNG, of another length for each index."""
    return images.encode_png(np.random.default_rng(index).integers(0, 255, (4, 3 + index % 5), dtype=np.uint8))


@pytest.fixture
def fill() -> Fill:
    """Write images start..stop-1 into a store and return their records."""

    def write(store: Store, start: int, stop: int) -> list[Record]:
        made = []
        for at in range(start, stop):
            png = png_of(at)
            fields = vars(described(at)) | {"file_name": store.file_name(at), "sha256": digests.sha256_bytes(png)}
            made.append(Record(**fields))
            store.write(at, png, made[-1])
        return made

    return write

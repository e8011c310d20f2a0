"""The PNG files of a study have a length and chunks that depend only on the size of the image."""

from __future__ import annotations

import numpy as np
import pytest
from support.png_chunks import list_png_chunks

from synthcxr.data import images
from synthcxr.reader_study.public_files import encode_constant_size_png


@pytest.mark.parametrize("side", [1, 8, 64, 257, 300])
def test_a_png_reveals_only_its_pixels(side: int) -> None:
    """Pixels survive the round trip; a black square and noise have the same length and chunks, without metadata."""
    rng = np.random.default_rng(side)
    pixel_arrays = [np.zeros((side, side), np.uint8), rng.integers(0, 256, (side, side), dtype=np.uint8)]
    files = [encode_constant_size_png(pixels) for pixels in pixel_arrays]
    for pixels, data in zip(pixel_arrays, files, strict=True):
        assert np.array_equal(images.decode_png(data), pixels)
    assert len({len(data) for data in files}) == 1
    assert list_png_chunks(files[0]) == list_png_chunks(files[1])
    assert [kind for kind, _ in list_png_chunks(files[0])] == [b"IHDR", b"IDAT", b"IEND"]

"""The pixel contract: every kind of file scaled by its bit depth, nothing clipped; the border is exact."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthcxr.data import images
from synthcxr.errors import DataError

RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_eight_bit_kinds_read_as_the_same_film(tmp_path: Path, mode: str) -> None:
    """Grey, with alpha, in colour, by palette: within half a grey level."""
    Image.fromarray(RAMP).convert(mode).save(tmp_path / "x.png")
    assert np.abs(images.read(tmp_path / "x.png") * 255 - RAMP).max() < 0.5


def test_sixteen_bit_keeps_its_range(tmp_path: Path) -> None:
    """0 and 65535 are black and white; the middle is not saturated, as a plain conversion would have it."""
    wide = RAMP.astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "x.png")
    assert np.abs(images.read(tmp_path / "x.png") - wide / 65535).max() < 1e-6
    assert images.read_size(tmp_path / "x.png") == 8


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty file"), (b"not an image", "not a readable image")])
def test_broken_files_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    """Empty and foreign files."""
    (tmp_path / "x.png").write_bytes(content)
    for read in (images.read, images.read_size):
        with pytest.raises(DataError, match=reason) as caught:
            read(tmp_path / "x.png")
        assert "x.png" in str(caught.value)


def test_truncated_and_absent_files_are_named(tmp_path: Path) -> None:
    """The header of a cut file may still be read; its pixels may not."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    data = images.encode_png(noise)
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.png"):
        images.read(tmp_path / "cut.png")
    with pytest.raises(DataError, match="no such file"):
        images.read(tmp_path / "absent.png")


@given(st.integers(0, 255))
def test_the_border_is_crossed_without_loss(level: int) -> None:
    """uint8 to [-1, 1] and back is the identity at every level."""
    pixels = np.full((1, 2, 2), level, dtype=np.uint8)
    crossed = images.to_float(pixels)
    assert crossed.shape == (1, 1, 2, 2)
    assert -1 <= crossed.min() <= crossed.max() <= 1
    assert (images.to_uint8(crossed) == pixels).all()


def test_png_round_trip_and_same_bytes() -> None:
    """Lossless, and the same pixels give the same file."""
    assert (images.decode_png(images.encode_png(RAMP)) == RAMP).all()
    assert images.encode_png(RAMP) == images.encode_png(RAMP.copy())


def test_resizing_averages_and_never_enlarges() -> None:
    """A box filter: each pixel is the mean of those it covers."""
    pixels = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert images.resize(pixels, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert images.square(np.zeros((4, 6), np.float32)).shape == (4, 4)
    with pytest.raises(DataError, match="never upsampled"):
        images.resize(pixels, 8)

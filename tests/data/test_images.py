"""Reading images of every bit depth, resizing, PNG files, and the conversion between uint8 and float32."""

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
def test_every_8_bit_mode_is_read_as_the_same_film(tmp_path: Path, mode: str) -> None:
    """Grey, alpha, colour and palette images differ by less than half a grey level."""
    Image.fromarray(RAMP).convert(mode).save(tmp_path / "x.png")
    assert np.abs(images.read(tmp_path / "x.png") * 255 - RAMP).max() < 0.5


def test_a_16_bit_image_keeps_its_range(tmp_path: Path) -> None:
    """0 is black, 65535 is white, and the values between are not saturated as by Pillow's conversion."""
    wide = RAMP.astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "x.png")
    assert np.abs(images.read(tmp_path / "x.png") - wide / 65535).max() < 1e-6
    assert images.read_shorter_side(tmp_path / "x.png") == 8


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty file"), (b"not an image", "not a readable image")])
def test_an_unreadable_file_is_an_error_that_names_it(tmp_path: Path, content: bytes, reason: str) -> None:
    """An empty file and one that is not an image are errors for the pixels and for the size."""
    (tmp_path / "x.png").write_bytes(content)
    for read in (images.read, images.read_shorter_side):
        with pytest.raises(DataError, match=reason) as error_info:
            read(tmp_path / "x.png")
        assert "x.png" in str(error_info.value)


def test_truncated_and_absent_files_are_errors(tmp_path: Path) -> None:
    """The error of a truncated file names it; an absent file is reported as such."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    data = images.encode_png(noise)
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.png"):
        images.read(tmp_path / "cut.png")
    with pytest.raises(DataError, match="no such file"):
        images.read(tmp_path / "absent.png")


@given(st.integers(0, 255))
def test_conversion_to_float_and_back_is_lossless(level: int) -> None:
    """uint8 to [-1, 1] and back is the identity at every level."""
    pixels = np.full((1, 2, 2), level, dtype=np.uint8)
    floats = images.to_float(pixels)
    assert floats.shape == (1, 1, 2, 2)
    assert -1 <= floats.min() <= floats.max() <= 1
    assert (images.to_uint8(floats) == pixels).all()


def test_png_is_lossless_and_deterministic() -> None:
    """Pixels survive encoding and decoding, and the same pixels give the same bytes."""
    assert (images.decode_png(images.encode_png(RAMP)) == RAMP).all()
    assert images.encode_png(RAMP) == images.encode_png(RAMP.copy())


def test_resizing_averages_boxes_and_never_enlarges() -> None:
    """Each pixel is the mean of the pixels that it covers; enlarging is an error."""
    pixels = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert images.resize(pixels, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert images.crop_square(np.zeros((4, 6), np.float32)).shape == (4, 4)
    with pytest.raises(DataError, match="never upsampled"):
        images.resize(pixels, 8)

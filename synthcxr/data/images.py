"""Pixels: uint8 [H, W] on disk, float32 [N, 1, H, W] in [-1, 1] in networks, and the conversions between them.

Every image is scaled by its bit depth and never clipped. (Pillow's `convert("L")` would saturate a 16-bit PNG.)
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

from synthcxr.data import image_files, pixel_budget
from synthcxr.errors import DataError

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

RESIZE_RULE = "centre square, Pillow on float32: box at whole ratios, antialiased bilinear at others"
# Radiographs contain few repeated patterns: run-length matching alone makes files 3 % smaller than zlib's default
# level 6, in a quarter of the time (NIH films at 256 px: 27.4 instead of 28.3 kB, 2.4 instead of 10.4 ms).
_PNG_COMPRESSION = {"compress_level": 6, "compress_type": zlib.Z_RLE}
_MODES_8_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_MODES_16_BIT = {"I;16", "I;16L", "I;16B", "I;16N", "I"}
_WHITE_16_BIT = (1 << 16) - 1
_WHITE_IS_ZERO = 0  # a TIFF's photometric interpretation
_MIN_GREY_LEVELS, _MIN_PIXELS_PER_LEVEL, _MIN_SPAN = 24, 16, 0.08
# The allocator returns arrays of several MB to the system and asks for them again for each film: with strips of 2^22
# instead of 2^18 pixels, packing films of 1024 px in two threads takes 1.4 times as long.
_STRIP_PIXELS = 1 << 18
_EXIF_ERRORS = (LookupError, OSError, SyntaxError, TypeError, ValueError, Warning, struct.error)


def read(path: Path) -> Float32:
    """Read a film as float32 [H, W] in [0, 1], scaled by its bit depth and turned as its EXIF orientation says.

    Alpha is dropped and colour becomes luma. Raises DataError with the path if the file is absent, empty, truncated,
    too large or not an image of `image_files.FILM_FORMATS`.
    """
    with image_files.open_image(path, name=str(path), formats=image_files.FILM_FORMATS) as image:
        pixel_budget.DECODING.reserve(image.width * image.height)
        image.load()
        return _turn_upright(_to_grey(image, name=str(path)), _read_orientation(image))


def read_shorter_side(path: Path) -> int:
    """Read the shorter side of an image in pixels from its header; raises DataError like `read`."""
    with image_files.open_image(path, name=str(path), formats=image_files.FILM_FORMATS) as image:
        return min(image.size)


def _to_grey(image: Image.Image, *, name: str) -> Float32:
    """Convert a decoded image a strip of rows at a time, so that the temporary copies of a large one are small."""
    height, width = image.height, image.width
    white, is_inverted = _find_white(image, name)
    n_rows = max(1, _STRIP_PIXELS // width)
    if n_rows >= height:
        grey = _convert_strip(image, white)
    else:
        grey = np.empty((height, width), dtype=np.float32)
        for top in range(0, height, n_rows):
            bottom = min(top + n_rows, height)
            grey[top:bottom] = _convert_strip(image.crop((0, top, width, bottom)), white)
    return np.float32(1) - grey if is_inverted else grey


def _find_white(image: Image.Image, name: str) -> tuple[int, bool]:
    """Return the stored value of white, and whether 0 is white where Pillow has not inverted the values."""
    if image.mode not in _MODES_16_BIT:
        if image.mode not in _MODES_8_BIT:
            raise DataError(f"{name}: pixels of Pillow's mode {image.mode} have no known range; convert it to 16 bits")
        return 255, False
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if image.mode == "I":  # 32 bits, or 16 bits with a sign
        low, high = image.getextrema()
        if not 0 <= low <= high <= _WHITE_16_BIT:  # type: ignore[operator]
            raise DataError(f"{name}: values from {low} to {high} have no known range; convert it to 16 bits")
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    is_inverted = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    return min((1 << int(bits)) - 1, _WHITE_16_BIT), is_inverted


def _convert_strip(strip: Image.Image, white: int) -> Float32:
    if strip.mode in _MODES_16_BIT:
        return _scale(np.asarray(strip), white)
    if strip.mode in {"1", "L"}:
        return _scale(np.asarray(strip.convert("L")), white)
    if strip.mode == "LA":
        return _scale(np.asarray(strip.getchannel("L")), white)
    rgb = np.asarray(strip.convert("RGB"), dtype=np.float32)
    luma = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return _scale(luma, white)


def _scale(values: NDArray[Any], white: int) -> Float32:
    """Divide by the stored value of white, without a temporary array."""
    scaled: Float32 = np.divide(values, np.float32(white), dtype=np.float32)
    return scaled


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a decoded image, 1 (upright) where it has none that can be read."""
    if image.format == "TIFF":  # Pillow has turned it
        return 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _EXIF_ERRORS:
        return 1


def _turn_upright(pixels: Float32, orientation: int) -> Float32:
    """Turn [H, W] pixels stored in an EXIF orientation (1 to 8) upright."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.T
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def crop_square(pixels: Float32) -> Float32:
    """Crop an [H, W] image to its centred square."""
    height, width = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def resize(pixels: Float32, side: int) -> Float32:
    """Reduce a square float32 image to [side, side] with antialiasing; DataError if that would enlarge it.

    At a whole ratio each pixel is the mean of a box, which repeated halving equals; at other ratios it is a triangle
    filter whose width follows the ratio.
    """
    if pixels.shape[0] < side:
        raise DataError(f"a film of {pixels.shape[0]} px is never upsampled to {side} px")
    if pixels.shape[0] == side:
        return pixels
    ratio, rest = divmod(pixels.shape[0], side)
    if rest:
        return _resample(pixels, (side, side), Image.Resampling.BILINEAR)
    # A strip at a time gives the same values: each row of the result depends on its own rows alone.
    n_rows = max(1, _STRIP_PIXELS // (ratio * pixels.shape[0]))
    reduced = np.empty((side, side), dtype=np.float32)
    for top in range(0, side, n_rows):
        strip = pixels[top * ratio : (top + n_rows) * ratio]
        reduced[top : top + n_rows] = _resample(strip, (side, len(strip) // ratio), Image.Resampling.BOX)
    return reduced


def _resample(pixels: Float32, size: tuple[int, int], resampling: Image.Resampling) -> Float32:
    """Resample [H, W] to `size`, width first."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, resampling), dtype=np.float32)


def quantise(unit: Float32) -> UInt8:
    """Convert floats in [0, 1] to uint8, rounded to the nearest level."""
    levels = np.clip(unit, 0.0, 1.0)
    levels *= np.float32(255)
    quantised: UInt8 = np.rint(levels, out=levels).astype(np.uint8)
    return quantised


def find_flaw(square: UInt8) -> str:
    """Say why a square cannot be a film: it is blank, or its contrast is lost; "" if it can be one.

    The least number of grey levels is lower for squares of few pixels, which cannot have more.
    """
    levels = np.flatnonzero(Image.fromarray(square).histogram())
    span = int(levels[-1] - levels[0])
    if span == 0:
        return f"the whole picture has one grey level, {levels[0]}"
    if len(levels) < min(_MIN_GREY_LEVELS, square.size // _MIN_PIXELS_PER_LEVEL):
        return f"the picture has {len(levels)} grey levels; a film has at least {_MIN_GREY_LEVELS}"
    if span < _MIN_SPAN * 255:
        return f"the picture uses {span / 2.55:.1f} % of the range of grey; a film uses at least {_MIN_SPAN:.0%}"
    return ""


def to_float(pixels: UInt8) -> Float32:
    """Convert uint8 [N, H, W] to the networks' float32 [N, 1, H, W] in [-1, 1]."""
    return (pixels[:, None].astype(np.float32) * np.float32(2 / 255)) - np.float32(1)


def to_uint8(images: Float32) -> UInt8:
    """Convert the networks' float32 [N, 1, H, W] in [-1, 1] to uint8 [N, H, W], clipped and rounded."""
    levels: UInt8 = np.rint((np.clip(images[:, 0], -1.0, 1.0) + np.float32(1)) * np.float32(127.5)).astype(np.uint8)
    return levels


def encode_png(pixels: UInt8) -> bytes:
    """Encode a uint8 [H, W] image as a grey PNG without metadata; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode="L").save(buffer, format="PNG", **_PNG_COMPRESSION)
    return buffer.getvalue()


def decode_png(data: bytes, *, name: str = "the image") -> UInt8:
    """Decode a PNG of `encode_png` to uint8 [H, W]; DataError, beginning with `name`, if it is no 8-bit grey PNG."""
    with image_files.open_image(data, name=name, formats=image_files.DATASET_FORMATS) as image:
        if image.mode != "L":
            raise DataError(f"{name}: expected an 8-bit grey PNG, got mode {image.mode}")
        image.load()
        return np.asarray(image, dtype=np.uint8)

"""Reading images of every bit depth, resizing, PNG files, and the conversion between uint8 and float32."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

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


def _make_grey_image(bits: int) -> Image.Image:
    """An upright test image [6, 8] whose corners differ."""
    pixels = np.arange(48, dtype=np.uint16).reshape(6, 8) * 5
    return Image.fromarray(pixels.astype(np.uint8) if bits == 8 else pixels * 257)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "bits"), [("x.png", 8), ("x.png", 16), ("x.jpg", 8), ("x.tif", 16), ("x.webp", 8)])
def test_exif_orientation_is_applied(tmp_path: Path, name: str, bits: int, orientation: int) -> None:
    """A film is turned as the EXIF standard says, in each format and for each of the eight orientations."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if name.endswith("webp") else {"quality": 100} if name.endswith("jpg") else {}
    _make_grey_image(bits).save(tmp_path / name, exif=exif, **options)
    upright = images.read(tmp_path / name)
    stored = np.asarray(_make_grey_image(bits), dtype=np.float32) / (65535 if bits == 16 else 255)
    expected = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.T,
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).T,
        8: np.rot90(stored),
    }[orientation]
    assert upright.shape == ((6, 8) if orientation < 5 else (8, 6))
    assert images.read_shorter_side(tmp_path / name) == 6
    assert np.abs(upright - expected).max() < 1e-2


def test_broken_exif_leaves_a_film_as_it_is_stored(tmp_path: Path) -> None:
    """Metadata that cannot be parsed, and an orientation that is not one of the eight, change nothing."""
    for number, exif in enumerate((b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nothing", b"Exif\0\0")):
        _make_grey_image(8).save(tmp_path / f"{number}.png", exif=exif)
        assert images.read(tmp_path / f"{number}.png").shape == (6, 8)
    wild = Image.Exif()
    wild[ExifTags.Base.Orientation] = 99
    _make_grey_image(8).save(tmp_path / "wild.png", exif=wild)
    assert images.read(tmp_path / "wild.png").shape == (6, 8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_film_is_recognised_by_its_content(tmp_path: Path, suffix: str) -> None:
    """PNG, JPEG, WebP, TIFF and BMP films are read, also under the suffix of another format."""
    for name in (f"x.{suffix}", "x.dat"):
        format_name = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        Image.fromarray(RAMP).save(tmp_path / name, format=format_name)
        assert np.abs(images.read(tmp_path / name) * 255 - RAMP).max() < 12


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_a_large_film_is_converted_in_strips_to_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The strips that limit memory do not change a value."""
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50), dtype=np.uint8)
    image = Image.fromarray(pixels.astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "x.png")
    whole = images.read(tmp_path / "x.png")
    monkeypatch.setattr(images, "_STRIP_PIXELS", 250)
    np.testing.assert_array_equal(images.read(tmp_path / "x.png"), whole)


@pytest.mark.parametrize("side", [4, 8, 16, 48])
def test_reducing_in_strips_gives_the_values_of_the_whole_film(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """A strip may be one row of the result, a number of rows that does not divide the side, or the whole film."""
    pixels = np.random.default_rng(0).random((96, 96), dtype=np.float32)
    whole = images.resize(pixels, side)
    assert whole.tobytes() == np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)).tobytes()
    for n_pixels in (1, 2900, 96 * 96):
        monkeypatch.setattr(images, "_STRIP_PIXELS", n_pixels)
        np.testing.assert_array_equal(images.resize(pixels, side), whole)


def _write_tiff(path: Path, samples: bytes, *, width: int, height: int, bits: int, tags: dict[int, int]) -> None:
    """Write a TIFF of one uncompressed strip."""
    entries = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: 1,
        273: 0,
        277: 1,
        278: height,
        279: len(samples),
    } | tags
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + samples)


def test_a_tiff_is_scaled_by_its_stored_bit_depth(tmp_path: Path) -> None:
    """White is 4095 in a TIFF of 12 bits, and 0 in a 16-bit TIFF where the file says that zero is white."""
    _write_tiff(tmp_path / "a.tif", bytes.fromhex("fff000"), width=2, height=1, bits=12, tags={})
    assert images.read(tmp_path / "a.tif").tolist() == [[1.0, 0.0]]
    negative = np.array([0, 65535], dtype="<u2").tobytes()
    _write_tiff(tmp_path / "b.tif", negative, width=2, height=1, bits=16, tags={262: 0})
    assert images.read(tmp_path / "b.tif").tolist() == [[1.0, 0.0]]


def test_values_without_a_known_range_are_refused(tmp_path: Path) -> None:
    """Floats, and 32-bit values beyond 16 bits, are an error of one line and are not clipped to white."""
    Image.fromarray(np.linspace(0, 5000, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "float.tif")
    Image.fromarray(np.linspace(0, 2**30, 64).astype(np.int32).reshape(8, 8)).save(tmp_path / "wide.tif")
    for name in ("float.tif", "wide.tif"):
        with pytest.raises(DataError, match=rf"{name}: .*no known range; convert it to 16 bits"):
            images.read(tmp_path / name)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((64, 64), 200), "one grey level, 200"),
        (np.arange(4096).reshape(64, 64) % 23 * 11, "23 grey levels"),
        (np.arange(4096).reshape(64, 64) % 2 * 255, "2 grey levels"),
        (np.arange(4096).reshape(64, 64) % 24 * 11, ""),
        (np.arange(4096).reshape(64, 64) % 256, ""),
        (np.arange(16).reshape(4, 4) * 2, ""),
        (np.arange(16).reshape(4, 4), "uses 5.9 % of the range"),
    ],
)
def test_a_square_without_contrast_is_no_film(pixels: np.ndarray, reason: str) -> None:
    """One grey level, fewer than 24, and less than 8 % of the range are named; 24 levels are enough."""
    flaw = images.find_flaw(pixels.astype(np.uint8))
    assert reason in flaw if reason else flaw == ""

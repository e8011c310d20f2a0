"""Opening image files of others: allowed formats, the limit on pixels, and corrupt files."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import image_files, image_reader, images
from synthcxr.errors import ConfigError, DataError

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{} loop\n%%EOF\n"


def encode_png_header(width: int, height: int) -> bytes:
    """Encode the header of a PNG of any size, and pixels that end after its first."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(2)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def encode(format_name: str) -> bytes:
    """Encode a small grey image."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format=format_name)
    return buffer.getvalue()


def refuse_to_start(*_: object, **__: object) -> None:
    raise AssertionError("a process was started")


@pytest.mark.parametrize("content", [POSTSCRIPT, encode("GIF"), encode("PPM"), encode("TGA"), encode("ICO")])
def test_other_formats_reach_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """PostScript and other formats that Pillow knows are refused by their content, and no process is started."""
    monkeypatch.setattr("subprocess.Popen", refuse_to_start)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (images.read, images.read_shorter_side):
        with pytest.raises(DataError, match=r"a\.png: .*cannot identify it as PNG or JPEG or WebP or TIFF or BMP\)$"):
            read(path)
    with pytest.raises(DataError, match=r"^images/a\.png: not a readable image \(cannot identify it as PNG\)$"):
        image_reader.decode_pixels(content, name="images/a.png")


@pytest.mark.parametrize("format_name", ["JPEG", "WebP", "TIFF", "BMP"])
def test_an_image_of_a_dataset_is_a_png(format_name: str) -> None:
    """`generate` writes PNG and DICOM, so the decoders of film formats are not used for a dataset."""
    with pytest.raises(DataError, match="cannot identify it as PNG"):
        image_reader.decode_pixels(encode(format_name), name="x")


@pytest.mark.parametrize("side", [10_001, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    """An image above the limit, and above Pillow's own limits, is one line that names the file."""
    data = encode_png_header(side, side)
    (tmp_path / "bomb.png").write_bytes(data)
    message = r"bomb\.png: not a readable image \(.*pixels"
    for read in (images.read, images.read_shorter_side):
        with pytest.raises(DataError, match=message):
            read(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=message):
        image_reader.decode_pixels(data, name="bomb.png")


def test_the_message_about_the_limit_says_what_to_do(tmp_path: Path) -> None:
    """It has the size, the limit and the variable that changes the limit."""
    (tmp_path / "x.png").write_bytes(encode_png_header(20_000, 6_000))
    with pytest.raises(DataError, match=r"20,000 x 6,000 pixels; at most 100,000,000 .*set SYNTHCXR_MAX_PIXELS\)$"):
        images.read(tmp_path / "x.png")


def test_the_limit_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SYNTHCXR_MAX_PIXELS replaces the limit; a value that is not a number in its range is an error."""
    Image.new("L", (40, 40)).save(tmp_path / "x.png")
    monkeypatch.setenv("SYNTHCXR_MAX_PIXELS", "1600")
    assert images.read(tmp_path / "x.png").shape == (40, 40)
    monkeypatch.setenv("SYNTHCXR_MAX_PIXELS", "1599")
    with pytest.raises(DataError, match="at most 1,599 pixels"):
        images.read(tmp_path / "x.png")
    for value in ("0", "-1", "1e6", "many", "9" * 5000, "200000000"):
        monkeypatch.setenv("SYNTHCXR_MAX_PIXELS", value)
        with pytest.raises(ConfigError, match="SYNTHCXR_MAX_PIXELS: .* is not a number of pixels from 1 to"):
            images.read(tmp_path / "x.png")


@pytest.mark.parametrize("format_name", image_files.FILM_FORMATS)
def test_corrupt_files_are_one_line(tmp_path: Path, format_name: str) -> None:
    """Files with changed, removed and repeated bytes are read, or are a DataError of one line with the path."""
    rng, original, path = random.Random(format_name), encode(format_name.upper()), tmp_path / "x.png"
    for _ in range(60):
        data = bytearray(original)
        for _ in range(rng.randint(1, 6)):
            position = rng.choice((rng.randrange(len(data)), rng.randrange(min(len(data), 80))))
            if rng.random() < 0.7:
                data[position] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
            else:
                del data[position : position + rng.randint(1, 9)]
        path.write_bytes(bytes(data))
        for read in (images.read, images.read_shorter_side):
            try:
                read(path)
            except DataError as error:
                assert str(error).startswith(f"{path}: ")
                assert "\n" not in str(error)


def test_a_folder_in_place_of_a_film_is_an_error(tmp_path: Path) -> None:
    """A path that cannot be opened is a DataError with the reason of the system."""
    (tmp_path / "x.png").mkdir()
    with pytest.raises(DataError, match=r"x\.png: not a readable image \(is a folder, expected a file\)$"):
        images.read(tmp_path / "x.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_in_place_of_a_film_is_an_error(tmp_path: Path) -> None:
    """A pipe is not opened, which would wait for its writer."""
    os.mkfifo(tmp_path / "x.png")
    for read in (images.read, images.read_shorter_side):
        with pytest.raises(
            DataError, match=r"x\.png: not a readable image \(is a pipe or a device, expected a file\)$"
        ):
            read(tmp_path / "x.png")

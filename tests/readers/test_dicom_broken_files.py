"""Broken and malicious DICOM films: one-line errors with the path and without any tag."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from support.dicom_files import build_film, draw_12_bit_phantom, write_film

from synthcxr.errors import DataError
from synthcxr.readers import dicom_pixels

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
"""Stored values 0, 65 ... 4095: the range of 12 bits."""


def test_missing_decoder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the compression and what to install."""
    dataset = build_film(RAMP, bits=16)
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([b"\xff\xd8\xff\xd9"]), JPEGLosslessSV1
    path = write_film(dataset, tmp_path / "x.dcm")
    from pydicom.pixels.decoders.base import JPEGLosslessSV1Decoder

    monkeypatch.setattr(JPEGLosslessSV1Decoder, "_available", {})
    with pytest.raises(DataError, match=r"compressed as JPEG Lossless.*pip install 'synthcxr\[dicom\]'"):
        dicom_pixels.read_pixels(path)


@pytest.mark.skipif(importlib.util.find_spec("libjpeg") is not None, reason="pylibjpeg-libjpeg is installed")
def test_jpeg_of_12_bits_names_the_missing_decoder(tmp_path: Path) -> None:
    """No decoder of the extra reads JPEG Extended films of more than 8 bits; the error says which one does."""
    with pytest.raises(DataError, match=r"JPEG Extended film of 12 bits: pip install pylibjpeg-libjpeg, or convert"):
        dicom_pixels.read_pixels(write_film(_jpeg_extended(12), tmp_path / "x.dcm"))


def _two_frames() -> Any:
    dataset = build_film(RAMP, NumberOfFrames=2)
    dataset.PixelData = RAMP.tobytes() * 2
    return dataset


def _colour() -> Any:
    return build_film(RAMP, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)


def _without(name: str) -> Any:
    dataset = build_film(RAMP)
    delattr(dataset, name)
    return dataset


def _compressed(stream: bytes) -> Any:
    dataset = build_film(RAMP, bits=16)
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([stream]), JPEG2000Lossless
    dataset["PixelData"].is_undefined_length = True
    return dataset


def _jpeg_extended(bits: int) -> Any:
    dataset = build_film(RAMP, bits=bits)
    stream = b"\xff\xd8\xff\xc1\x00\x0b" + struct.pack(">BHH", bits, 8, 8) + b"\x01\x01\x11\x00\xff\xd9"
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([stream]), JPEGExtended12Bit
    dataset["PixelData"].is_undefined_length = True
    return dataset


def _another_syntax(syntax: str) -> Any:
    dataset = _compressed(b"\0" * 64) if syntax != DeflatedExplicitVRLittleEndian else build_film(RAMP)
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


J2K_60_000 = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">IIII", 60_000, 60_000, 0, 0) + b"\0" * 30
JPEG_65_535 = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"
BROKEN = {
    "two frames": (_two_frames, "2 frames; expected one"),
    "colour": (_colour, "RGB image; expected greyscale"),
    "no pixels": (lambda: _without("PixelData"), "no pixel data"),
    "no rows": (lambda: _without("Rows"), "not a readable DICOM film"),
    "too few bytes": (lambda: build_film(RAMP, Rows=9), "128 bytes of pixel data, but the tags state 144"),
    "too large": (lambda: build_film(RAMP, Rows=65535, Columns=65535), "65,535 x 65,535 pixels; expected"),
    "no width": (lambda: build_film(RAMP, Columns=0), "8 x 0 pixels; expected"),
    "JPEG 2000 bomb": (
        lambda: _compressed(J2K_60_000),
        "compressed image has 60,000 x 60,000 pixels, but the tags say 8 x 8",
    ),
    "JPEG bomb": (
        lambda: _compressed(JPEG_65_535),
        "compressed image has 65,535 x 65,535 pixels, but the tags say 8 x 8",
    ),
    "truncated stream": (
        lambda: _compressed(b"\xff\x4f\xff\x51"),
        r"no decoder reads its JPEG 2000 Image Compression \(Lossless Only\) data of 16 bits",
    ),
    "JPEG of 8 bits": (lambda: _jpeg_extended(8), r"no decoder reads its JPEG Extended .* data of 8 bits"),
    "infinite slope": (
        lambda: build_film(RAMP, RescaleSlope="1e39", RescaleIntercept="0"),
        "not a readable DICOM film",
    ),
    "slope is not a number": (lambda: build_film(RAMP, RescaleSlope="nan", RescaleIntercept="0"), "not a readable"),
    "deflated": (lambda: _another_syntax(DeflatedExplicitVRLittleEndian), "the whole file is deflated"),
    "a video": (lambda: _another_syntax("1.2.840.10008.1.2.4.100"), "MPEG2.*which is not supported"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_and_malicious_files_are_one_line_errors(tmp_path: Path, name: str) -> None:
    """A file that cannot be displayed is a one-line DataError with the path and without any tag."""
    build_dataset, message = BROKEN[name]
    path = write_film(build_dataset(), tmp_path / "x.dcm")
    with pytest.raises(DataError, match=message) as caught:
        dicom_pixels.read_pixels(path)
    assert not [text for text in ("\n", "Doe", "007") if text in str(caught.value)]
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("n_bytes", [0, 100, 132, 140, 300, 700])
def test_truncated_files_are_one_line_errors(tmp_path: Path, n_bytes: int) -> None:
    """A file truncated anywhere is an error with its name."""
    path = write_film(build_film(draw_12_bit_phantom(0)), tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(DataError, match=r"x\.dcm: ") as caught:
        dicom_pixels.read_pixels(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_ends_in_compressed_pixels_is_named_as_such(tmp_path: Path) -> None:
    """The error of a compressed film that was copied in part says that the file ends early."""
    path = write_film(build_film(draw_12_bit_phantom(0), compress=JPEGLSLossless), tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"x\.dcm: not a readable DICOM film \(the file ends early; copy it again\)"):
        dicom_pixels.read_pixels(path)


@pytest.mark.parametrize("syntax", ["", RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_a_changed_byte_is_never_another_error(tmp_path: Path, syntax: str) -> None:
    """A byte changed anywhere gives pixels in [0, 1] or a DataError, never another error or a crash."""
    content = write_film(build_film(draw_12_bit_phantom(1), compress=syntax), tmp_path / "original.dcm").read_bytes()
    rng = np.random.default_rng(7)
    for position in rng.integers(128, len(content), 60):
        changed = bytearray(content)
        changed[position] ^= int(rng.integers(1, 256))
        path = tmp_path / "x.dcm"
        path.write_bytes(changed)
        try:
            pixels = dicom_pixels.read_pixels(path)
        except DataError:
            continue
        assert pixels.min() >= 0
        assert pixels.max() <= 1


def build_nested_sequences(depth: int) -> bytes:
    """Build `depth` nested sequences of undefined length that are never closed."""
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return start * depth


def test_deep_nesting_is_a_one_line_error(tmp_path: Path) -> None:
    """Ten thousand nested sequences are a DataError, not a RecursionError."""
    content = write_film(build_film(RAMP), tmp_path / "x.dcm").read_bytes()
    position = content.index(b"\x08\x00\x16\x00UI")
    (tmp_path / "x.dcm").write_bytes(content[:position] + build_nested_sequences(10_000))
    with pytest.raises(DataError, match=r"x\.dcm: "):
        dicom_pixels.read_pixels(tmp_path / "x.dcm")


def test_short_pixel_data_is_an_error_with_both_sizes(tmp_path: Path) -> None:
    """The error states the bytes that are present and the bytes that the tags state."""
    dataset = build_film(RAMP)
    dataset.PixelData = dataset.PixelData[:100]
    with pytest.raises(DataError, match="100 bytes of pixel data, but the tags state 128"):
        dicom_pixels.read_pixels(write_film(dataset, tmp_path / "x.dcm"))

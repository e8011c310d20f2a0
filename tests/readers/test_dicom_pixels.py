"""A DICOM film's pixels: every way to the grey that a viewer shows, and every broken file refused in one line."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from support.dicom_files import film, jpeg_film, phantom_12_bit, save

from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.readers import dicom_pixels

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
"""Stored values 0, 65 ... 4095: all of 12 bits."""
UNIT = RAMP / np.float32(4095)


def shown(made: Any, folder: Path) -> Float32:
    return dicom_pixels.read(save(made, folder / "x.dcm"))


def test_stored_values_are_scaled_by_their_bits(tmp_path: Path) -> None:
    """Without rescale or window the stored range is black to white; nothing is stretched or clipped."""
    np.testing.assert_allclose(shown(film(RAMP), tmp_path), UNIT, atol=1e-6)
    np.testing.assert_allclose(shown(film(RAMP, bits=16), tmp_path), RAMP / 65535, atol=1e-6)
    signed = RAMP.astype(np.int16) - 2048
    np.testing.assert_allclose(shown(film(signed), tmp_path), UNIT, atol=1e-6)


def test_monochrome1_is_turned_over(tmp_path: Path) -> None:
    """Where the least stored value is white, bone still comes out white."""
    made = film(4095 - RAMP, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(shown(made, tmp_path), UNIT, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, (UNIT * 4095 - 1999.5) / 999 + 0.5),
        ("LINEAR", (UNIT * 4095 - 1999.5) / 999 + 0.5),
        ("LINEAR_EXACT", (UNIT * 4095 - 2000) / 1000 + 0.5),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (UNIT * 4095 - 2000) / 1000))),
    ],
)
def test_window(tmp_path: Path, function: str | None, expected: Float32) -> None:
    """The window's three functions, by the formulas of the standard; the first of several windows is taken."""
    tags = {"WindowCenter": [2000, 9], "WindowWidth": [1000, 9]} | ({"VOILUTFunction": function} if function else {})
    np.testing.assert_allclose(shown(film(RAMP, **tags), tmp_path), np.clip(expected, 0, 1), atol=1e-5)


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    """A window is in rescaled values."""
    made = film(RAMP, RescaleSlope="2", RescaleIntercept="-100", WindowCenter="3900.5", WindowWidth="2001")
    np.testing.assert_allclose(shown(made, tmp_path), np.clip((RAMP * 2.0 - 4000) / 2000 + 0.5, 0, 1), atol=1e-3)


def lut(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries))
    return item


@pytest.mark.parametrize("bits", [12, 16])
def test_voi_lut_beats_the_window(tmp_path: Path, bits: int) -> None:
    """A table is used where there is one, its own span black to white whatever bits it states; ends repeat."""
    made = film(RAMP, WindowCenter="1", WindowWidth="2")
    made.VOILUTSequence = Sequence([lut([0, 1000, 4000, 4000, 4000], 64, bits)])
    got = shown(made, tmp_path).ravel()
    np.testing.assert_allclose(got[:4], [0, 0.25, 1, 1], atol=1e-6)
    assert got[-1] == 1


def test_bits_above_the_stored_ones_are_no_pixels(tmp_path: Path) -> None:
    """Old files keep overlays in the high bits."""
    made = film(RAMP)
    made.PixelData = (RAMP | np.uint16(0x8000)).tobytes()
    np.testing.assert_allclose(shown(made, tmp_path), UNIT, atol=1e-6)


def test_padding_is_black(tmp_path: Path) -> None:
    """What no detector saw is black in MONOCHROME1 as well."""
    made = film(RAMP, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    got = shown(made, tmp_path)
    assert got[0, 0] == 0
    assert got[0, 1] > 0.9


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_compression_changes_nothing(tmp_path: Path, syntax: str) -> None:
    """A compressed phantom is the phantom."""
    pixels = phantom_12_bit(3)
    np.testing.assert_array_equal(shown(film(pixels, compress=syntax), tmp_path), shown(film(pixels), tmp_path))


def test_baseline_jpeg(tmp_path: Path) -> None:
    """8-bit JPEG comes within its own loss."""
    pixels = (phantom_12_bit(3) >> 4).astype(np.uint8)
    np.testing.assert_allclose(shown(jpeg_film(pixels), tmp_path), pixels / 255, atol=0.05)


def test_big_endian(tmp_path: Path) -> None:
    """The retired byte order is read."""
    made = film(RAMP)
    made.PixelData = RAMP.astype(">u2").tobytes()
    made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(tmp_path / "x.dcm", made, implicit_vr=False, little_endian=False, enforce_file_format=True)
    np.testing.assert_allclose(dicom_pixels.read(tmp_path / "x.dcm"), UNIT, atol=1e-6)


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no decoder is installed for a compression, the line names it and what to install."""
    made = film(RAMP, bits=16)
    made.PixelData, made.file_meta.TransferSyntaxUID = encapsulate([b"\xff\xd8\xff\xd9"]), JPEGLosslessSV1
    path = save(made, tmp_path / "x.dcm")
    from pydicom.pixels.decoders.base import JPEGLosslessSV1Decoder

    monkeypatch.setattr(JPEGLosslessSV1Decoder, "_available", {})
    with pytest.raises(DataError, match=r"compressed as JPEG Lossless.*pip install 'synthcxr\[dicom\]'"):
        dicom_pixels.read(path)


def _two_frames() -> Any:
    made = film(RAMP, NumberOfFrames=2)
    made.PixelData = RAMP.tobytes() * 2
    return made


def _colour() -> Any:
    return film(RAMP, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)


def _without(name: str) -> Any:
    made = film(RAMP)
    delattr(made, name)
    return made


def _compressed(stream: bytes) -> Any:
    made = film(RAMP, bits=16)
    made.PixelData, made.file_meta.TransferSyntaxUID = encapsulate([stream]), JPEG2000Lossless
    made["PixelData"].is_undefined_length = True
    return made


def _another_syntax(syntax: str) -> Any:
    made = _compressed(b"\0" * 64) if syntax != DeflatedExplicitVRLittleEndian else film(RAMP)
    made.file_meta.TransferSyntaxUID = syntax
    return made


J2K_60_000 = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">IIII", 60_000, 60_000, 0, 0) + b"\0" * 30
JPEG_65_535 = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"
BROKEN = {
    "two frames": (_two_frames, "holds 2 frames"),
    "colour": (_colour, "is RGB, not grey"),
    "no pixels": (lambda: _without("PixelData"), "holds no pixels"),
    "no rows": (lambda: _without("Rows"), "not a readable DICOM film"),
    "too few bytes": (lambda: film(RAMP, Rows=9), "not a readable DICOM film"),
    "enormous": (lambda: film(RAMP, Rows=65535, Columns=65535), "states 65,535 x 65,535 pixels"),
    "no width": (lambda: film(RAMP, Columns=0), "states 8 x 0 pixels"),
    "a bomb in JPEG 2000": (lambda: _compressed(J2K_60_000), "its pixels are 60,000 x 60,000, not 8 x 8"),
    "a bomb in JPEG": (lambda: _compressed(JPEG_65_535), "its pixels are 65,535 x 65,535, not 8 x 8"),
    "a cut stream": (lambda: _compressed(b"\xff\x4f\xff\x51"), "not a readable DICOM film"),
    "an endless slope": (lambda: film(RAMP, RescaleSlope="1e39", RescaleIntercept="0"), "not a readable DICOM film"),
    "a slope that is no number": (lambda: film(RAMP, RescaleSlope="nan", RescaleIntercept="0"), "not a readable"),
    "deflated": (lambda: _another_syntax(DeflatedExplicitVRLittleEndian), "is deflated as a whole"),
    "a video": (lambda: _another_syntax("1.2.840.10008.1.2.4.100"), "MPEG2.*which no decoder reads"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_and_hostile_files_are_one_line(tmp_path: Path, name: str) -> None:
    """What cannot be shown is a DataError of one line that names the file, before memory or time is spent on it."""
    make, why = BROKEN[name]
    path = save(make(), tmp_path / "x.dcm")
    with pytest.raises(DataError, match=why) as caught:
        dicom_pixels.read(path)
    assert not [text for text in ("\n", "Doe", "007") if text in str(caught.value)]
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("cut", [0, 100, 132, 140, 300, 700])
def test_cut_files_are_one_line(tmp_path: Path, cut: int) -> None:
    """A file cut anywhere is refused by name."""
    path = save(film(phantom_12_bit(0)), tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"x\.dcm: ") as caught:
        dicom_pixels.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("syntax", ["", RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_flipped_bytes_harm_nothing(tmp_path: Path, syntax: str) -> None:
    """A byte changed anywhere gives pixels in [0, 1] or a DataError, never another error and never a crash."""
    whole = save(film(phantom_12_bit(1), compress=syntax), tmp_path / "whole.dcm").read_bytes()
    rng = np.random.default_rng(7)
    for at in rng.integers(128, len(whole), 60):
        harmed = bytearray(whole)
        harmed[at] ^= int(rng.integers(1, 256))
        path = tmp_path / "x.dcm"
        path.write_bytes(harmed)
        try:
            got = dicom_pixels.read(path)
        except DataError:
            continue
        assert got.min() >= 0
        assert got.max() <= 1


def nested(depth: int) -> bytes:
    """A sequence within a sequence, `depth` times, of undefined length and never closed."""
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return start * depth


def test_endless_nesting_is_one_line(tmp_path: Path) -> None:
    """Ten thousand nested sequences end in a line, not in the interpreter's."""
    whole = save(film(RAMP), tmp_path / "x.dcm").read_bytes()
    at = whole.index(b"\x08\x00\x16\x00UI")
    (tmp_path / "x.dcm").write_bytes(whole[:at] + nested(10_000))
    with pytest.raises(DataError, match=r"x\.dcm: "):
        dicom_pixels.read(tmp_path / "x.dcm")

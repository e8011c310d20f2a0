"""The pixels of DICOM films: the grey levels that a viewer displays."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from support.dicom_files import build_film, build_jpeg_film, draw_12_bit_phantom, write_film

from synthcxr.data.images import Float32
from synthcxr.readers import dicom_pixels

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
"""Stored values 0, 65 ... 4095: the range of 12 bits."""
UNIT = RAMP / np.float32(4095)


def save_and_read(dataset: Any, folder: Path) -> Float32:
    return dicom_pixels.read_pixels(write_film(dataset, folder / "x.dcm"))


def test_stored_values_are_scaled_by_their_bits(tmp_path: Path) -> None:
    """Without rescale or window, the stored range is black to white; nothing is stretched or clipped."""
    np.testing.assert_allclose(save_and_read(build_film(RAMP), tmp_path), UNIT, atol=1e-6)
    np.testing.assert_allclose(save_and_read(build_film(RAMP // 2), tmp_path), RAMP // 2 / 4095, atol=1e-6)
    signed = RAMP.astype(np.int16) - 2048
    np.testing.assert_allclose(save_and_read(build_film(signed), tmp_path), UNIT, atol=1e-6)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    """If the smallest stored value is white, bone is still white."""
    dataset = build_film(4095 - RAMP, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(save_and_read(dataset, tmp_path), UNIT, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, (UNIT * 4095 - 1999.5) / 999 + 0.5),
        ("LINEAR", (UNIT * 4095 - 1999.5) / 999 + 0.5),
        ("LINEAR_EXACT", (UNIT * 4095 - 2000) / 1000 + 0.5),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (UNIT * 4095 - 2000) / 1000))),
    ],
)
def test_window_functions(tmp_path: Path, function: str | None, expected: Float32) -> None:
    """The three window functions follow the formulas of the standard; the first of several windows is used."""
    tags = {"WindowCenter": [2000, 9], "WindowWidth": [1000, 9]} | ({"VOILUTFunction": function} if function else {})
    np.testing.assert_allclose(save_and_read(build_film(RAMP, **tags), tmp_path), np.clip(expected, 0, 1), atol=1e-5)


def test_rescale_is_applied_before_the_window(tmp_path: Path) -> None:
    """The window is in rescaled values."""
    dataset = build_film(RAMP, RescaleSlope="2", RescaleIntercept="-100", WindowCenter="3900.5", WindowWidth="2001")
    np.testing.assert_allclose(
        save_and_read(dataset, tmp_path), np.clip((RAMP * 2.0 - 4000) / 2000 + 0.5, 0, 1), atol=1e-3
    )


def build_lut(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries))
    return item


@pytest.mark.parametrize("bits", [12, 16])
def test_voi_lut_takes_precedence_over_the_window(tmp_path: Path, bits: int) -> None:
    """A LUT is scaled from its smallest to its largest entry, whatever bits it declares; its end values repeat."""
    dataset = build_film(RAMP, WindowCenter="1", WindowWidth="2")
    dataset.VOILUTSequence = Sequence([build_lut([0, 1000, 4000, 4000, 4000], 64, bits)])
    pixels = save_and_read(dataset, tmp_path).ravel()
    np.testing.assert_allclose(pixels[:4], [0, 0.25, 1, 1], atol=1e-6)
    assert pixels[-1] == 1


def test_bits_above_bits_stored_are_ignored(tmp_path: Path) -> None:
    """Old files store overlays in the high bits."""
    dataset = build_film(RAMP)
    dataset.PixelData = (RAMP | np.uint16(0x8000)).tobytes()
    np.testing.assert_allclose(save_and_read(dataset, tmp_path), UNIT, atol=1e-6)


def test_padding_is_black(tmp_path: Path) -> None:
    """Padding is black in MONOCHROME1 as well."""
    dataset = build_film(RAMP, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    pixels = save_and_read(dataset, tmp_path)
    assert pixels[0, 0] == 0
    assert pixels[0, 1] > 0.9


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_compression_changes_nothing(tmp_path: Path, syntax: str) -> None:
    """A losslessly compressed phantom has the same pixels."""
    pixels = draw_12_bit_phantom(3)
    np.testing.assert_array_equal(
        save_and_read(build_film(pixels, compress=syntax), tmp_path), save_and_read(build_film(pixels), tmp_path)
    )


def test_reads_baseline_jpeg(tmp_path: Path) -> None:
    """The pixels of 8-bit JPEG are correct within its compression loss."""
    pixels = (draw_12_bit_phantom(3) >> 4).astype(np.uint8)
    np.testing.assert_allclose(save_and_read(build_jpeg_film(pixels), tmp_path), pixels / 255, atol=0.05)


def test_reads_big_endian(tmp_path: Path) -> None:
    """The retired big-endian syntax is supported."""
    dataset = build_film(RAMP)
    dataset.PixelData = RAMP.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(tmp_path / "x.dcm", dataset, implicit_vr=False, little_endian=False, enforce_file_format=True)
    np.testing.assert_allclose(dicom_pixels.read_pixels(tmp_path / "x.dcm"), UNIT, atol=1e-6)


def test_sixteen_stated_bits_are_scaled_by_the_bits_in_use(tmp_path: Path) -> None:
    """12-bit values in 16 stated bits span black to white without a window, as if 12 bits were stated; padding is not
    counted.
    """
    np.testing.assert_allclose(save_and_read(build_film(RAMP, bits=16), tmp_path), UNIT, atol=1e-6)
    signed = RAMP.astype(np.int16) - 2048
    np.testing.assert_allclose(save_and_read(build_film(signed, bits=16), tmp_path), UNIT, atol=1e-6)
    padded = RAMP.copy()
    padded[0, 0] = 65535
    pixels = save_and_read(build_film(padded, bits=16, PixelPaddingValue=65535), tmp_path)
    np.testing.assert_allclose(pixels, UNIT, atol=1e-6)


@pytest.mark.parametrize("high_bit", [12, 15])
def test_values_below_the_high_bit_are_shifted(tmp_path: Path, high_bit: int) -> None:
    """Values whose highest bit is not BitsStored - 1 are read from the bits that the tags name, signed or not."""
    n_below = high_bit - 11
    np.testing.assert_allclose(save_and_read(build_film(RAMP << n_below, HighBit=high_bit), tmp_path), UNIT, atol=1e-6)
    signed = (RAMP.astype(np.int16) - 2048) << n_below
    np.testing.assert_allclose(save_and_read(build_film(signed, HighBit=high_bit), tmp_path), UNIT, atol=1e-6)


def test_inverse_presentation_is_inverted_once(tmp_path: Path) -> None:
    """Presentation LUT Shape INVERSE inverts a film, together with MONOCHROME1 only once."""
    for interpretation in ("MONOCHROME1", "MONOCHROME2"):
        dataset = build_film(4095 - RAMP, PresentationLUTShape="INVERSE", PhotometricInterpretation=interpretation)
        np.testing.assert_allclose(save_and_read(dataset, tmp_path), UNIT, atol=1e-6)


@pytest.mark.parametrize("orientation", ["L\\F", "R\\F", "L\\H", "R\\H", "F\\L", "F\\R", "H\\L", "H\\R"])
def test_films_are_turned_to_the_usual_display(tmp_path: Path, orientation: str) -> None:
    """Whatever the Patient Orientation, the patient's left is at the right and the head at the top."""
    row, column = orientation.split("\\")
    stored = RAMP.T if row in "HF" else RAMP
    stored = stored[:, ::-1] if row in "RH" else stored
    stored = np.ascontiguousarray(stored[::-1] if column in "RH" else stored)
    pixels = save_and_read(build_film(stored, PatientOrientation=orientation), tmp_path)
    np.testing.assert_allclose(pixels, UNIT, atol=1e-6)


@pytest.mark.parametrize(
    ("tags", "shape"),
    [
        ({"PixelAspectRatio": ["2", "1"]}, (8, 4)),
        ({"PixelSpacing": ["0.1", "0.2"]}, (4, 8)),
        ({"ImagerPixelSpacing": ["0.2", "0.2"]}, (8, 8)),
        ({"PixelAspectRatio": ["0", "1"]}, (8, 8)),
    ],
)
def test_pixels_become_square(tmp_path: Path, tags: dict[str, list[str]], shape: tuple[int, int]) -> None:
    """A film whose pixels are not square is reduced on its denser side; an invalid ratio is ignored."""
    assert save_and_read(build_film(RAMP, **tags), tmp_path).shape == shape


def test_window_of_width_0_is_ignored(tmp_path: Path) -> None:
    """A window without a width does not turn the film black and white."""
    dataset = build_film(RAMP, WindowCenter="2000", WindowWidth="0")
    np.testing.assert_allclose(save_and_read(dataset, tmp_path), UNIT, atol=1e-6)

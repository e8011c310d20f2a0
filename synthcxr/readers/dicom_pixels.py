"""A DICOM film's pixels as a viewer shows them: decoded, rescaled, windowed, black where the film is dark.

Sources: DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (rescale), C.11.2 (VOI LUT and window), PS3.5 8.2 (compression).
"""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.readers import jpeg_header

MAX_PIXELS = 150_000_000
"""Of one film; the largest detectors have some 30 million."""
BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError),
    *(RecursionError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)
"""What pydicom and its decoders raise for files that are not what they say."""
_DEFLATED = "1.2.840.10008.1.2.1.99"
_STEEPEST = 1e9
_STATED = 65_536  # bytes of a stream in which its size stands


def read(path: Path) -> Float32:
    """The film as float32 [H, W] in [0, 1]; raises DataError, naming the file, for one that cannot be shown."""
    import pydicom

    quieten()
    with refusing(path):
        check_syntax(path)
        film = pydicom.dcmread(path)
        check_size(path, int(film.Rows), int(film.Columns))
        _check_kind(path, film)
        _check_stream(path, film)
        stored = _stored(film)
        shown = _shown(film, stored)
        return _black_where_padded(film, stored, shown)


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Whatever a broken file makes pydicom raise becomes a DataError of one line that names it.

    The line gives the kind of error alone: pydicom's own words may quote a tag, and so a patient.
    """
    from pydicom import errors

    try:
        yield
    except DataError:
        raise
    except (*BROKEN, errors.BytesLengthException, errors.InvalidDicomError) as error:
        raise DataError(f"{path}: not a readable DICOM film ({type(error).__name__})") from error


def quieten() -> None:
    """Keep what pydicom warns of off stderr: what matters becomes an error, the rest is not ours."""
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def check_syntax(path: Path) -> None:
    """DataError for a compression that no decoder here reads, naming what to install, or that is no film's."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.pixels.decoders.base import get_decoder

    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax is None:
        raise DataError(f"{path}: names no transfer syntax")
    if syntax == _DEFLATED:  # unpacked whole before anything is known of it
        raise DataError(f"{path}: is deflated as a whole; write it again with another transfer syntax")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise DataError(f"{path}: is compressed as {syntax.name}, which no decoder reads") from None
    if not decoder.is_available:
        raise DataError(
            f"{path}: is compressed as {syntax.name} and its decoder is missing: pip install 'synthcxr[dicom]'"
        )


def check_size(path: Path, rows: int, columns: int) -> None:
    """DataError for a film of no size, or of one that no detector has."""
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise DataError(f"{path}: states {rows:,} x {columns:,} pixels; from 1 to {MAX_PIXELS:,} are read")


def _check_kind(path: Path, film: Any) -> None:
    frames = int(film.get("NumberOfFrames") or 1)
    if frames != 1:
        raise DataError(f"{path}: holds {frames:,} frames; a film is one")
    if int(film.SamplesPerPixel) != 1 or film.PhotometricInterpretation not in {"MONOCHROME1", "MONOCHROME2"}:
        raise DataError(f"{path}: is {film.PhotometricInterpretation}, not grey")
    if "PixelData" not in film:
        raise DataError(f"{path}: holds no pixels")


def _check_stream(path: Path, film: Any) -> None:
    """DataError where a compressed stream states another size than the film."""
    from pydicom.encaps import generate_frames

    if not film.file_meta.TransferSyntaxUID.is_compressed:
        return
    stated = jpeg_header.size(next(generate_frames(film.PixelData, number_of_frames=1))[:_STATED])
    if stated is not None and stated != (film.Rows, film.Columns):
        raise DataError(f"{path}: its pixels are {stated[0]:,} x {stated[1]:,}, not {film.Rows:,} x {film.Columns:,}")


def _stored(film: Any) -> Float32:
    """Stored values without the bits that BitsStored leaves to overlays."""
    values = np.asarray(film.pixel_array)
    if values.dtype.kind == "u":
        values = values & np.asarray((1 << int(film.BitsStored)) - 1, dtype=values.dtype)
    return values.astype(np.float32)


def _shown(film: Any, stored: Float32) -> Float32:
    """Stored values through rescale, VOI and photometric interpretation, in [0, 1]."""
    bits, signed = int(film.BitsStored), bool(film.PixelRepresentation)
    ends = np.array([-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1], dtype=np.float32)
    values, ends = _rescaled(film, stored), _rescaled(film, ends)
    table = film.get("VOILUTSequence")
    if table:
        unit = _through_table(table[0], values)
    elif film.get("WindowCenter") is not None and film.get("WindowWidth") is not None:
        unit = _windowed(film, values)
    else:
        unit = (values - ends.min()) / max(float(ends.max() - ends.min()), 1e-6)
    unit = np.clip(unit, 0.0, 1.0).astype(np.float32)
    return np.float32(1) - unit if film.PhotometricInterpretation == "MONOCHROME1" else unit


def _rescaled(film: Any, values: Float32) -> Float32:
    if film.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        looked_up: Float32 = apply_modality_lut(values.astype(np.int64), film).astype(np.float32)
        return looked_up
    slope, intercept = film.get("RescaleSlope"), film.get("RescaleIntercept")
    if slope is None or intercept is None:
        return values
    if not (abs(float(slope)) <= _STEEPEST and abs(float(intercept)) <= _STEEPEST):
        raise ValueError("rescaled beyond all bounds")
    return values * np.float32(slope) + np.float32(intercept)


def _through_table(item: Any, values: Float32) -> Float32:
    """A VOI LUT, from the least of its entries (0) to the greatest (1): some state more bits than they use."""
    n_entries, first = int(item.LUTDescriptor[0]) or 65536, int(item.LUTDescriptor[1])
    data = item.LUTData
    raw = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    entries = raw.astype(np.float32)[:n_entries]
    if first >= 1 << 15 and values.min() < 0:  # the standard writes a signed first value in an unsigned field
        first -= 1 << 16
    at = np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)
    span = float(entries.max() - entries.min())
    unit: Float32 = (entries[at] - entries.min()) / np.float32(max(span, 1e-6))
    return unit


def _windowed(film: Any, values: Float32) -> Float32:
    """The first window, by the function that the film names (C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = _first(film.WindowCenter), _first(film.WindowWidth)
    function = str(film.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        steepness = np.clip(-4 * (values - centre) / max(width, 1e-6), -60, 60).astype(np.float32)
        unit: Float32 = np.float32(1) / (np.float32(1) + np.exp(steepness))
        return unit
    if function == "LINEAR":  # its steps lie between whole values
        centre, width = centre - 0.5, width - 1
    return (values - np.float32(centre)) / np.float32(max(width, 1e-6)) + np.float32(0.5)


def _first(value: Any) -> float:
    return float(value if isinstance(value, int | float | str) else value[0])


def _black_where_padded(film: Any, stored: Float32, shown: Float32) -> Float32:
    """PixelPaddingValue marks what no detector saw: black, whatever its value."""
    padding = film.get("PixelPaddingValue")
    if padding is None:
        return shown
    limit = film.get("PixelPaddingRangeLimit", padding)
    low, high = sorted((int(padding), int(limit)))
    return np.where((stored >= low) & (stored <= high), np.float32(0), shown)

"""Read the pixels of a DICOM film as a viewer displays them: decoded, rescaled, windowed, with dark air.

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
from numpy.typing import NDArray

from synthcxr.data import image_files, pixel_budget
from synthcxr.data.images import Float32
from synthcxr.errors import DataError
from synthcxr.readers import dicom_decoding, dicom_geometry, dicom_worker, jpeg_header

_DECODER_ERRORS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError),
    *(RecursionError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)
"""What pydicom and its decoders raise for corrupt files."""
_DEFLATED_SYNTAX = "1.2.840.10008.1.2.1.99"
_JPEG_EXTENDED_SYNTAX = "1.2.840.10008.1.2.4.51"
_MAX_RESCALE = 1e9
RANGE_TAGS = (
    *("BitsAllocated", "BitsStored", "WindowCenter", "WindowWidth", "VOILUTSequence", "VOILUTFunction"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
)
"""The tags that say which stored values are black and white."""
_MIN_BITS = 8
_HEADER_BYTES = 65_536  # the part of a stream that contains its size


def read_pixels(path: Path) -> Float32:
    """Read a film as float32 [H, W] in [0, 1]; DataError with the path if it cannot be displayed."""
    import pydicom

    silence_pydicom_warnings()
    with translate_errors(path):
        check_transfer_syntax(path)
        film = pydicom.dcmread(path)
        if not film:  # pydicom drops all tags if the file ends inside compressed pixel data
            raise DataError(f"{path}: not a readable DICOM film (the file ends early; copy it again)")
        check_size(path, int(film.Rows), int(film.Columns))
        pixel_budget.DECODING.reserve(int(film.Rows) * int(film.Columns))
        _check_image_type(path, film)
        _check_stream_size(path, film)
        _check_data_size(path, film)
        stored_values = _read_stored_values(path, film)
        pixels = _blacken_padding(film, stored_values, _to_display_values(film, stored_values))
        square_pixels = dicom_geometry.resample_to_square_pixels(pixels, dicom_geometry.find_aspect_ratio(film))
        return dicom_geometry.find_turn(film).apply(square_pixels)


def has_invalid_window(film: Any) -> bool:
    """Return whether the film has a window that cannot be displayed: a width of 0 or below, or below 1 if linear."""
    if film.get("WindowCenter") is None or film.get("WindowWidth") is None:
        return False
    width = _get_first(film.WindowWidth)
    function = str(film.get("VOILUTFunction") or "LINEAR").upper()
    return not width >= 1 if function == "LINEAR" else not width > 0


def may_overstate_bits(film: Any) -> bool:
    """Return whether the film states that all 16 allocated bits are stored, and nothing that says which are in use."""
    has_window = film.get("WindowCenter") is not None and film.get("WindowWidth") is not None
    return (
        int(film.get("BitsStored") or 0) == int(film.get("BitsAllocated") or 0) == 16
        and not film.get("VOILUTSequence")
        and not film.get("ModalityLUTSequence")
        and (not has_window or has_invalid_window(film))
    )


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Translate the errors that pydicom raises for a corrupt file to a DataError of one line with the path.

    The line contains only the type of the error, because pydicom's message may quote a tag and so identify a patient.
    """
    from pydicom import errors

    try:
        yield
    except DataError:
        raise
    except (*_DECODER_ERRORS, errors.BytesLengthException, errors.InvalidDicomError) as error:
        raise DataError(f"{path}: not a readable DICOM film ({type(error).__name__})") from error


def silence_pydicom_warnings() -> None:
    """Keep pydicom's warnings off stderr; what matters here becomes an error."""
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def check_transfer_syntax(path: Path) -> None:
    """Raise DataError for a compression that is not supported, or whose decoder is missing (with what to install)."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.pixels.decoders.base import get_decoder

    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax is None:
        raise DataError(f"{path}: not a readable DICOM film (no transfer syntax)")
    if syntax == _DEFLATED_SYNTAX:  # pydicom would decompress the whole file before any check
        raise DataError(f"{path}: the whole file is deflated; convert it to another transfer syntax")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise DataError(f"{path}: compressed as {syntax.name}, which is not supported") from None
    if not decoder.is_available:
        raise DataError(
            f"{path}: compressed as {syntax.name}, and the decoder is missing: pip install 'synthcxr[dicom]'"
        )


def check_size(path: Path, rows: int, columns: int) -> None:
    """Raise DataError for an empty film, or one larger than any detector."""
    max_pixels = image_files.read_max_pixels()
    if rows < 1 or columns < 1 or rows * columns > max_pixels:
        raise DataError(
            f"{path}: {rows:,} x {columns:,} pixels; expected 1 to {max_pixels:,} pixels in total "
            f"({image_files.MAX_PIXELS_VARIABLE})"
        )


def _check_image_type(path: Path, film: Any) -> None:
    n_frames = int(film.get("NumberOfFrames") or 1)
    if n_frames != 1:
        raise DataError(f"{path}: {n_frames:,} frames; expected one")
    if int(film.SamplesPerPixel) != 1 or film.PhotometricInterpretation not in {"MONOCHROME1", "MONOCHROME2"}:
        raise DataError(f"{path}: {film.PhotometricInterpretation} image; expected greyscale")
    if "PixelData" not in film:
        raise DataError(f"{path}: no pixel data")


def _check_stream_size(path: Path, film: Any) -> None:
    """Raise DataError if the header of a compressed stream contains another size than the tags."""
    from pydicom.encaps import generate_frames

    if not film.file_meta.TransferSyntaxUID.is_compressed:
        return
    size = jpeg_header.read_size(next(generate_frames(film.PixelData, number_of_frames=1))[:_HEADER_BYTES])
    if size is not None and size != (film.Rows, film.Columns):
        raise DataError(
            f"{path}: the compressed image has {size[0]:,} x {size[1]:,} pixels, but the tags say "
            f"{film.Rows:,} x {film.Columns:,}"
        )


def _check_data_size(path: Path, film: Any) -> None:
    """Raise DataError with both numbers if uncompressed pixel data is shorter than the tags say."""
    if film.file_meta.TransferSyntaxUID.is_compressed:
        return
    n_stated = int(film.Rows) * int(film.Columns) * int(film.BitsAllocated) // 8
    if len(film.PixelData) < n_stated:
        raise DataError(
            f"{path}: {len(film.PixelData):,} bytes of pixel data, but the tags state {n_stated:,}; copy the file again"
        )


def _read_stored_values(path: Path, film: Any) -> Float32:
    """Read the stored values without the overlay bits above and below them (HighBit is their highest bit)."""
    bits, high_bit = int(film.BitsStored), int(film.get("HighBit") or 0)
    is_compressed = film.file_meta.TransferSyntaxUID.is_compressed
    if not is_compressed and bits <= high_bit < int(film.BitsAllocated):
        n_above, n_unused = int(film.BitsAllocated) - 1 - high_bit, int(film.BitsAllocated) - bits
        film.BitsStored = film.BitsAllocated  # otherwise pydicom removes the upper bits
        values = (np.asarray(film.pixel_array) << n_above) >> n_unused
        film.BitsStored = bits
        return values.astype(np.float32)
    values = _decode(path, film) if is_compressed else np.asarray(film.pixel_array)
    if values.dtype.kind == "u":
        values = values & np.asarray((1 << bits) - 1, dtype=values.dtype)
    return values.astype(np.float32)


def _decode(path: Path, film: Any) -> NDArray[Any]:
    """Decode compressed pixel data in a worker process; DataError with the path and the reason if that fails."""
    options = dicom_worker.Options(
        rows=int(film.Rows),
        columns=int(film.Columns),
        bits_allocated=int(film.BitsAllocated),
        bits_stored=int(film.BitsStored),
        pixel_representation=int(film.PixelRepresentation),
        photometric_interpretation=str(film.PhotometricInterpretation),
        samples_per_pixel=1,
        number_of_frames=1,
    )
    try:
        return dicom_decoding.DECODERS.decode(str(film.file_meta.TransferSyntaxUID), options, film.PixelData)
    except dicom_decoding.DecodingError as error:
        if error.exception != "RuntimeError":
            raise DataError(f"{path}: not a readable DICOM film ({error})") from error
        raise DataError(f"{path}: {_explain_undecoded(film)}") from error


def _explain_undecoded(film: Any) -> str:
    """Say why all installed decoders refuse a stream: it is corrupt, or of a form that only a missing one reads."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax, bits = film.file_meta.TransferSyntaxUID, int(film.BitsStored)
    if syntax == _JPEG_EXTENDED_SYNTAX and bits != 8 and "pylibjpeg" not in get_decoder(syntax).available_plugins:
        return (
            f"no decoder reads this JPEG Extended film of {bits} bits: pip install pylibjpeg-libjpeg, or convert it to "
            "another transfer syntax"
        )
    return f"not a readable DICOM film (no decoder reads its {syntax.name} data of {bits} bits)"


def _to_display_values(film: Any, stored_values: Float32) -> Float32:
    """Apply rescale, VOI transform and presentation; returns values in [0, 1]."""
    bits, signed = int(film.BitsStored), bool(film.PixelRepresentation)
    if may_overstate_bits(film):
        exposed_values = stored_values[~_find_padding(film, stored_values)]
        bits, signed = _count_bits_in_use(exposed_values, bits, signed=signed)
    limits = np.array([-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1], dtype=np.float32)
    values, limits = _rescale(film, stored_values), _rescale(film, limits)
    voi_luts = film.get("VOILUTSequence")
    if voi_luts:
        unit = _apply_voi_lut(voi_luts[0], values)
    elif film.get("WindowCenter") is not None and film.get("WindowWidth") is not None and not has_invalid_window(film):
        unit = _apply_window(film, values)
    else:
        unit = (values - limits.min()) / max(float(limits.max() - limits.min()), 1e-6)
    unit = np.clip(unit, 0.0, 1.0).astype(np.float32)
    is_inverse = "INVERSE" in str(film.get("PresentationLUTShape") or "").upper()
    return np.float32(1) - unit if is_inverse or film.PhotometricInterpretation == "MONOCHROME1" else unit


def _count_bits_in_use(stored_values: Float32, bits: int, *, signed: bool) -> tuple[int, bool]:
    """Count the bits that contain all stored values, and return whether one of them is a sign."""
    low, high = int(stored_values.min(initial=0)), int(stored_values.max(initial=0))
    if signed and low < 0:
        return min(max(high.bit_length(), (-low - 1).bit_length()) + 1, bits), True
    return min(max(high.bit_length(), _MIN_BITS), bits), False


def _rescale(film: Any, values: Float32) -> Float32:
    if film.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        rescaled: Float32 = apply_modality_lut(values.astype(np.int64), film).astype(np.float32)
        return rescaled
    slope, intercept = film.get("RescaleSlope"), film.get("RescaleIntercept")
    if slope is None or intercept is None:
        return values
    if not (abs(float(slope)) <= _MAX_RESCALE and abs(float(intercept)) <= _MAX_RESCALE):
        raise ValueError("rescale slope or intercept out of range")
    return values * np.float32(slope) + np.float32(intercept)


def _apply_voi_lut(item: Any, values: Float32) -> Float32:
    """Apply a VOI LUT, scaled from its smallest entry (0) to its largest (1); some use fewer bits than declared."""
    n_entries, first = int(item.LUTDescriptor[0]) or 65536, int(item.LUTDescriptor[1])
    data = item.LUTData
    raw = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    entries = raw.astype(np.float32)[:n_entries]
    if first >= 1 << 15 and values.min() < 0:  # the standard stores a signed value in an unsigned field
        first -= 1 << 16
    indices = np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)
    span = float(entries.max() - entries.min())
    unit: Float32 = (entries[indices] - entries.min()) / np.float32(max(span, 1e-6))
    return unit


def _apply_window(film: Any, values: Float32) -> Float32:
    """Apply the first window with the VOI LUT function of the film (C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = _get_first(film.WindowCenter), _get_first(film.WindowWidth)
    function = str(film.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - centre) / max(width, 1e-6), -60, 60).astype(np.float32)
        unit: Float32 = np.float32(1) / (np.float32(1) + np.exp(exponent))
        return unit
    if function == "LINEAR":  # its steps are between whole values
        centre, width = centre - 0.5, width - 1
    return (values - np.float32(centre)) / np.float32(max(width, 1e-6)) + np.float32(0.5)


def _get_first(value: Any) -> float:
    return float(value if isinstance(value, int | float | str) else value[0])


def _blacken_padding(film: Any, stored_values: Float32, display_values: Float32) -> Float32:
    """Set padding (PixelPaddingValue: outside the exposed area) to black, whatever its value."""
    return np.where(_find_padding(film, stored_values), np.float32(0), display_values)


def _find_padding(film: Any, stored_values: Float32) -> NDArray[np.bool_]:
    padding = film.get("PixelPaddingValue")
    if padding is None:
        return np.zeros(stored_values.shape, dtype=np.bool_)
    limit = film.get("PixelPaddingRangeLimit", padding)
    low, high = sorted((int(padding), int(limit)))
    return (stored_values >= low) & (stored_values <= high)

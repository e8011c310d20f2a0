"""Open image files of others: only in the formats that are meant, never with a subprocess, and up to a size limit.

Pillow chooses a decoder by the content of a file, whatever its name. Without a list of formats, it tries about fifty
decoders, and the one for PostScript starts another program.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import (  # noqa: F401 - imported plugins are registered, so that threads need not search for them
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import RefusedContentError

FILM_FORMATS = ("PNG", "JPEG", "WebP", "TIFF", "BMP")
DATASET_FORMATS = ("PNG",)
MAX_PIXELS = 100_000_000
"""Limit for one image; the largest detectors have about 30 million pixels."""
MAX_PIXELS_VARIABLE = "SYNTHCXR_MAX_PIXELS"
_LARGEST_MAX_PIXELS = 178_000_000  # Pillow refuses larger images
_MAX_BYTES = 2**32
_DECODER_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, Warning, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow and its decoders raise for corrupt files; a warning is raised if the caller's filters say so."""


def read_max_pixels() -> int:
    """Return the limit for one image: SYNTHCXR_MAX_PIXELS, else MAX_PIXELS; ConfigError for an invalid value."""
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= _LARGEST_MAX_PIXELS):
        raise ConfigError(
            f"{MAX_PIXELS_VARIABLE}: {text[:40]!r} is not a number of pixels from 1 to {_LARGEST_MAX_PIXELS:,}"
        )
    return int(text)


@contextlib.contextmanager
def open_image(source: Path | bytes, *, name: str, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open an image file, or its bytes, in one of `formats`; its pixels are not decoded yet.

    Raises DataError of one line that begins with `name` for an image that is absent, of another format, too large or
    corrupt, also where the `with` block decodes it.
    """
    max_pixels = read_max_pixels()
    _ignore_size_warnings()
    try:
        with _open_stream(source) as stream, Image.open(stream, formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise DataError(
                    f"{name}: not a readable image ({image.width:,} x {image.height:,} pixels; at most {max_pixels:,} "
                    f"pixels are read; if it is a real film, set {MAX_PIXELS_VARIABLE})"
                )
            yield image
    except _DECODER_ERRORS as error:
        raise DataError(f"{name}: not a readable image ({_find_reason(source, error, formats)})") from error


def _ignore_size_warnings() -> None:
    """Keep Pillow's warning about sizes above 89 million pixels off stderr; `open_image` has a limit of its own."""
    if ("ignore", None, Image.DecompressionBombWarning, None, 0) not in warnings.filters:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _open_stream(source: Path | bytes) -> contextlib.AbstractContextManager[IO[bytes]]:
    return io.BytesIO(source) if isinstance(source, bytes) else guarded_files.open_regular(source, _MAX_BYTES)


def _find_reason(source: Path | bytes, error: Exception, formats: tuple[str, ...]) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, RefusedContentError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        return f"cannot identify it as {' or '.join(formats)}"
    return str(error).split("\n")[0][:200] or type(error).__name__

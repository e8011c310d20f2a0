"""The geometry of a DICOM film: how to turn it so that it is displayed as usual, and the shape of its pixels.

A frontal film is displayed with the patient's left at the right and the head at the top: Patient Orientation L\\F.
Sources: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation), C.7.6.3.1.7 (Pixel Aspect Ratio), 10.7 (Pixel Spacing).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from PIL import Image

from synthcxr.data.images import Float32

TAGS = ("PatientOrientation", "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing")
_LATERAL_DIRECTIONS = {"A", "P"}
_MAX_ASPECT_RATIO = 10.0
_ASPECT_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Turn:
    """How to turn a film: exchange rows and columns first, then reverse the columns and the rows."""

    transpose: bool = False
    reverse_columns: bool = False
    reverse_rows: bool = False

    def __bool__(self) -> bool:
        return self.transpose or self.reverse_columns or self.reverse_rows

    def apply(self, pixels: Float32) -> Float32:
        """Turn pixels [H, W]."""
        turned = pixels.T if self.transpose else pixels
        turned = turned[:, ::-1] if self.reverse_columns else turned
        return np.ascontiguousarray(turned[::-1] if self.reverse_rows else turned)


def find_turn(tags: Any) -> Turn:
    """Find the turn to L\\F from Patient Orientation; none if the tag is absent or its directions are not frontal."""
    row, column = _find_directions(tags)
    if row in {"H", "F"} and column in {"L", "R"}:
        return Turn(transpose=True, reverse_columns=column == "R", reverse_rows=row == "H")
    if row in {"L", "R"} and column in {"H", "F"}:
        return Turn(reverse_columns=row == "R", reverse_rows=column == "H")
    return Turn()


def is_lateral(tags: Any) -> bool:
    """Return whether Patient Orientation has the direction anterior or posterior in its rows or columns."""
    return bool(set(_find_directions(tags)) & _LATERAL_DIRECTIONS)


def _find_directions(tags: Any) -> tuple[str, str]:
    """Find the main directions of rows and columns; "" if they are not stated."""
    value = tags.get("PatientOrientation")
    directions = [str(part).strip().upper() for part in value] if value and not isinstance(value, str) else []
    return (directions[0][:1], directions[1][:1]) if len(directions) == 2 else ("", "")


def find_aspect_ratio(tags: Any) -> float:
    """Find the height of a pixel divided by its width; 1 if it is not stated. ValueError if it is not usable."""
    for name in TAGS[1:]:
        value = tags.get(name)
        if value and not isinstance(value, str) and len(value) == 2:
            height, width = float(value[0]), float(value[1])
            if not (height > 0 and width > 0):
                continue
            if not 1 / _MAX_ASPECT_RATIO <= height / width <= _MAX_ASPECT_RATIO:
                raise ValueError("pixel aspect ratio out of range")
            return height / width if abs(height / width - 1) > _ASPECT_TOLERANCE else 1.0
    return 1.0


def find_square_shape(rows: int, columns: int, aspect_ratio: float) -> tuple[int, int]:
    """Find rows and columns after the longer side of the pixels becomes their side; nothing is enlarged."""
    if aspect_ratio > 1:
        return rows, max(round(columns / aspect_ratio), 1)
    return max(round(rows * aspect_ratio), 1), columns


def resample_to_square_pixels(pixels: Float32, aspect_ratio: float) -> Float32:
    """Reduce pixels [H, W] along the side on which they are denser, with antialiasing."""
    if aspect_ratio == 1.0:
        return pixels
    rows, columns = find_square_shape(pixels.shape[0], pixels.shape[1], aspect_ratio)
    reduced = Image.fromarray(np.ascontiguousarray(pixels)).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(reduced, dtype=np.float32)

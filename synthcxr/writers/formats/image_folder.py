"""A folder of PNGs: images/00000/00000000.png, 1,000 a folder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.records import Record
from synthcxr.writers.formats.files import Files

FOLDER = "images"


class PngFolder(Files):
    """The Store of PNGs under `root`/images."""

    folder, suffix = FOLDER, ".png"

    def encode(self, pixels: NDArray[np.uint8], record: Record) -> bytes:
        """The PNG of an image, whatever its record."""
        return images.encode_png(pixels)

"""Films whose pixels are in memory."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class InMemoryFilm:
    """The pixels of a film, with the functions that a reader gives to `Film`."""

    pixels: np.ndarray

    def read(self) -> np.ndarray:
        return self.pixels

    def read_size(self) -> int:
        return len(self.pixels)

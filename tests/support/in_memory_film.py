"""Films whose pixels lie in memory."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Held:
    """A film's pixels in memory, as a reader hands it over."""

    pixels: np.ndarray

    def read(self) -> np.ndarray:
        return self.pixels

    def read_size(self) -> int:
        return len(self.pixels)

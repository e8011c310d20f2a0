"""What keeps copies of films out of a dataset, as `generate` sees it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Apart(Protocol):
    """What keeps copies out: the films' fingerprint, and from what distance an image is none."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    def distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]: ...

"""Rejects candidates that are too near to a training film."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.synthesis.sampling.rejection import ImageBatch


class CopyFilter(Protocol):
    """Measures how near images lie to the training films; images nearer than `threshold` count as copies."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    def measure_distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]: ...


def reject_copies(batch: ImageBatch, copy_filter: CopyFilter | None) -> tuple[ImageBatch, NDArray[np.float64] | None]:
    """Keep the images that copy no training film, and return their distances; without a filter, keep all."""
    if copy_filter is None:
        return batch, None
    distances = copy_filter.measure_distances(batch.pixels)
    accepted = distances >= copy_filter.threshold
    return batch.select(accepted), distances[accepted]

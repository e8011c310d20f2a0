"""The two sides of a comparison: the images of a synthetic dataset, and the real films they are held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr import images, labels
from synthcxr.dataset import Dataset
from synthcxr.errors import DataError
from synthcxr.evaluation import cache, features
from synthcxr.evaluation.features import Extractor, Outputs
from synthcxr.images import UInt8
from synthcxr.records import Record

BATCH = 64


@dataclasses.dataclass(frozen=True)
class SyntheticSet:
    """A finished synthetic dataset. `read` gives the PNG of each record, None where it is not what was made.

    `requested` is () for an unconditional set; `generator` and `classifier` are the digests of what made and
    labelled it, `training_data` the fingerprint of the films that they learned from.
    """

    path: Path
    held: Sequence[Record]
    read: Callable[[Sequence[Record]], Iterator[bytes | None]]
    resolution: int
    requested: tuple[str, ...]
    generator: str
    classifier: str
    training_data: str
    phantom: bool

    def outputs(self, extractor: Extractor, n: int) -> Outputs:
        """Every output for the first `n` images; DataError names one that is absent, damaged or of another size."""
        title = f"{extractor.provenance.extractor}: synthetic images"
        return features.extract(extractor.run, self._batches(n, title))

    def _batches(self, n: int, title: str) -> Iterator[UInt8]:
        pairs = zip(self.held[:n], self.read(self.held[:n]), strict=True)
        for start in _bar(n, title):
            yield np.stack([self._decode(*next(pairs)) for _ in range(start, min(start + BATCH, n))])

    def _decode(self, record: Record, png: bytes | None) -> UInt8:
        if png is None:
            raise DataError(
                f"{self.path}: {record.file_name} is absent or not the file that was made; generate it again"
            )
        pixels = images.decode_png(png)
        if pixels.shape != (self.resolution, self.resolution):
            raise DataError(f"{self.path}: {record.file_name} is not {self.resolution} px square; generate it again")
        return pixels


@dataclasses.dataclass(frozen=True)
class RealSet:
    """Films at the images' resolution; for a set made on request, only those that carry the same findings."""

    films: Dataset
    resolution: int
    requested: tuple[str, ...]
    cache: Path

    def outputs(self, extractor: Extractor, splits: tuple[str, ...]) -> Outputs:
        """Every output for the films of these splits, kept for the next run; as many rows as `patients`."""
        at = self.films.indices(self.resolution, splits)
        key = {
            "films": self.films.fingerprint,
            "extractor": dataclasses.astuple(extractor.provenance),
            "device": extractor.device,
            "packing": images.RESIZE_RULE,
            "resolution": self.resolution,
            "splits": splits,
        }
        batches = self._batches(at, f"{extractor.provenance.extractor}: {' and '.join(splits)} films")
        outputs = cache.cached(self.cache, key, lambda: features.extract(extractor.run, batches))
        return {name: array[self._wanted(at)] for name, array in outputs.items()}

    def patients(self, splits: tuple[str, ...]) -> NDArray[np.object_]:
        """The patient of each film of these splits, an object array of str."""
        at = self.films.indices(self.resolution, splits)
        return self.films.patients(self.films.rows(self.resolution)[at[self._wanted(at)]])

    def _batches(self, at: NDArray[np.int64], title: str) -> Iterator[UInt8]:
        pixels = self.films.memmap(self.resolution)
        for start in _bar(len(at), title):
            yield np.asarray(pixels[at[start : start + BATCH]])

    def _wanted(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which films carry what was requested: all where nothing was; a finding that is unknown is not carried."""
        findings = self.films.findings(self.films.rows(self.resolution)[at])
        if labels.NO_FINDING in self.requested:
            return np.asarray((findings == 0).all(axis=1))
        asked = np.array([finding in self.requested for finding in labels.FINDINGS])
        return np.asarray((findings[:, asked] == 1).all(axis=1))


def _bar(n: int, title: str) -> Iterator[int]:
    """The start of each batch of n images, with a progress bar on a terminal."""
    yield from tqdm(range(0, n, BATCH), desc=title, unit=" batches", disable=None)

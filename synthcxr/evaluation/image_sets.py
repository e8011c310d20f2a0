"""The two sides of a comparison: the images of a synthetic dataset, and the real films they are held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr.data import findings as labels
from synthcxr.data import image_reader, images
from synthcxr.data.film_dataset import Dataset
from synthcxr.data.images import UInt8
from synthcxr.data.records import Record
from synthcxr.errors import DataError
from synthcxr.evaluation.features import cache, efficientnet_lite0
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor, Outputs

BATCH = 64


@dataclasses.dataclass(frozen=True)
class SyntheticSet:
    """A finished synthetic dataset. `read` gives the PNG of each record, None where it is not what was made.

    `requested` and `without` are () for an unconditional set; `n_sets` counts the sets of findings of one that was
    asked for several, else 0; `weighted`: some images stand for more than others. `generator` and `classifier` are
    the digests of what made and labelled it, `training_data` the fingerprint of the films that they learned from,
    `digest` that of the set's metadata.csv, which holds the digest of every image.
    """

    path: Path
    held: Sequence[Record]
    read: Callable[[Sequence[Record]], Iterator[bytes | None]]
    resolution: int
    requested: tuple[str, ...]
    without: tuple[str, ...]
    n_sets: int
    weighted: bool
    generator: str
    classifier: str
    training_data: str
    phantom: bool
    digest: str
    cache: Path

    @property
    def chosen(self) -> bool:
        """The images were chosen by their labels."""
        return bool(self.requested or self.without or self.n_sets)

    def outputs(self, extractor: Extractor) -> Outputs:
        """Every output for all images, kept for the next run; DataError names an image that is absent or damaged."""
        key = _key(extractor, self.resolution) | {"images": self.digest}
        title = f"{extractor.provenance.extractor}: synthetic images"
        return cache.cached(self.cache, key, lambda: efficientnet_lite0.extract(extractor.run, self._batches(title)))

    def pixels(self, n: int) -> UInt8:
        """The pixels uint8 [n, R, R] of the first `n` images, or of all where there are fewer."""
        first = self.held[:n]
        return np.stack([self._decode(*pair) for pair in zip(first, self.read(first), strict=True)])

    def _batches(self, title: str) -> Iterator[UInt8]:
        pairs = zip(self.held, self.read(self.held), strict=True)
        for start in _bar(len(self.held), title):
            yield np.stack([self._decode(*next(pairs)) for _ in range(start, min(start + BATCH, len(self.held)))])

    def _decode(self, record: Record, png: bytes | None) -> UInt8:
        if png is None:
            raise DataError(
                f"{self.path}: {record.file_name} is absent or not the file that was made; generate it again"
            )
        pixels = image_reader.pixels(png)
        if pixels.shape != (self.resolution, self.resolution):
            raise DataError(f"{self.path}: {record.file_name} is not {self.resolution} px square; generate it again")
        return pixels


@dataclasses.dataclass(frozen=True)
class RealSet:
    """Films at the images' resolution; for a set made on request, only those that carry the same findings.

    `none`: no film is what the images are, which were asked for as several sets of findings.
    """

    films: Dataset
    resolution: int
    requested: tuple[str, ...]
    without: tuple[str, ...]
    none: bool
    cache: Path

    @property
    def unconditional(self) -> RealSet:
        """The same films, whatever they carry: what a copy may be of."""
        return dataclasses.replace(self, requested=(), without=(), none=False)

    def outputs(self, extractor: Extractor, splits: tuple[str, ...]) -> Outputs:
        """Every output for the films of these splits, each split kept for the next run; as many rows as `patients`."""
        at = self.films.indices(self.resolution, splits)
        parts = {split: self.films.indices(self.resolution, (split,)) for split in splits}
        held = [self._of_split(extractor, split, part) for split, part in parts.items()]
        order = np.argsort(np.concatenate(list(parts.values())), kind="stable")[self._wanted(at)]
        return {name: np.concatenate([part[name] for part in held])[order] for name in held[0]}

    def pixels(self, splits: tuple[str, ...], rows: NDArray[np.int64]) -> UInt8:
        """Pixels uint8 [k, R, R] of some `rows` of what `outputs` and `patients` give for these splits."""
        at = self.films.indices(self.resolution, splits)
        return np.asarray(self.films.memmap(self.resolution)[at[self._wanted(at)][rows]])

    def manifest_rows(self, splits: tuple[str, ...]) -> NDArray[np.int64]:
        """The row in the manifest of each film of these splits, int64 [n]."""
        at = self.films.indices(self.resolution, splits)
        return self.films.rows(self.resolution)[at[self._wanted(at)]]

    def key(self, extractor: Extractor, splits: tuple[str, ...]) -> dict[str, Any]:
        """What names whatever is computed from an extractor's outputs for the films of these splits."""
        films = {"films": self.films.fingerprint, "packing": images.RESIZE_RULE}
        return (
            _key(extractor, self.resolution) | films | {"splits": splits, "requested": self.requested} | self._barred()
        )

    def _of_split(self, extractor: Extractor, split: str, at: NDArray[np.int64]) -> Outputs:
        """Every output for all films of one split; without films, what none gives."""
        key = self.unconditional.key(extractor, (split,))
        if not len(at):
            empty = extractor.run(np.zeros((1, self.resolution, self.resolution), np.uint8))
            return {name: array[:0] for name, array in empty.items()}
        batches = self._batches(at, f"{extractor.provenance.extractor}: {split} films")
        return cache.cached(self.cache, key, lambda: efficientnet_lite0.extract(extractor.run, batches))

    def patients(self, splits: tuple[str, ...]) -> NDArray[np.object_]:
        """The patient of each film of these splits, an object array of str."""
        return self.films.patients(self.manifest_rows(splits))

    def _batches(self, at: NDArray[np.int64], title: str) -> Iterator[UInt8]:
        pixels = self.films.memmap(self.resolution)
        for start in _bar(len(at), title):
            yield np.asarray(pixels[at[start : start + BATCH]])

    def _barred(self) -> dict[str, Any]:
        return ({"without": self.without} if self.without else {}) | ({"none": True} if self.none else {})

    def _wanted(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which films carry what was requested: all where nothing was; what is unknown is neither there nor absent."""
        findings = self.films.findings(self.films.rows(self.resolution)[at])
        if self.none:
            return np.zeros(len(at), np.bool_)
        if labels.NO_FINDING in self.requested:
            return np.asarray((findings == 0).all(axis=1))
        asked = np.array([finding in self.requested for finding in labels.FINDINGS])
        barred = np.array([finding in self.without for finding in labels.FINDINGS])
        return np.asarray((findings[:, asked] == 1).all(axis=1) & (findings[:, barred] == 0).all(axis=1))


def _key(extractor: Extractor, resolution: int) -> dict[str, Any]:
    """What the outputs of an extractor depend on beside the images."""
    return {
        "extractor": dataclasses.astuple(extractor.provenance),
        "device": extractor.device,
        "resolution": resolution,
    }


def _bar(n: int, title: str) -> Iterator[int]:
    """The start of each batch of n images, with a progress bar on a terminal."""
    yield from tqdm(range(0, n, BATCH), desc=title, unit=" batches", disable=None)

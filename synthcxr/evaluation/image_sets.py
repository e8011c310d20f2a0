"""The two sides of an evaluation: the images of a synthetic dataset, and the real films they are compared with."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_formats, image_reader, images
from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.condition_table import DIGEST_KIND
from synthcxr.data.film_dataset import FilmDataset
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.images import UInt8
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, iterate_image_records, read_run
from synthcxr.errors import DataError
from synthcxr.evaluation.features import cache
from synthcxr.evaluation.features.engine import Outputs
from synthcxr.evaluation.features.extractors import Extractor
from synthcxr.storage import digests
from synthcxr.storage.progress import track

BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class SyntheticSet:
    """A finished synthetic dataset of n images.

    `file_names` and `sha256s` identify the image files. `labels`, bool [n, 14], are the findings in metadata.csv, which
    are the classifier's, and `weights`, float64 [n], the importance weights.

    `requested` and `excluded` are the findings of its request, and `n_label_sets` the number of label sets of a request
    for several of them, else 0. `attributes` were requested of a conditional generator, and `table_digest` identifies
    its table of conditions ("" for another generator). In a weighted set some weights differ from 1. `generator_digest`
    and `classifier_digest` identify the models that made and labelled the images, `training_data` the films that these
    models were trained on. `digest` is the sha256 of metadata.csv, which holds the digest of every image.
    """

    path: Path
    file_names: Sequence[str]
    sha256s: Sequence[str]
    labels: NDArray[np.bool_]
    weights: NDArray[np.float64]
    resolution: int
    requested: tuple[str, ...]
    excluded: tuple[str, ...]
    n_label_sets: int
    attributes: AttributeRequest
    is_weighted: bool
    table_digest: str
    generator_digest: str
    classifier_digest: str
    training_data: str
    phantom: bool
    digest: str
    cache_folder: Path

    @classmethod
    def open(cls, dataset: Path, cache_folder: Path) -> SyntheticSet:
        """Open the dataset in a folder; DataError where it is empty or its run.json is not that of a dataset."""
        file_names, sha256s, labels, weights = list[str](), list[str](), bytearray(), array("d")
        for record in iterate_image_records(dataset):
            file_names.append(record.file_name)
            sha256s.append(record.sha256)
            labels += bytes(finding in record.findings for finding in FINDINGS)
            weights.append(record.weight)
        run = read_run(dataset)
        image_formats.require_format(dataset, run)
        if not file_names:
            raise DataError(f"{dataset}: there are no images in it; generate more, or with other labels")
        try:
            model, request = run["model"], run["request"]
            return cls(
                path=dataset,
                file_names=file_names,
                sha256s=sha256s,
                labels=np.frombuffer(bytes(labels), np.bool_).reshape(-1, len(FINDINGS)),
                weights=np.array(weights),
                resolution=int(model["resolution"]),
                requested=tuple(request["labels"]),
                excluded=tuple(request.get("without", ())),
                n_label_sets=len(request.get("parts", ())),
                attributes=AttributeRequest.from_run(request),
                is_weighted=any(weight != 1 for weight in weights),
                table_digest=str(model["digests"].get(DIGEST_KIND, "")),
                generator_digest=str(model["digests"]["generator"]),
                classifier_digest=str(model["digests"]["classifier"]),
                training_data=str(model["training_data"]),
                phantom=bool(model["phantom"]),
                digest=digests.sha256_file(dataset / METADATA_FILE),
                cache_folder=cache_folder,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{dataset / RUN_FILE}: not the run.json of a dataset ({error!r}); generate the dataset again"
            ) from error

    @property
    def is_conditional(self) -> bool:
        """Whether images were accepted or rejected by their labels."""
        return bool(self.requested or self.excluded or self.n_label_sets)

    def outputs(self, extractor: Extractor) -> Outputs:
        """Every output for all images, cached on disk; DataError names an image that is missing or damaged."""
        key = _extractor_key(extractor, self.resolution) | {"images": self.digest}
        title = f"{extractor.provenance.extractor}: synthetic images"
        return cache.load_or_compute_rows(
            self.cache_folder, key, lambda: extractor.run_all(self._batches(title)), len(self.file_names)
        )

    def pixels(self, n: int) -> UInt8:
        """The pixels uint8 [n, R, R] of the first `n` images, or of all images when there are fewer."""
        return np.stack(list(self._read_pixels(range(min(n, len(self.file_names))))))

    def iterate_pixels(self, max_images: int) -> Iterator[UInt8]:
        """Blocks uint8 [b, R, R] of all images, or of so many that are evenly spaced."""
        rows = space_evenly(len(self.file_names), max_images)
        pixels = self._read_pixels(rows)
        for start in range(0, len(rows), BATCH_SIZE):
            yield np.stack([next(pixels) for _ in rows[start : start + BATCH_SIZE]])

    def _batches(self, title: str) -> Iterator[UInt8]:
        n = len(self.file_names)
        pixels = self._read_pixels(range(n))
        for start in _batch_starts(n, title):
            yield np.stack([next(pixels) for _ in range(start, min(start + BATCH_SIZE, n))])

    def _read_pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[UInt8]:
        file_names = [self.file_names[row] for row in rows]
        sha256s = [self.sha256s[row] for row in rows]
        for name, data in zip(file_names, image_reader.read_all_verified(self.path, file_names, sha256s), strict=True):
            pixels = image_reader.decode_pixels(data, name=f"{self.path}: {name}")
            if pixels.shape != (self.resolution, self.resolution):
                raise DataError(f"{self.path}: {name} is not {self.resolution} px square; generate the dataset again")
            yield pixels


@dataclasses.dataclass(frozen=True)
class RealSet:
    """Films at the images' resolution, restricted to those that meet the request of the synthetic set.

    They have all findings in `requested` and none in `excluded`. `is_empty` is set for a request for several label
    sets, which no group of films matches. With `labelled_only`, films without any known finding are left out.
    """

    films: FilmDataset
    resolution: int
    requested: tuple[str, ...]
    excluded: tuple[str, ...]
    is_empty: bool
    cache_folder: Path
    labelled_only: bool = False

    @property
    def labelled(self) -> RealSet:
        """The same films without those that have no labels: which findings they show is not known."""
        return dataclasses.replace(self, labelled_only=True)

    @property
    def unrestricted(self) -> RealSet:
        """The same films whatever their findings: an image may be a copy of any of them."""
        return dataclasses.replace(self, requested=(), excluded=(), is_empty=False, labelled_only=False)

    def outputs(self, extractor: Extractor, splits: tuple[str, ...]) -> Outputs:
        """Every output for the films of these splits, in the order of `patients`; each split is cached on disk."""
        indices_by_split = {split: self.films.indices(self.resolution, (split,)) for split in splits}
        outputs = [self._compute_split(extractor, split, indices) for split, indices in indices_by_split.items()]
        order = np.argsort(np.concatenate(list(indices_by_split.values())), kind="stable")
        order = order[self._meets_request(self.films.indices(self.resolution, splits))]
        joined = (
            outputs[0]
            if len(outputs) == 1
            else {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}
        )
        return {name: array[order] for name, array in joined.items()}

    def pixels(self, splits: tuple[str, ...], rows: NDArray[np.int64]) -> UInt8:
        """Pixels uint8 [k, R, R] of the given rows of `outputs` and `patients` for these splits."""
        return np.asarray(self.films.memmap(self.resolution)[self._indices(splits)[rows]])

    def iterate_pixels(self, splits: tuple[str, ...], max_films: int) -> Iterator[UInt8]:
        """Blocks uint8 [b, R, R] of all films of these splits, or of so many that are evenly spaced."""
        rows = space_evenly(len(self._indices(splits)), max_films)
        for start in range(0, len(rows), BATCH_SIZE):
            yield self.pixels(splits, rows[start : start + BATCH_SIZE])

    def manifest_rows(self, splits: tuple[str, ...]) -> NDArray[np.int64]:
        """The manifest row of each film of these splits, int64 [n]."""
        return self.films.rows(self.resolution)[self._indices(splits)]

    def patients(self, splits: tuple[str, ...]) -> NDArray[np.object_]:
        """The patient of each film of these splits, an object array of str."""
        return self.films.patients(self.manifest_rows(splits))

    def cache_key(self, extractor: Extractor, splits: tuple[str, ...]) -> dict[str, Any]:
        """The cache key of anything computed from an extractor's outputs for the films of these splits."""
        key = _extractor_key(extractor, self.resolution)
        key |= {"films": self.films.fingerprint, "packing": images.RESIZE_RULE}
        key |= {"splits": splits, "requested": self.requested}
        if self.excluded:
            key["without"] = self.excluded
        if self.is_empty:
            key["none"] = True
        if self.labelled_only:
            key["labelled"] = True
        return key

    def _compute_split(self, extractor: Extractor, split: str, indices: NDArray[np.int64]) -> Outputs:
        """Every output for all films of one split, whatever their findings."""
        if not len(indices):
            outputs = extractor.run(np.zeros((1, self.resolution, self.resolution), np.uint8))
            return {name: array[:0] for name, array in outputs.items()}
        key = self.unrestricted.cache_key(extractor, (split,))
        title = f"{extractor.provenance.extractor}: {split} films"
        return cache.load_or_compute_rows(
            self.cache_folder, key, lambda: extractor.run_all(self._batches(indices, title)), len(indices)
        )

    def _batches(self, indices: NDArray[np.int64], title: str) -> Iterator[UInt8]:
        pixels = self.films.memmap(self.resolution)
        for start in _batch_starts(len(indices), title):
            yield np.asarray(pixels[indices[start : start + BATCH_SIZE]])

    def _indices(self, splits: tuple[str, ...]) -> NDArray[np.int64]:
        indices = self.films.indices(self.resolution, splits)
        return np.asarray(indices[self._meets_request(indices)])

    def _meets_request(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which films meet the request; an unknown finding counts neither as present nor as absent."""
        if self.is_empty:
            return np.zeros(len(indices), np.bool_)
        findings = self.films.findings(self.films.rows(self.resolution)[indices])
        if NO_FINDING in self.requested:
            return np.asarray((findings == 0).all(axis=1))
        requested = np.array([finding in self.requested for finding in FINDINGS])
        excluded = np.array([finding in self.excluded for finding in FINDINGS])
        is_known = ~np.isnan(findings).all(axis=1) | (not self.labelled_only)
        meets = (findings[:, requested] == 1).all(axis=1) & (findings[:, excluded] == 0).all(axis=1)
        return np.asarray(meets & is_known)


def _extractor_key(extractor: Extractor, resolution: int) -> dict[str, Any]:
    """The part of a cache key that does not depend on the images."""
    return {
        "extractor": dataclasses.astuple(extractor.provenance),
        "device": extractor.device,
        "resolution": resolution,
    }


def space_evenly(n: int, max_rows: int) -> NDArray[np.int64]:
    """All of `n` rows, or `max_rows` of them from the first to the last."""
    return np.unique(np.linspace(0, n - 1, min(n, max_rows)).round().astype(np.int64))


def _batch_starts(n: int, title: str) -> Iterator[int]:
    """The index of the first image of each batch; reports progress."""
    yield from track(range(0, n, BATCH_SIZE), title, unit="batches")

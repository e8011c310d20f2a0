"""The packed dataset: films as uint8 squares at every power of two up to its resolution, built and opened.

The folder has images_RRRR.npy [n, R, R] and rows_RRRR.npy (the manifest row of each image) for each side R,
manifest.parquet and dataset.json. A film is packed only at sides up to its own. The same films give the same bytes,
whatever their order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.bounds import Side
from synthcxr.data import images, pyramid
from synthcxr.data.films import MANIFEST_COLUMNS, MANIFEST_FILE, SPLITS, Film, fingerprint_films, read_film_manifest
from synthcxr.data.findings import FINDINGS
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.pyramid import SMALLEST_SIDE, ImageStack, list_packed_sides, name_array_file
from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files, numpy_files
from synthcxr.storage.numpy_files import ArrayType

ABOUT_FILE = "dataset.json"
CHECKS_FILE = "checks.json"
_BYTES_PER_ROW = 1024  # an upper bound for a film's share of the manifest and the row files

Int64 = NDArray[np.int64]
OnBad = Literal["error", "skip"]
_ADVICE = "run `synthcxr prepare` again"


class _SourceJson(TypedDict):
    reader: str
    names: list[str]


class _DatasetJson(TypedDict):
    resolution: Side
    fingerprint: str
    phantom: bool
    attribution: list[str]
    sources: list[_SourceJson]


@dataclasses.dataclass(frozen=True)
class FilmDataset:
    """An open packed dataset. rows_RRRR.npy refers to rows of the `manifest`."""

    path: Path
    manifest: pd.DataFrame
    resolution: int
    fingerprint: str
    phantom: bool
    attribution: tuple[str, ...]
    sources: tuple[Mapping[str, Any], ...] = ()

    def sources_of(self, reader: str) -> frozenset[str]:
        """The names of the sources that only this reader read."""
        names: dict[bool, set[str]] = {True: set(), False: set()}
        for source in self.sources:
            names[source["reader"] == reader].update(source["names"])
        return frozenset(names[True] - names[False])

    def memmap(self, resolution: int) -> UInt8:
        """Map all images of one resolution, uint8 [n, R, R], read-only, without loading them."""
        images: UInt8 = self._load("images", resolution, mmap_mode="r")
        return images

    def rows(self, resolution: int) -> Int64:
        """The manifest row of each image of `memmap(resolution)`, ascending."""
        rows: Int64 = self._load("rows", resolution)
        if rows.size and not (rows[0] >= 0 and rows[-1] < len(self.manifest) and (np.diff(rows) > 0).all()):
            name = name_array_file("rows", resolution)
            raise DataError(f"{self.path / name}: does not fit {MANIFEST_FILE}; {_ADVICE}")
        return rows

    def indices(self, resolution: int, splits: Sequence[str]) -> Int64:
        """The indices of the images of these splits in `memmap(resolution)`, ascending."""
        unknown = sorted(set(splits) - set(SPLITS))
        if unknown:
            raise DataError(f"unknown split {unknown[0]!r}; known: {', '.join(SPLITS)}")
        is_in_splits = self.manifest["split"].isin(list(splits)).to_numpy(dtype=bool)
        return np.flatnonzero(is_in_splits[self.rows(resolution)]).astype(np.int64)

    def images(self, resolution: int, splits: Sequence[str]) -> tuple[UInt8, Int64]:
        """Load the images of these splits, uint8 [n, R, R], and their manifest rows."""
        indices = self.indices(resolution, splits)
        return np.asarray(self.memmap(resolution)[indices]), self.rows(resolution)[indices]

    def findings(self, rows: Int64) -> Float32:
        """The multi-hot findings of manifest rows, float32 [n, 14]; NaN is unknown."""
        return self.manifest[list(FINDINGS)].to_numpy(dtype=np.float32)[rows]

    def patients(self, rows: Int64) -> NDArray[np.object_]:
        """The patient of each manifest row, an object array of str."""
        return self.manifest["patient_id"].to_numpy(dtype=object)[rows]

    def _load(self, kind: str, resolution: int, mmap_mode: Literal["r"] | None = None) -> Any:
        if resolution not in list_packed_sides(self.resolution):
            raise DataError(
                f"{self.path}: packed at powers of two from {SMALLEST_SIDE} to {self.resolution} px, not at"
                f" {resolution} px"
            )
        path = self.path / name_array_file(kind, resolution)
        expected = ArrayType("i", (None,)) if kind == "rows" else ArrayType("u", (None, resolution, resolution))
        return numpy_files.read_npy(path, expected, memory_map=mmap_mode is not None, advice=_ADVICE)


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What was packed: the manifest, the number of films by resolution, and a sentence for each film left out.

    `unreadable` has all these sentences; `implausible` those of the films that can be read but show no film.
    """

    manifest: pd.DataFrame
    by_resolution: dict[int, int]
    unreadable: tuple[str, ...]
    implausible: tuple[str, ...]
    fingerprint: str
    phantom: bool

    @property
    def counts(self) -> dict[str, Any]:
        """Films, patients, films left out, and films by split and by resolution, as in dataset.json."""
        by_split = self.manifest["split"].value_counts()
        return {
            "films": len(self.manifest),
            "patients": self.manifest["patient_id"].nunique(),
            "unreadable": len(self.unreadable),
            "implausible": len(self.implausible),
            "by_split": {split: int(by_split.get(split, 0)) for split in SPLITS},
            "by_resolution": {str(side): n for side, n in self.by_resolution.items()},
        }


def open_film_dataset(path: Path) -> FilmDataset:
    """Open a packed dataset; DataError if it is absent, incomplete or something else."""
    manifest = read_film_manifest(path)
    about = parsing.read_json(_DatasetJson, path / ABOUT_FILE, advice=_ADVICE)
    return FilmDataset(
        path=path,
        manifest=manifest,
        resolution=about["resolution"],
        fingerprint=about["fingerprint"],
        phantom=about["phantom"],
        attribution=tuple(about["attribution"]),
        sources=tuple(about["sources"]),
    )


def has_only_dataset_files(folder: Path) -> bool:
    """Whether a folder contains nothing but the files of a packed dataset, complete or not."""
    names = {MANIFEST_FILE, ABOUT_FILE, CHECKS_FILE, f"{ABOUT_FILE}.partial", f"{CHECKS_FILE}.partial"}
    names |= {name_array_file(kind, SMALLEST_SIDE << k) for kind in ("images", "rows") for k in range(9)}
    return all(entry.name in names and not entry.is_dir() for entry in folder.iterdir())


def build_film_dataset(
    films: Sequence[Film],
    *,
    out: Path,
    resolution: int,
    splits: Mapping[str, str],
    on_bad: OnBad,
    sources: Sequence[Mapping[str, Any]] = (),
    counts: Mapping[str, int] | None = None,
    attribution: Sequence[str] = (),
) -> BuildReport:
    """Pack films into the folder `out`, in the order of their image indices, which `splits` maps to a split.

    `sources`, `counts` and `attribution` are written to dataset.json. Raises DataError for a resolution above that of
    every film, for too little disk space (before anything is written) and, with `on_bad` "error", for an unreadable
    film and for one that shows no film (`images.find_flaw`); OSError if writing fails.
    """
    unreadable = _UnreadableFilms(on_bad)
    sized_films = _read_sizes(sorted(films, key=lambda film: film.image_index), unreadable)
    _check_resolution(resolution, [size for _, size in sized_films])
    out.mkdir(parents=True, exist_ok=True)
    _check_disk_space(out, [pyramid.fit_side(size, resolution) for _, size in sized_films])
    with contextlib.ExitStack() as stack_files:
        stacks = {side: stack_files.enter_context(ImageStack(out, side)) for side in list_packed_sides(resolution)}
        rows = list(_pack_films(sized_films, stacks, splits, unreadable))
    if not stacks[resolution].rows:
        raise DataError(f"no film of {resolution} px or more can be read; {unreadable.sentences[0]}")
    manifest = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))
    manifest = manifest.astype(dict.fromkeys(FINDINGS, np.float32) | {"size": np.int64})
    manifest.to_parquet(out / MANIFEST_FILE, index=False)
    report = BuildReport(
        manifest=manifest,
        by_resolution={side: len(stack.rows) for side, stack in stacks.items()},
        unreadable=tuple(unreadable.sentences),
        implausible=tuple(unreadable.implausible_sentences),
        fingerprint=fingerprint_films(manifest),
        phantom=any(film.origin.startswith("phantom:") for film in films),
    )
    about = {
        "fingerprint": report.fingerprint,
        "resolution": resolution,
        "phantom": report.phantom,
        "sources": list(sources),
        "attribution": list(attribution),
        "counts": dict(counts or {}) | report.counts,
    }
    json_files.write_json(out / ABOUT_FILE, about)
    return report


class _ImplausibleFilmError(DataError):
    """A film that can be read, but is blank or has lost its contrast."""


class _UnreadableFilms:
    """Collects a sentence for each film that is unreadable or implausible, or raises for the first."""

    def __init__(self, on_bad: OnBad) -> None:
        self.on_bad = on_bad
        self.sentences: list[str] = []
        self.implausible_sentences: list[str] = []

    def add(self, error: DataError) -> None:
        if self.on_bad == "error":
            raise DataError(f"{error}; replace or remove it, or set prepare.on_bad: skip") from error
        self.sentences.append(str(error))
        if isinstance(error, _ImplausibleFilmError):
            self.implausible_sentences.append(str(error))


def _read_sizes(films: Sequence[Film], unreadable: _UnreadableFilms) -> list[tuple[Film, int]]:
    """The films whose header can be read, each with its shorter side in pixels."""
    sized_films = []
    with contextlib.closing(pyramid.map_in_threads(_read_size, films, title="sizes")) as futures:
        for film, future in zip(films, futures, strict=True):
            try:
                sized_films.append((film, future.result()))
            except DataError as error:
                unreadable.add(error)
    if not sized_films:
        reason = unreadable.sentences[0] if unreadable.sentences else "the sources contain none"
        raise DataError(f"no films to pack: {reason}")
    return sized_films


def _read_size(film: Film) -> int:
    size = film.read_size()
    if size < SMALLEST_SIDE:
        raise DataError(f"{film.origin}: {size} px is below the smallest packed side, {SMALLEST_SIDE} px")
    return size


def _check_resolution(resolution: int, sizes: Sequence[int]) -> None:
    if resolution not in list_packed_sides(resolution):
        raise DataError(f"prepare.resolution: {resolution} is not a power of two from {SMALLEST_SIDE} up")
    if max(sizes) < resolution:
        raise DataError(
            f"prepare.resolution: {resolution} px is above the resolution of every film; the largest film has"
            f" {max(sizes)} px; set {pyramid.fit_side(max(sizes), resolution)} or less"
        )


def _check_disk_space(out: Path, largest_sides: Sequence[int]) -> None:
    n_pixels = sum(side * side for largest in largest_sides for side in list_packed_sides(largest))
    needed = n_pixels + _BYTES_PER_ROW * len(largest_sides)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DataError(
            f"{out}: {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free on that disk; "
            "make room there or lower prepare.resolution"
        )


def _pack_films(
    sized_films: Sequence[tuple[Film, int]],
    stacks: Mapping[int, ImageStack],
    splits: Mapping[str, str],
    unreadable: _UnreadableFilms,
) -> Iterator[tuple[Any, ...]]:
    """Append each readable film to the stacks up to its own size, and yield its manifest row."""
    tasks = [(film, pyramid.fit_side(size, max(stacks))) for film, size in sized_films]
    row = 0
    with contextlib.closing(pyramid.map_in_threads(_reduce_film, tasks, title="films")) as futures:
        for (film, size), future in zip(sized_films, futures, strict=True):
            try:
                squares, sha256 = future.result()
            except DataError as error:
                unreadable.add(error)
                continue
            for square in squares:
                stacks[square.shape[0]].append(square, row)
            row += 1
            split = splits[film.image_index]
            yield film.image_index, film.patient_id, film.source, film.view, split, size, sha256, *film.findings


def _reduce_film(task: tuple[Film, int]) -> tuple[list[UInt8], str]:
    """The squares of a film, largest first, and the sha256 of the first; an error if the first shows no film."""
    film, largest_side = task
    squares = pyramid.build_pyramid(film.read(), largest_side)
    flaw = images.find_flaw(squares[0])
    if flaw:
        raise _ImplausibleFilmError(f"{film.origin}: {flaw}")
    return squares, digests.sha256_bytes(squares[0].tobytes())

"""The packed dataset: films as uint8 squares at every power of two up to its resolution, built and opened.

A folder of images_RRRR.npy [n, R, R], rows_RRRR.npy (the manifest row of each), manifest.parquet and dataset.json.
A film joins only resolutions up to its own. Same films in, same bytes out, whatever their order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.data import pyramid, records
from synthcxr.data.findings import FINDINGS
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.pyramid import SMALLEST, Stack, array_name, packed_sides
from synthcxr.data.records import Film
from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files

ABOUT = "dataset.json"
CHECKS = "checks.json"
_BYTES_PER_ROW = 1024  # a film's share of manifest and row numbers, generously

Int64 = NDArray[np.int64]
OnBad = Literal["error", "skip"]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An open packed dataset; `films` is its manifest, and rows_RRRR.npy hold positions in it."""

    path: Path
    films: pd.DataFrame
    resolution: int
    fingerprint: str
    phantom: bool
    attribution: tuple[str, ...]
    sources: tuple[Mapping[str, Any], ...] = ()

    def sources_of(self, reader: str) -> frozenset[str]:
        """The names of the sources that this reader read and no other did."""
        names: dict[bool, set[str]] = {True: set(), False: set()}
        for held in self.sources:
            names[held["reader"] == reader].update(held["names"])
        return frozenset(names[True] - names[False])

    def memmap(self, resolution: int) -> UInt8:
        """All images of one resolution, uint8 [n, R, R], read-only and left on disk."""
        images: UInt8 = self._load("images", resolution, mmap_mode="r")
        return images

    def rows(self, resolution: int) -> Int64:
        """The manifest row of each image of `memmap(resolution)`, ascending."""
        rows: Int64 = self._load("rows", resolution)
        return rows

    def indices(self, resolution: int, splits: Sequence[str]) -> Int64:
        """Where in `memmap(resolution)` the images of these splits lie, ascending."""
        unknown = sorted(set(splits) - set(records.SPLITS))
        if unknown:
            raise DataError(f"unknown split {unknown[0]!r}; known: {', '.join(records.SPLITS)}")
        inside = self.films["split"].isin(list(splits)).to_numpy(dtype=bool)
        return np.flatnonzero(inside[self.rows(resolution)]).astype(np.int64)

    def images(self, resolution: int, splits: Sequence[str]) -> tuple[UInt8, Int64]:
        """A copy of the splits' images, uint8 [n, R, R], and their manifest rows; `memmap` copies nothing."""
        at = self.indices(resolution, splits)
        return np.asarray(self.memmap(resolution)[at]), self.rows(resolution)[at]

    def findings(self, rows: Int64) -> Float32:
        """The findings of manifest rows, float32 [n, 14]; NaN is unknown."""
        return self.films[list(FINDINGS)].to_numpy(dtype=np.float32)[rows]

    def patients(self, rows: Int64) -> NDArray[np.object_]:
        """The patient of each manifest row, an object array of str."""
        return self.films["patient_id"].to_numpy(dtype=object)[rows]

    def _load(self, kind: str, resolution: int, mmap_mode: Literal["r"] | None = None) -> Any:
        if resolution not in packed_sides(self.resolution):
            raise DataError(f"{self.path}: holds {SMALLEST} to {self.resolution} px by powers of two, not {resolution}")
        path = self.path / array_name(kind, resolution)
        try:
            return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: missing or broken; run `synthcxr prepare` again") from error


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What was packed: the manifest, films by resolution, and one sentence for each film left out."""

    films: pd.DataFrame
    by_resolution: dict[int, int]
    bad: tuple[str, ...]
    fingerprint: str
    phantom: bool

    @property
    def counts(self) -> dict[str, Any]:
        """Films, patients, films left out, films by split and by resolution: what dataset.json says of them."""
        by_split = self.films["split"].value_counts()
        return {
            "films": len(self.films),
            "patients": self.films["patient_id"].nunique(),
            "unreadable": len(self.bad),
            "by_split": {split: int(by_split.get(split, 0)) for split in records.SPLITS},
            "by_resolution": {str(side): n for side, n in self.by_resolution.items()},
        }


def open_dataset(path: Path) -> Dataset:
    """Open a packed dataset; DataError where it is absent, incomplete or of another kind."""
    films = records.read_films(path)
    about = json_files.read_json(path / ABOUT)
    try:
        return Dataset(
            path=path,
            films=films,
            resolution=int(about["resolution"]),
            fingerprint=str(about["fingerprint"]),
            phantom=bool(about["phantom"]),
            attribution=tuple(about["attribution"]),
            sources=tuple(about["sources"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path / ABOUT}: describes no packed dataset; run `synthcxr prepare` again") from error


def holds_only_ours(folder: Path) -> bool:
    """Whether a folder is empty or holds a packed dataset, whole or begun, and nothing else."""
    ours = {records.MANIFEST, ABOUT, CHECKS, f"{ABOUT}.partial", f"{CHECKS}.partial"}
    ours |= {array_name(kind, SMALLEST << k) for kind in ("images", "rows") for k in range(9)}
    return all(entry.name in ours and not entry.is_dir() for entry in folder.iterdir())


def build(
    films: Sequence[Film],
    *,
    out: Path,
    resolution: int,
    sides: Mapping[str, str],
    on_bad: OnBad,
    sources: Sequence[Mapping[str, Any]] = (),
    counts: Mapping[str, int] | None = None,
    attribution: Sequence[str] = (),
) -> BuildReport:
    """Pack films into the folder `out` in order of their unique names, each on its side (`sides` by image index).

    `sources`, `counts` and `attribution` pass into dataset.json. Raises DataError for a resolution above every film's
    own, for want of disk space (before anything is written) and, with `on_bad` "error", for a film that cannot be
    read; OSError where writing fails.
    """
    refused = _Refused(on_bad)
    sized = _sized(sorted(films, key=lambda film: film.image_index), refused)
    _check_resolution(resolution, [size for _, size in sized])
    out.mkdir(parents=True, exist_ok=True)
    _check_space(out, [pyramid.top(size, resolution) for _, size in sized])
    with contextlib.ExitStack() as opened:
        stacks = {side: opened.enter_context(Stack(out, side)) for side in packed_sides(resolution)}
        rows = list(_pack_all(sized, stacks, sides, refused))
    if not stacks[resolution].rows:
        raise DataError(f"no film of {resolution} px or more can be read; {refused.sentences[0]}")
    manifest = pd.DataFrame(rows, columns=list(records.FILM_COLUMNS))
    manifest = manifest.astype(dict.fromkeys(FINDINGS, np.float32) | {"size": np.int64})
    manifest.to_parquet(out / records.MANIFEST, index=False)
    report = BuildReport(
        films=manifest,
        by_resolution={side: len(stack.rows) for side, stack in stacks.items()},
        bad=tuple(refused.sentences),
        fingerprint=records.films_fingerprint(manifest),
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
    json_files.write_json(out / ABOUT, about)
    return report


class _Refused:
    """The films that cannot be used: the first is an error, or all are collected as sentences."""

    def __init__(self, on_bad: OnBad) -> None:
        self.on_bad = on_bad
        self.sentences: list[str] = []

    def add(self, error: DataError) -> None:
        if self.on_bad == "error":
            raise DataError(f"{error}; replace or remove it, or set prepare.on_bad: skip") from error
        self.sentences.append(str(error))


def _sized(films: Sequence[Film], refused: _Refused) -> list[tuple[Film, int]]:
    """The films whose header can be read, with their shorter side in pixels."""
    sized = []
    with contextlib.closing(pyramid.in_threads(_own_size, films, title="sizes")) as futures:
        for film, future in zip(films, futures, strict=True):
            try:
                sized.append((film, future.result()))
            except DataError as error:
                refused.add(error)
    if not sized:
        raise DataError(f"no films to pack: {refused.sentences[0] if refused.sentences else 'the sources hold none'}")
    return sized


def _own_size(film: Film) -> int:
    size = film.read_size()
    if size < SMALLEST:
        raise DataError(f"{film.origin}: {size} px is below the smallest packed side, {SMALLEST} px")
    return size


def _check_resolution(resolution: int, sizes: Sequence[int]) -> None:
    if resolution not in packed_sides(resolution):
        raise DataError(f"prepare.resolution: {resolution} is no power of two from {SMALLEST} up")
    if max(sizes) < resolution:
        raise DataError(
            f"prepare.resolution: {resolution} px is above every film's own, the largest has {max(sizes)} px; "
            f"set {pyramid.top(max(sizes), resolution)} or less"
        )


def _check_space(out: Path, tops: Sequence[int]) -> None:
    needed = sum(side * side for top in tops for side in packed_sides(top)) + _BYTES_PER_ROW * len(tops)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DataError(
            f"{out}: {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free on that disk; "
            "make room there or lower prepare.resolution"
        )


def _pack_all(
    sized: Sequence[tuple[Film, int]], stacks: Mapping[int, Stack], sides: Mapping[str, str], refused: _Refused
) -> Iterator[tuple[Any, ...]]:
    """Write every readable film to the stacks up to its own size and yield its manifest row."""
    work = [(film, pyramid.top(size, max(stacks))) for film, size in sized]
    row = 0
    with contextlib.closing(pyramid.in_threads(_squares, work, title="films")) as futures:
        for (film, size), future in zip(sized, futures, strict=True):
            try:
                squares, digest = future.result()
            except DataError as error:
                refused.add(error)
                continue
            for square in squares:
                stacks[square.shape[0]].append(square, row)
            row += 1
            split = sides[film.image_index]
            yield film.image_index, film.patient_id, film.source, film.view, split, size, digest, *film.findings


def _squares(work: tuple[Film, int]) -> tuple[list[UInt8], str]:
    """The film's packed squares, largest first, and the sha256 of the first."""
    film, top = work
    squares = pyramid.pyramid(film.read(), top)
    return squares, digests.sha256_bytes(squares[0].tobytes())

"""The packed dataset: films as uint8 squares at every power of two up to its resolution, built and opened.

The folder has images_RRRR.npy [n, R, R] and rows_RRRR.npy (the manifest row of each image) for each side R,
manifest.parquet and dataset.json. A film is packed only at sides up to its own. The same films give the same bytes,
whatever their order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.bounds import Side
from synthcxr.data.condition import FilmAttributes
from synthcxr.data.dataset_kind import ABOUT_FILE
from synthcxr.data.film_packing import LeftOutFilm, OnBad, PackedFilms, pack_films
from synthcxr.data.films import MANIFEST_COLUMNS, MANIFEST_FILE, SPLITS, Film, fingerprint_films, read_film_manifest
from synthcxr.data.findings import FINDINGS
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.left_out import Reason
from synthcxr.data.packing_journal import JOURNAL_FILE
from synthcxr.data.pyramid import SMALLEST_SIDE, list_packed_sides, name_array_file
from synthcxr.errors import DataError
from synthcxr.storage import json_files, numpy_files
from synthcxr.storage.atomic import PARTIAL_SUFFIX
from synthcxr.storage.numpy_files import ArrayType

CHECKS_FILE = "checks.json"

Int64 = NDArray[np.int64]
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
        images: UInt8 = self._load("images", resolution)
        if len(images) != len(self.rows(resolution)):
            name = name_array_file("images", resolution)
            raise DataError(f"{self.path / name}: does not fit {name_array_file('rows', resolution)}; {_ADVICE}")
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

    def labelled_indices(self, resolution: int, splits: Sequence[str]) -> Int64:
        """The part of `indices` whose films have at least one known finding: those that a classifier learns from."""
        indices = self.indices(resolution, splits)
        is_labelled = ~np.isnan(self.findings(self.rows(resolution)[indices])).all(axis=1)
        return indices[is_labelled]

    def images(self, resolution: int, splits: Sequence[str]) -> tuple[UInt8, Int64]:
        """Load the images of these splits, uint8 [n, R, R], and their manifest rows."""
        indices = self.indices(resolution, splits)
        return np.asarray(self.memmap(resolution)[indices]), self.rows(resolution)[indices]

    def findings(self, rows: Int64) -> Float32:
        """The multi-hot findings of manifest rows, float32 [n, 14]; NaN is unknown."""
        return self.manifest[list(FINDINGS)].to_numpy(dtype=np.float32)[rows]

    def attributes(self, rows: Int64) -> FilmAttributes:
        """Findings, views, sexes and ages of manifest rows."""
        views, sexes = (self.manifest[name].to_numpy(dtype=str)[rows] for name in ("view", "sex"))
        ages = self.manifest["age"].to_numpy(dtype=np.float32)[rows]
        return FilmAttributes(self.findings(rows), views, sexes, ages)

    def image_indices(self, rows: Int64) -> list[str]:
        """The image index of each manifest row, the name of a film across all sources."""
        return [str(index) for index in self.manifest["image_index"].to_numpy(dtype=object)[rows]]

    def strata(self, rows: Int64) -> NDArray[np.str_]:
        """The kind of film of each manifest row: its source, and whether it has any known finding."""
        labelled = np.where(np.isnan(self.findings(rows)).all(axis=1), "unlabelled", "labelled")
        sources = self.manifest["source"].to_numpy(dtype=str)[rows]
        return np.array([f"{source}, {kind}" for source, kind in zip(sources, labelled, strict=True)], dtype=np.str_)

    def patients(self, rows: Int64) -> NDArray[np.object_]:
        """The patient of each manifest row, an object array of str."""
        return self.manifest["patient_id"].to_numpy(dtype=object)[rows]

    def _load(self, kind: Literal["images", "rows"], resolution: int) -> NDArray[Any]:
        if resolution not in list_packed_sides(self.resolution):
            raise DataError(
                f"{self.path}: packed at powers of two from {SMALLEST_SIDE} to {self.resolution} px, not at"
                f" {resolution} px"
            )
        path = self.path / name_array_file(kind, resolution)
        expected = ArrayType("i", (None,)) if kind == "rows" else ArrayType("u", (None, resolution, resolution))
        return numpy_files.read_npy(path, expected, memory_map=kind == "images", advice=_ADVICE)


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What was packed: the manifest, the number of films by resolution, and the films that were left out."""

    manifest: pd.DataFrame
    by_resolution: Mapping[int, int]
    left_out: tuple[LeftOutFilm, ...]
    fingerprint: str
    phantom: bool

    @property
    def unreadable(self) -> tuple[str, ...]:
        """A sentence for each film that was left out, whatever the reason."""
        return tuple(film.sentence for film in self.left_out)

    @property
    def implausible(self) -> tuple[str, ...]:
        """The sentences of the films that can be read but show no film."""
        return tuple(film.sentence for film in self.left_out if film.reason is Reason.IMPLAUSIBLE)

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
    names = {MANIFEST_FILE, ABOUT_FILE, CHECKS_FILE, JOURNAL_FILE}
    names |= {f"{name}{PARTIAL_SUFFIX}" for name in (ABOUT_FILE, CHECKS_FILE, JOURNAL_FILE)}
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
) -> BuildReport:
    """Pack films, of which `splits` maps each image index to a split, into the folder `out`.

    Raises errors like `film_packing.pack_films`.
    """
    packed = pack_films(films, out=out, resolution=resolution, on_bad=on_bad)
    return write_film_manifest(packed, splits=splits, sources=sources)


def write_film_manifest(
    packed: PackedFilms,
    *,
    splits: Mapping[str, str],
    sources: Sequence[Mapping[str, Any]] = (),
    counts: Mapping[str, Any] | None = None,
    attribution: Sequence[str] = (),
) -> BuildReport:
    """Complete the folder of packed films by the manifest and dataset.json, which gets all arguments but `splits`.

    `splits` maps the image index of each packed film to its split.
    """
    rows = [
        (film.image_index, film.patient_id, film.source, film.view, splits[film.image_index], size, sha256)
        + film.findings
        + (film.sex, film.age)
        for film, size, sha256 in ((entry.film, entry.size, entry.sha256) for entry in packed.films)
    ]
    manifest = pd.DataFrame(rows, columns=[*MANIFEST_COLUMNS, "sex", "age"])
    manifest = manifest.astype(dict.fromkeys((*FINDINGS, "age"), np.float32) | {"size": np.int64})
    manifest.to_parquet(packed.path / MANIFEST_FILE, index=False)
    report = BuildReport(
        manifest=manifest,
        by_resolution=packed.by_resolution,
        left_out=packed.left_out,
        fingerprint=fingerprint_films(manifest),
        phantom=any(entry.film.origin.startswith("phantom:") for entry in packed.films),
    )
    about = {
        "fingerprint": report.fingerprint,
        "resolution": packed.resolution,
        "phantom": report.phantom,
        "sources": list(sources),
        "attribution": list(attribution),
        "counts": dict(counts or {}) | report.counts,
    }
    json_files.write_json(packed.path / ABOUT_FILE, about)
    return report

"""The sections of the private report, which show real films: those closest to synthetic images, and test films."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.film_dataset import FilmDataset
from synthcxr.data.films import GAN_TRAINING_SPLITS, TEST_SPLITS
from synthcxr.data.image_reader import decode_pixels
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.metrics_rows import ClosestPairRow
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, privacy_spaces
from synthcxr.data.number_format import format_number
from synthcxr.report.section import Grid, Section
from synthcxr.report.thumbnails import build_thumbnail, resize_pixels

SIDE_PX = 32
_N_IMAGES = 12
_BATCH = 256

ReadFiles = Callable[[Sequence[str]], Iterable[bytes]]


def build_film_sections(
    films: FilmDataset,
    *,
    metrics: MetricsJson,
    side: int,
    generator_films: str,
    file_names: Sequence[str],
    read_files: ReadFiles,
    n_test_films: int,
) -> tuple[Section, Section]:
    """The closest pairs of images and films, or the first images beside their nearest films; and test films alone.

    Films have `side` px. `generator_films` is the fingerprint of the films that the generator was trained on: the
    pairs in `metrics` name rows of those films. `file_names` are those of the synthetic images, which `read_files`
    reads.
    """
    pixels, test = films.memmap(side), films.indices(side, TEST_SPLITS)
    test_films = tuple(
        build_thumbnail(pixels[index], alt="real test film", caption="real") for index in test[:n_test_films]
    )
    row = privacy_spaces(metrics.get("privacy", {})).get(PIXELS)
    pairs = row.get("pairs", []) if row is not None and generator_films == films.fingerprint else []
    closest = (
        _build_pairs_section(films, side, pairs, read_files([pair["image"] for pair in pairs]))
        if pairs
        else _build_side_by_side_section(films, side, file_names[:_N_IMAGES], read_files)
    )
    introduction = f"The first {len(test_films)} of {len(test):,} films."
    return closest, Section("Real test films", introduction=introduction, grid=Grid(test_films))


def find_nearest_films(*, synthetic: UInt8, films: Iterable[UInt8]) -> NDArray[np.int64]:
    """The position among all `films`, given in batches [m, R, R], of the nearest to each of `synthetic` [n, R, R].

    The distance is Euclidean between images of SIDE_PX or less, each with mean 0 and norm 1, so brightness and
    contrast have no influence. One batch is in memory at a time. Of equal films the first counts. Returns int64 [n].
    """
    vectors = _to_unit_vectors(synthetic)
    best, positions = np.full(len(vectors), -np.inf, np.float32), np.zeros(len(vectors), np.int64)
    start = 0
    for batch in films:
        similarity = vectors @ _to_unit_vectors(batch).T
        is_nearer = similarity.max(axis=1) > best
        positions[is_nearer] = start + similarity.argmax(axis=1)[is_nearer]
        best = np.maximum(best, similarity.max(axis=1))
        start += len(batch)
    return positions


def _build_pairs_section(
    films: FilmDataset, side: int, pairs: Sequence[ClosestPairRow], files: Iterable[bytes]
) -> Section:
    thumbnails = []
    for pair, data in zip(pairs, files, strict=True):
        image = resize_pixels(decode_pixels(data, name=pair["image"]), side)
        caption = f"synthetic, distance {format_number(pair['distance'])}"
        thumbnails.append(build_thumbnail(image, alt="synthetic image", caption=caption))
        film = _read_film(films, pair["film"], side)
        thumbnails.append(build_thumbnail(film, alt="its nearest film", caption=f"film {pair['film']}"))
    return Section(
        title="Closest pairs",
        introduction=(
            f"The {len(pairs)} pairs that are closest in pixels, the closest first, among all films that the generator"
            " was trained on."
        ),
        grid=Grid(tuple(thumbnails), columns=4),
    )


def _build_side_by_side_section(
    films: FilmDataset, side: int, file_names: Sequence[str], read_files: ReadFiles
) -> Section:
    files = zip(file_names, read_files(file_names), strict=True)
    synthetic = np.stack([resize_pixels(decode_pixels(data, name=name), side) for name, data in files])
    columns = {
        "synthetic": synthetic,
        "nearest training film": _read_nearest_films(films, side, GAN_TRAINING_SPLITS, synthetic),
        "nearest test film": _read_nearest_films(films, side, TEST_SPLITS, synthetic),
    }
    thumbnails = tuple(
        build_thumbnail(pixels, alt=kind, caption=kind)
        for row in zip(*columns.values(), strict=True)
        for pixels, kind in zip(row, columns, strict=True)
    )
    return Section(
        title="Synthetic images beside the nearest real films",
        introduction=f"Nearest in pixels at {SIDE_PX} px or less. Brightness and contrast have no influence.",
        grid=Grid(thumbnails, columns=len(columns)),
    )


def _read_film(films: FilmDataset, row: int, side: int) -> UInt8:
    """The film of a manifest row, at `side` px or at the largest packed size that the film reaches."""
    rows = films.rows(side)
    position = int(np.searchsorted(rows, row))
    if position == len(rows) or rows[position] != row:
        return _read_film(films, row, side // 2)
    return np.asarray(films.memmap(side)[position])


def _read_nearest_films(films: FilmDataset, side: int, splits: tuple[str, ...], synthetic: UInt8) -> UInt8:
    """The film of these splits that is nearest to each synthetic image, [n, side, side]."""
    pixels, indices = films.memmap(side), films.indices(side, splits)
    batches = (np.asarray(pixels[indices[start : start + _BATCH]]) for start in range(0, len(indices), _BATCH))
    return np.asarray(pixels[indices[find_nearest_films(synthetic=synthetic, films=batches)]])


def _to_unit_vectors(pixels: UInt8) -> Float32:
    """Flat images with mean 0 and norm 1."""
    side = min(SIDE_PX, pixels.shape[1])
    reduced = np.stack([images.resize(image.astype(np.float32), side) for image in pixels]).reshape(len(pixels), -1)
    centred = reduced - reduced.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    vectors: Float32 = centred / np.maximum(norms, np.float32(1e-6))
    return vectors

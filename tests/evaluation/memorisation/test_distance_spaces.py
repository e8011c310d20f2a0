"""Copies of training films that are smaller than the images are found and filtered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.in_memory_film import InMemoryFilm

from synthcxr.config.schema import EvaluateConfig
from synthcxr.data import images
from synthcxr.data.film_dataset import FilmDataset, build_film_dataset, open_film_dataset
from synthcxr.data.films import Film
from synthcxr.data.findings import to_multi_hot
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures
from synthcxr.evaluation.image_sets import RealSet, SyntheticSet
from synthcxr.evaluation.memorisation import distance_spaces, pixel_index
from synthcxr.evaluation.memorisation.copy_filter import PixelCopyFilter

LARGE, SMALL, N = 128, 64, 52
SPLITS_BY_KIND = {"large": "train", "small": "judge", "other": "test"}
CONFIG = EvaluateConfig(extractors=(), n_bootstrap=10, max_label_kl=1.0, seed=1, device="cpu", gates=())


def draw_images(n: int, side: int, *, seed: int) -> np.ndarray:
    """Smooth images [n, side, side] in [0, 1], all different."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((n, side, side)), (0, side / 12, side / 12))
    return np.clip(0.5 + 0.15 * noise / noise.std(), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> FilmDataset:
    """Training films and test films of 128 px, and training films of 64 px."""
    films, splits = [], {}
    for number, (kind, split) in enumerate(SPLITS_BY_KIND.items()):
        for k, pixels in enumerate(draw_images(N, SMALL if kind == "small" else LARGE, seed=number)):
            name, film = f"{kind}{k:03d}.png", InMemoryFilm(pixels)
            no_finding = to_multi_hot(["No Finding"])
            films.append(
                Film(name, f"{kind}{k}", "test", "PA", no_finding, film.read, film.read_size, f"memory:{name}")
            )
            splits[name] = split
    out = tmp_path_factory.mktemp("films") / "cxr"
    build_film_dataset(films, out=out, resolution=LARGE, splits=splits, on_bad="error")
    return open_film_dataset(out)


@pytest.fixture(scope="module")
def copy(films: FilmDataset) -> tuple[np.ndarray, int]:
    """A film of 64 px, enlarged to 128 px, and its row in the manifest."""
    row = int(np.flatnonzero(films.manifest["image_index"] == "small007.png")[0])
    position = int(np.searchsorted(films.rows(SMALL), row))
    return np.kron(films.memmap(SMALL)[position], np.ones((2, 2), np.uint8)), row


def test_a_copy_of_a_smaller_film_is_found(films: FilmDataset, copy: tuple[np.ndarray, int], tmp_path: Path) -> None:
    """Among images of 128 px the copy is the closest pair with its film of 64 px; all planted copies are found."""
    pixels = images.quantise(draw_images(60, LARGE, seed=9))
    pixels[17] = copy[0]
    real = RealSet(films, LARGE, (), (), False, tmp_path)
    synthetic = SyntheticSet.__new__(SyntheticSet)  # not read, since the features are given below
    space_features = ComparisonFeatures(
        Comparison(CONFIG, real, synthetic, N),
        distance_spaces.pixel_extractor(),
        {"features": pixel_index.smooth_and_reduce(pixels)},
    )
    result = distance_spaces.measure_memorisation(space_features)
    assert (result.n_training, result.copies.n_null, result.membership.n_members) == (2 * N, N, 2 * N)
    assert (result.pairs[0].image, result.pairs[0].film, result.pairs[0].rank) == (17, copy[1], 0.0)
    assert result.flagged[17]
    assert all(recall.share == 1 for recall in result.recall.values())


def test_the_copy_filter_rejects_a_copy_of_a_smaller_film(films: FilmDataset, copy: tuple[np.ndarray, int]) -> None:
    """The index of the copy filter contains the films of 64 px too."""
    copy_filter = PixelCopyFilter.build(films.path, resolution=LARGE, training_data=films.fingerprint)
    copy_distance, new_distance = copy_filter.measure_distances(
        np.stack([copy[0], images.quantise(draw_images(1, LARGE, seed=9)[0])])
    )
    assert copy_distance < copy_filter.threshold < new_distance

"""Films of several sizes: what is smaller than the images was learned from too, and a copy of it is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.in_memory_film import Held

from synthcxr.config.schema import EvaluateConfig
from synthcxr.data import film_dataset as datasets
from synthcxr.data import findings, images
from synthcxr.data.film_dataset import Dataset
from synthcxr.data.records import Film
from synthcxr.evaluation.comparison import Comparison, View
from synthcxr.evaluation.image_sets import RealSet, SyntheticSet
from synthcxr.evaluation.memorisation import pixel_index, spaces
from synthcxr.evaluation.memorisation.copy_filter import Memorised

LARGE, SMALL, N = 128, 64, 52
SIDES = {"large": "train", "small": "judge", "other": "test"}
CONFIG = EvaluateConfig(extractors=(), n_bootstrap=10, max_label_kl=1.0, seed=1, device="cpu", gates=())


def drawn(n: int, side: int, *, seed: int) -> np.ndarray:
    """Soft pictures [n, side, side] in [0, 1], each of its own."""
    own = gaussian_filter(np.random.default_rng(seed).standard_normal((n, side, side)), (0, side / 12, side / 12))
    return np.clip(0.5 + 0.15 * own / own.std(), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Films of 128 px to learn from and to be held out, and some of 64 px that were learned from as well."""
    held, sides = [], {}
    for number, (kind, split) in enumerate(SIDES.items()):
        for k, pixels in enumerate(drawn(N, SMALL if kind == "small" else LARGE, seed=number)):
            name, film = f"{kind}{k:03d}.png", Held(pixels)
            vector = findings.vector(["No Finding"])
            held.append(Film(name, f"{kind}{k}", "test", "PA", vector, film.read, film.read_size, f"memory:{name}"))
            sides[name] = split
    out = tmp_path_factory.mktemp("films") / "cxr"
    datasets.build(held, out=out, resolution=LARGE, sides=sides, on_bad="error")
    return datasets.open_dataset(out)


@pytest.fixture(scope="module")
def copy(films: Dataset) -> tuple[np.ndarray, int]:
    """A film of 64 px, enlarged to 128, and its manifest row."""
    row = int(np.flatnonzero(films.films["image_index"] == "small007.png")[0])
    at = int(np.searchsorted(films.rows(SMALL), row))
    return np.kron(films.memmap(SMALL)[at], np.ones((2, 2), np.uint8)), row


def test_a_copy_of_a_smaller_film_is_found(films: Dataset, copy: tuple[np.ndarray, int], tmp_path: Path) -> None:
    """Among images of 128 px the copy is the closest pair, beside its film of 64 px; planted copies are found."""
    pixels = images.quantise(drawn(60, LARGE, seed=9))
    pixels[17] = copy[0]
    real = RealSet(films, LARGE, (), (), False, tmp_path)
    made = SyntheticSet.__new__(SyntheticSet)  # the images are handed over as features: nothing of the set is read
    view = View(Comparison(CONFIG, real, made, N), spaces.pixels(), {"features": pixel_index.reduced(pixels)})
    found = spaces.examine(view)
    assert (found.n_learned, found.copies.n_null, found.attack.n_members) == (2 * N, N, 2 * N)
    assert (found.pairs[0].image, found.pairs[0].film, found.pairs[0].rank) == (17, copy[1], 0.0)
    assert found.flagged[17]
    assert all(kind.share == 1 for kind in found.found.values())


def test_generate_rejects_a_copy_of_a_smaller_film(films: Dataset, copy: tuple[np.ndarray, int]) -> None:
    """The index that keeps copies out of a set holds the films of 64 px, too."""
    index = Memorised.of(films.path, resolution=LARGE, training_data=films.fingerprint)
    near, far = index.distances(np.stack([copy[0], images.quantise(drawn(1, LARGE, seed=9)[0])]))
    assert near < index.threshold < far

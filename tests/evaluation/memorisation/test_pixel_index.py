from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import attacks, pixel_index
from synthcxr.evaluation.memorisation.pixel_index import PixelIndex, smooth_and_reduce
from synthcxr.evaluation.metrics.nearest_neighbours import Neighbours


def draw_films(n: int, side: int = 64, *, seed: int = 1) -> np.ndarray:
    """Film-like uint8 [n, side, side]: a shared shape, and smooth structure that differs between films."""
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(np.random.default_rng(0).standard_normal((side, side)), side / 6)
    individual = gaussian_filter(rng.standard_normal((n, side, side)), (0, side / 12, side / 12))
    unit = 0.5 + 0.2 * shared / shared.std() + 0.1 * individual / individual.std()
    return images.quantise(unit.astype(np.float32))


def find_nearest(queries: np.ndarray, films: np.ndarray) -> Neighbours:
    return pixel_index.find_nearest(queries=smooth_and_reduce(queries), references=smooth_and_reduce(films))


def search_shifts(image: np.ndarray, film: np.ndarray, shift: int) -> float:
    """The distance at the best shift, computed for one shift after the other."""
    width, distances = len(image) - 2 * shift, []
    for down in range(2 * shift + 1):
        for right in range(2 * shift + 1):
            windows = image[shift:-shift, shift:-shift], film[down : down + width, right : right + width]
            a, b = (window.astype(float) - window.mean() for window in windows)
            distances.append(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))
    return min(distances)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_matrix_product_equals_a_search_over_shifts(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distance and nearest film equal those of cutting every window, for any number of images in a chunk."""
    queries, films = smooth_and_reduce(draw_films(5, side)), smooth_and_reduce(draw_films(7, side, seed=2))
    index = PixelIndex.build(films)
    expected = np.array([[search_shifts(query, film, index.shift) for film in films] for query in queries])
    for chunk in (1, 10**9):
        monkeypatch.setattr(pixel_index, "_CHUNK", chunk)
        nearest = index.find_nearest(queries)
        np.testing.assert_allclose(nearest.distance, expected.min(axis=1), atol=1e-3)
        assert nearest.index.tolist() == expected.argmin(axis=1).tolist()


@pytest.mark.parametrize("side", [32, 64, 128])
@pytest.mark.parametrize("kind", attacks.PLANTED_COPIES)
def test_planted_copies_are_nearest_to_their_films(kind: str, side: int) -> None:
    """Every kind of copy is nearest to its own film, and closer than any unrelated film."""
    films, unrelated = draw_films(40, side), draw_films(60, side, seed=2)
    copies = attacks.plant_copies(films, np.random.default_rng(3))[kind]
    nearest, null = find_nearest(copies, films), find_nearest(unrelated, films)
    assert nearest.index.tolist() == list(range(40))
    assert nearest.distance.max() < null.distance.min()


def test_brightness_and_contrast_have_no_effect() -> None:
    """A film after a gain and an offset without clipping has distance 0, up to the rounding of its pixels."""
    films = draw_films(10)
    changed = images.quantise((0.2 + 0.6 * films / 255.0).astype(np.float32))
    assert find_nearest(changed, films).distance.max() < 0.02


def test_flat_images_resemble_nothing() -> None:
    """A grey image has the distance sqrt(2) to every film, and a film to a grey image; nothing divides by zero."""
    grey = np.full((2, 64, 64), 128, np.uint8)
    assert find_nearest(grey, draw_films(4)).distance == pytest.approx(np.sqrt(2), abs=1e-3)
    assert find_nearest(draw_films(2), grey).distance == pytest.approx(np.sqrt(2), abs=1e-3)


@pytest.mark.parametrize("max_films", [1, 2, 100])
def test_an_image_is_not_compared_with_its_own_group(monkeypatch: pytest.MonkeyPatch, max_films: int) -> None:
    """An image is not its own neighbour; if all images are of one group, DataError is raised; blocks change nothing."""
    monkeypatch.setattr(pixel_index, "_MAX_FILMS", max_films)
    films = smooth_and_reduce(draw_films(5))
    own_group = np.arange(5).astype(object)
    nearest = pixel_index.find_nearest(queries=films, references=films, groups=(own_group, own_group))
    assert (nearest.index != np.arange(5)).all()
    monkeypatch.setattr(pixel_index, "_MAX_FILMS", 100)
    whole = pixel_index.find_nearest(queries=films, references=films, groups=(own_group, own_group))
    assert nearest.index.tolist() == whole.index.tolist()
    assert nearest.distance == pytest.approx(whole.distance, abs=1e-6)
    one_group = np.zeros(5, dtype=object)
    with pytest.raises(DataError, match="no film of another patient"):
        pixel_index.find_nearest(queries=films, references=films, groups=(one_group, one_group))


def test_films_that_cannot_be_compared_are_an_error() -> None:
    """No films, and images of another size, raise DataError."""
    with pytest.raises(DataError, match="no films to compare"):
        PixelIndex.build(np.empty((0, 32, 32), np.float32))
    with pytest.raises(DataError, match="images of 16 px cannot be compared with films of 32 px"):
        find_nearest(draw_films(1, 16), draw_films(1, 32))

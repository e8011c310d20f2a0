from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import nearest_neighbours


def points(n: int, d: int = 12, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + np.float32(shift)


def test_the_nearest_is_that_of_an_exhaustive_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances and positions are those of scikit-learn's brute force, however the rows are cut into blocks."""
    queries, held = points(53, seed=1), points(70, seed=2)
    distance, at = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(held.astype(float)).kneighbors(queries)
    for chunk in (70, 1000, 10**6):
        monkeypatch.setattr(nearest_neighbours, "_CHUNK", chunk)
        found = nearest_neighbours.neighbours(queries=queries, held=held)
        np.testing.assert_allclose(found.distance, distance[:, 0], rtol=1e-12)
        assert found.at.tolist() == at[:, 0].tolist()


def test_a_copy_far_from_the_origin_is_at_distance_zero() -> None:
    """Long vectors do not drown a small distance: features about 10,000 units out still tell a copy to 1e-4."""
    held = points(30, seed=3, shift=1e4)
    moved = held[[7]].astype(float)
    moved[0, 0] += 0.25
    assert nearest_neighbours.neighbours(queries=held[[7]], held=held).distance[0] < 1e-4
    assert nearest_neighbours.neighbours(queries=moved, held=held).distance[0] == pytest.approx(0.25, rel=1e-6)


def test_a_query_is_kept_from_its_own_group() -> None:
    """A film is not compared with films of its patient; a patient who is alone is an error that says what to do."""
    held = points(6, seed=4)
    patients = np.array(["a", "a", "b", "b", "c", "c"], dtype=object)
    found = nearest_neighbours.neighbours(queries=held, held=held, groups=(patients, patients))
    assert (patients[found.at] != patients).all()
    assert (found.distance > 0).all()
    alone = np.array(["a"] * 6, dtype=object)
    with pytest.raises(DataError, match="no film of another patient"):
        nearest_neighbours.neighbours(queries=held, held=held, groups=(alone, alone))


def test_features_of_different_extractors_are_refused() -> None:
    """Rows of different widths, and none at all, are named."""
    with pytest.raises(DataError, match=r"expected rows of one width, found \[3, 12\] and \[3, 11\]"):
        nearest_neighbours.neighbours(queries=points(3, seed=1), held=points(3, 11, seed=1))
    with pytest.raises(DataError, match="expected rows"):
        nearest_neighbours.neighbours(queries=points(0, seed=1), held=points(3, seed=1))

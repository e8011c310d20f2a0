from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import nearest_neighbours


def draw_features(n: int, d: int = 12, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + np.float32(shift)


def test_the_nearest_row_equals_an_exhaustive_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances and indices equal those of scikit-learn's brute force, for any size of the blocks."""
    queries, references = draw_features(53, seed=1), draw_features(70, seed=2)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(references.astype(float))
    distance, index = search.kneighbors(queries)
    for chunk, max_numbers in (
        (70, 10**6),
        (1000, 10**6),
        (10**6, 10**6),
        (1000, 5),
        (10**6, 7 * 12),
        (10**6, 33 * 12),
    ):
        monkeypatch.setattr(nearest_neighbours, "_CHUNK", chunk)
        monkeypatch.setattr(nearest_neighbours, "_MAX_NUMBERS", max_numbers)
        nearest = nearest_neighbours.find_nearest(queries=queries, references=references)
        np.testing.assert_allclose(nearest.distance, distance[:, 0], rtol=1e-12)
        assert nearest.index.tolist() == index[:, 0].tolist()


def test_a_copy_far_from_the_origin_has_distance_zero() -> None:
    """Long vectors do not hide a small distance: about 10,000 from the origin a copy is exact to 1e-4."""
    references = draw_features(30, seed=3, shift=1e4)
    shifted = references[[7]].astype(float)
    shifted[0, 0] += 0.25
    copy_distance = nearest_neighbours.find_nearest(queries=references[[7]], references=references).distance[0]
    assert copy_distance < 1e-4
    shifted_distance = nearest_neighbours.find_nearest(queries=shifted, references=references).distance[0]
    assert shifted_distance == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("max_numbers", [10**6, 24])
def test_a_query_is_not_compared_with_its_own_group(monkeypatch: pytest.MonkeyPatch, max_numbers: int) -> None:
    """A film is not compared with films of its patient; if there is no other patient, the error says what to do.

    In blocks of two films, some have films of one patient alone.
    """
    monkeypatch.setattr(nearest_neighbours, "_MAX_NUMBERS", max_numbers)
    films = draw_features(6, seed=4)
    patients = np.array(["a", "a", "b", "b", "c", "c"], dtype=object)
    nearest = nearest_neighbours.find_nearest(queries=films, references=films, groups=(patients, patients))
    assert (patients[nearest.index] != patients).all()
    assert (nearest.distance > 0).all()
    one_patient = np.array(["a"] * 6, dtype=object)
    with pytest.raises(DataError, match="no film of another patient"):
        nearest_neighbours.find_nearest(queries=films, references=films, groups=(one_patient, one_patient))


def test_features_of_different_extractors_are_an_error() -> None:
    """Rows of different widths, and no rows at all, raise DataError."""
    with pytest.raises(DataError, match=r"expected rows of one width, got \[3, 12\] and \[3, 11\]"):
        nearest_neighbours.find_nearest(queries=draw_features(3, seed=1), references=draw_features(3, 11, seed=1))
    with pytest.raises(DataError, match="expected rows"):
        nearest_neighbours.find_nearest(queries=draw_features(0, seed=1), references=draw_features(3, seed=1))

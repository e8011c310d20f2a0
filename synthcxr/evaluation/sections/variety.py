"""The sections "variety" and "weights" of metrics.json: near-duplicates among the images, and what their weights leave.

Images are reduced to 32 px and smoothed as for the search of copies. Films are compared with films of other patients.
"""

from __future__ import annotations

import numpy as np

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.metrics_schema import COMPUTED, Variety, Weights, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.data.share_interval import wilson_interval
from synthcxr.evaluation.comparison import Comparison
from synthcxr.evaluation.image_sets import SyntheticSet, space_evenly
from synthcxr.evaluation.memorisation import distance_spaces
from synthcxr.evaluation.metrics import near_duplicates
from synthcxr.evaluation.metrics.effective_sample_size import effective_sample_size
from synthcxr.evaluation.metrics.film_variety import FilmVariety


def compare_with_films(comparison: Comparison) -> Variety:
    """Compute the section "variety" against test films that meet the request, evenly spaced, at most one per image."""
    n, patients = len(comparison.synthetic.file_names), comparison.real.patients(TEST_SPLITS)
    if len(patients) < MIN_FILMS_FOR_DISTANCE or n < MIN_FILMS_FOR_DISTANCE:
        return compute_variety(comparison.synthetic, None)
    rows = space_evenly(len(patients), n)
    squares = comparison.real.outputs(distance_spaces.pixel_extractor(), TEST_SPLITS)["features"]
    return compute_variety(comparison.synthetic, FilmVariety.measure(squares[rows], patients[rows]))


def compute_variety(synthetic: SyntheticSet, films: FilmVariety | None) -> Variety:
    """Compute the section; the medians are compared if there are at least as many images as `films`."""
    n = len(synthetic.file_names)
    if n < 2:
        return {"status": not_applicable(f"n = {n}")}
    squares = synthetic.outputs(distance_spaces.pixel_extractor())["features"]
    n_compared = films.n if films is not None and films.n <= n else n
    correlations = near_duplicates.find_nearest_correlations(squares[:n_compared])
    median = float(np.median(correlations))
    if n_compared < n:
        correlations = near_duplicates.find_nearest_correlations(squares)
    flags = near_duplicates.is_near_duplicate(correlations)
    return {
        "status": COMPUTED,
        "near_duplicates": float(flags.mean()),
        "near_duplicates_interval": wilson_interval(int(flags.sum()), n),
        "real_near_duplicates": None if films is None else films.near_duplicates,
        "correlation": median,
        "real_correlation": films.correlation if films is not None and films.n <= n else None,
        "n": n,
        "n_compared": n_compared,
    }


def compute_weights(synthetic: SyntheticSet) -> Weights:
    """Compute the section "weights"; without weights every image counts in full."""
    n, size = len(synthetic.file_names), effective_sample_size(synthetic.weights)
    return {"status": COMPUTED, "effective_size": size, "effective_share": size / n, "n": n}

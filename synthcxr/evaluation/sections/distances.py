"""The sections "distance", "kernel", "infinity", "coverage" and "similarity" of metrics.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypedDict, TypeVar, cast

import numpy as np

from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.metrics_rows import CoverageRow, DistanceRow, InfinityRow, KernelDistanceRow
from synthcxr.data.metrics_schema import COMPUTED, Similarity, not_applicable
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures
from synthcxr.evaluation.features.extractors import Provenance
from synthcxr.evaluation.metrics import frechet, frechet_infinity, kernel_distance, ms_ssim, prdc
from synthcxr.storage.progress import Progress, open_progress

Row = TypeVar("Row", KernelDistanceRow, InfinityRow, CoverageRow)


class DistanceSections(TypedDict):
    """The sections that have a row per extractor."""

    distance: dict[str, DistanceRow]
    kernel: dict[str, KernelDistanceRow]
    infinity: dict[str, InfinityRow]
    coverage: dict[str, CoverageRow]


def compute_distances(features: Mapping[str, ComparisonFeatures], unavailable: Mapping[str, str]) -> DistanceSections:
    """Compute the sections in the features of each extractor; `unavailable` maps the other extractors to a status."""
    distances = {name: build_empty_row(Provenance(name, "", ""), status=status) for name, status in unavailable.items()}
    with open_progress("distances", total=4 * len(features), unit="metrics") as progress:
        for name, extractor_features in features.items():
            distances[name] = compute_frechet_distance(extractor_features)
            progress.update()
        return {
            "distance": distances,
            "kernel": _compute_rows(compute_kernel_distance, features, unavailable, progress),
            "infinity": _compute_rows(extrapolate_frechet_distance, features, unavailable, progress),
            "coverage": _compute_rows(compute_coverage, features, unavailable, progress),
        }


def compute_frechet_distance(features: ComparisonFeatures) -> DistanceRow:
    """The Fréchet distance of images and of training films to test films, their ratio, and intervals."""
    provenance = features.extractor.provenance
    if (reason := _find_reason_not_to_compare(features)) is not None:
        n_train, n, n_test = _count_rows(features)
        return build_empty_row(provenance, status=reason, n_synthetic=n, floor_n=n, n_train=n_train, n_test=n_test)
    distance = frechet.relative_distance(
        train=features.train,
        test=features.test,
        synthetic=features.synthetic,
        train_patients=features.train_patients,
        test_patients=features.test_patients,
        n_bootstrap=features.comparison.config.n_bootstrap,
        rng=features.comparison.rng(f"distance {features.name}"),
    )
    return cast(DistanceRow, dataclasses.asdict(provenance) | dataclasses.asdict(distance) | {"status": COMPUTED})


def build_empty_row(provenance: Provenance, *, status: str, **counts: int) -> DistanceRow:
    """A row of "distance" in which only the extractor, the status and the given counts are known."""
    figures: dict[str, object] = dict.fromkeys(field.name for field in dataclasses.fields(frechet.RelativeDistance))
    return cast(DistanceRow, dataclasses.asdict(provenance) | figures | counts | {"status": status})


def compute_kernel_distance(features: ComparisonFeatures) -> KernelDistanceRow:
    """The kernel distance over subsets, of images and of training films."""
    distance = kernel_distance.kernel_distance_by_subsets(
        train=features.train,
        test=features.test,
        synthetic=features.synthetic,
        rng=features.comparison.rng(f"kernel {features.name}"),
    )
    return cast(KernelDistanceRow, dataclasses.asdict(distance) | {"status": COMPUTED})


def extrapolate_frechet_distance(features: ComparisonFeatures) -> InfinityRow:
    """The Fréchet distance extrapolated to infinitely many rows, of images and of training films."""
    rows = {"synthetic": features.synthetic, "training": features.train}
    n = min(map(len, rows.values()))
    if n < frechet_infinity.MIN_IMAGES:
        return {"status": not_applicable(f"n = {n}")}
    rng, test = features.comparison.rng(f"infinity {features.name}"), features.test_gaussian
    distances = {
        side: dataclasses.asdict(frechet_infinity.frechet_infinity(real=test, synthetic=side_rows, rng=rng))
        for side, side_rows in rows.items()
    }
    return cast(InfinityRow, distances | {"status": COMPUTED})


def compute_coverage(features: ComparisonFeatures) -> CoverageRow:
    """Precision, recall, density and coverage of images and of training films, and the ratio of their coverages."""
    coverage = prdc.relative_coverage(
        train=features.train,
        test=features.test,
        synthetic=features.synthetic,
        test_patients=features.test_patients,
        train_patients=features.train_patients,
        n_bootstrap=features.comparison.config.n_bootstrap,
        rng=features.comparison.rng(f"coverage {features.name}"),
    )
    return cast(CoverageRow, dataclasses.asdict(coverage) | {"status": COMPUTED})


def compute_similarity(comparison: Comparison) -> Similarity:
    """MS-SSIM of random pairs of images and of random pairs of test films."""
    n = min(comparison.n_test, len(comparison.synthetic.file_names))
    if n < MIN_FILMS_FOR_DISTANCE or not ms_ssim.count_scales(comparison.synthetic.resolution):
        return {"status": not_applicable(f"n = {n}")}
    similarity = ms_ssim.compare_ms_ssim(
        synthetic=comparison.synthetic.pixels(2 * ms_ssim.N_PAIRS),
        real=comparison.real.pixels(TEST_SPLITS, np.arange(comparison.n_test)),
        patients=comparison.real.patients(TEST_SPLITS),
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("similarity"),
    )
    return cast(Similarity, dataclasses.asdict(similarity) | {"status": COMPUTED})


def _compute_rows(
    compute: Callable[[ComparisonFeatures], Row],
    features: Mapping[str, ComparisonFeatures],
    unavailable: Mapping[str, str],
    progress: Progress,
) -> dict[str, Row]:
    rows: dict[str, Row] = {name: {"status": status} for name, status in unavailable.items()}
    for name, extractor_features in features.items():
        reason = _find_reason_not_to_compare(extractor_features)
        rows[name] = compute(extractor_features) if reason is None else {"status": reason}
        progress.update()
    return rows


def _find_reason_not_to_compare(features: ComparisonFeatures) -> str | None:
    """The status when there are too few films or images, or None."""
    _, n, n_test = _count_rows(features)
    if min(n_test, n) >= MIN_FILMS_FOR_DISTANCE:
        return None
    return not_applicable(f"n = {n_test if n_test < MIN_FILMS_FOR_DISTANCE else n}")


def _count_rows(features: ComparisonFeatures) -> tuple[int, int, int]:
    """The number of training films, of images compared at that number, and of test films."""
    n_train = len(features.train_patients)
    return n_train, min(n_train, len(features.comparison.synthetic.file_names)), features.comparison.n_test

"""All sections of metrics.json when no films are given: images against reference.npz, which a model carries.

reference.npz describes the val films by the judge: its features of a sample of them, the counts of its labels, the
distance of training films to them, its AUROC for each finding, and how much the films vary. The val films set the
judge's thresholds and selected its weights, so this is a first look and not a test.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import EvaluateConfig
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_rows import DistanceRow, ShareRow
from synthcxr.data.metrics_schema import (
    COMPUTED,
    PIXELS,
    Checks,
    Evidence,
    Labels,
    Similarity,
    not_applicable,
)
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.baseline import Baseline
from synthcxr.evaluation.comparison import detect_findings, find_weak_findings
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.features.extractors import JUDGE, OnnxModel, Provenance
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.metrics import bootstrap, frechet, label_distribution, ms_ssim
from synthcxr.evaluation.metrics.film_labels import FilmLabels
from synthcxr.evaluation.metrics.film_variety import FilmVariety
from synthcxr.evaluation.metrics.frechet import Gaussian
from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.evaluation.metrics.ms_ssim import FilmSimilarity
from synthcxr.evaluation.sections import other_metrics, protocol, variety
from synthcxr.evaluation.sections.cofindings import compute_cofindings
from synthcxr.evaluation.sections.distances import build_empty_row
from synthcxr.evaluation.sections.judge_agreement import compute_agreement_without_films
from synthcxr.evaluation.sections.label_validity import compute_label_ratios
from synthcxr.evaluation.sections.labels import build_empty_section
from synthcxr.storage import guarded_files, numpy_files
from synthcxr.storage.numpy_files import ArrayType

Float64 = NDArray[np.float64]

_ARRAYS = {
    "judge_features": ArrayType("f", (None, None)),
    "counts": ArrayType("fiu", (len(FINDINGS) + 1,)),
    "n_val": ArrayType("iu", ()),
    "floor_judge": ArrayType("f", ()),
    "floor_n": ArrayType("iu", ()),
    "digest_judge": ArrayType("U", ()),
}
NO_FILMS = not_applicable("no films: give --films")
_REQUESTED = not_applicable("the images were requested by label")


@dataclasses.dataclass(frozen=True)
class Reference:
    """The content of reference.npz.

    `features` [n, d] are of `n_val` val films. `counts` [15] are of the judge's labels of the `n_labelled` val films
    with labels of their own, "No Finding" first. `floor` is the Fréchet distance of `floor_n` training films to them.
    """

    features: Float64
    counts: Float64
    n_val: int
    n_labelled: int
    floor: float
    floor_n: int
    film_labels: FilmLabels | None
    film_variety: FilmVariety | None
    film_similarity: FilmSimilarity | None
    is_withheld: bool = False

    @classmethod
    def read(cls, path: Path, *, judge_digest: str, config: EvaluateConfig) -> Reference:
        """Read reference.npz; ArtifactError when it is missing, broken, of an older format or of another judge."""
        if not path.is_file():
            raise ArtifactError(
                f"{path}: no such file, and no films were given; give --films, or models with a reference.npz"
            )
        advice = "export the models again"
        arrays = numpy_files.read_npz(path, _ARRAYS, error=ArtifactError, advice=advice)
        if str(arrays["digest_judge"]) != judge_digest:
            raise ArtifactError(f"{path}: computed with another judge than the one beside it; export both again")
        if min(arrays[name].min() for name in ("n_val", "floor_n", "floor_judge", "counts")) < 0:
            raise ArtifactError(f"{path}: contains negative counts or distances; {advice}")
        optional = numpy_files.read_npz(path, error=ArtifactError, advice=advice)
        with guarded_files.report_failure(path, "the reference of a model", error=ArtifactError, advice=advice):
            return cls(
                features=arrays["judge_features"].astype(np.float64),
                counts=arrays["counts"].astype(np.float64),
                n_val=int(arrays["n_val"]),
                n_labelled=int(optional.get("n_labelled", arrays["n_val"])),
                floor=float(arrays["floor_judge"]),
                floor_n=int(arrays["floor_n"]),
                film_labels=FilmLabels.from_arrays(
                    optional, n_bootstrap=config.n_bootstrap, rng=np.random.default_rng(config.seed)
                ),
                film_variety=FilmVariety.from_arrays(optional),
                film_similarity=FilmSimilarity.from_arrays(optional),
            )

    def without_films(self) -> Reference:
        """The reference for images that were requested by label: none of its films is known to meet the request.

        What the films' own labels say of each finding remains.
        """
        return dataclasses.replace(
            self,
            features=self.features[:0],
            counts=0 * self.counts,
            n_val=0,
            n_labelled=0,
            film_variety=None,
            film_similarity=None,
            is_withheld=True,
        )


def compare_with_reference(
    config: EvaluateConfig,
    synthetic: SyntheticSet,
    judge: OnnxModel,
    reference: Reference,
    *,
    baseline: Baseline | None,
    checks: Checks,
) -> Evidence:
    """Compute the sections from a reference; all that need films are not applicable.

    `baseline` is for images that were requested by label.
    """
    extractor, n_val = extractors.extractor_from_model(judge), reference.n_val
    if synthetic.is_conditional:
        reference = reference.without_films()
    outputs = synthetic.outputs(extractor)
    distance = {
        name: compute_distance(
            reference,
            synthetic=outputs["features"],
            provenance=extractor.provenance,
            n_bootstrap=config.n_bootstrap,
            rng=np.random.default_rng(config.seed),
        )
        if name == JUDGE
        else DistanceRow(status=NO_FILMS)
        for name in config.extractors
    }
    spaces, not_judged = (PIXELS, *config.extractors), find_weak_findings(judge.metadata)
    judge_labels, rng = detect_findings(outputs, judge.metadata), np.random.default_rng(config.seed)
    labels = compare_labels(reference, judge_labels, not_judged=not_judged)
    ratios = compute_label_ratios(
        reference.film_labels, synthetic, outputs["logits"], baseline, n_bootstrap=config.n_bootstrap, rng=rng
    )
    return {
        "n_real_test": 0,
        "phantom": synthetic.phantom or judge.metadata.phantom,
        "distance": distance,
        "kernel": {name: {"status": NO_FILMS} for name in config.extractors},
        "infinity": {name: {"status": NO_FILMS} for name in config.extractors},
        "coverage": {name: {"status": NO_FILMS} for name in config.extractors},
        "by_finding": {name: {"status": NO_FILMS} for name in config.extractors},
        "similarity": compute_similarity(synthetic, reference.film_similarity, config=config),
        "privacy": {"status": NO_FILMS, **{space: {"status": NO_FILMS} for space in spaces}},
        "labels": {**labels, **ratios},
        "agreement": compute_agreement_without_films(synthetic, judge_labels, not_judged=not_judged),
        "cofindings": compute_cofindings(synthetic.labels, reference.film_labels),
        "variety": variety.compute_variety(synthetic, reference.film_variety),
        "weights": variety.compute_weights(synthetic),
        "metrics": other_metrics.compute_without_films(synthetic, {JUDGE: outputs["features"]}, seed=config.seed),
        "classifier": {"status": NO_FILMS},
        "checks": checks,
        "protocol": protocol.describe_protocol_without_films(
            n_val=n_val, n_bootstrap=config.n_bootstrap, judge_digest=judge.digest, baseline=baseline
        ),
    }


def compute_distance(
    reference: Reference,
    *,
    synthetic: NDArray[np.float32],
    provenance: Provenance,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> DistanceRow:
    """The Fréchet distance of features [n, d] of images to those of the reference, in judge features.

    `relative` is given only when there are as many images as training films in the floor, and the reference has the
    features of all its val films.
    """
    n, n_real = min(len(synthetic), reference.floor_n), len(reference.features)
    counts = {"n_synthetic": n, "floor_n": reference.floor_n, "n_test": n_real}
    if min(n, n_real) < MIN_FILMS_FOR_DISTANCE:
        status = _REQUESTED if reference.is_withheld else not_applicable(f"n = {min(n, n_real)}")
        return build_empty_row(provenance, status=status, **counts)
    value = frechet.frechet_distance(real=reference.features, synthetic=synthetic[:n])
    draws = np.array([_resample_distance(reference.features, synthetic[:n], rng) for _ in range(n_bootstrap)])
    row: dict[str, Any] = dict(build_empty_row(provenance, status=COMPUTED, **counts))
    row |= {"value": value, "interval": bootstrap.centred_interval(value, draws), "floor": reference.floor}
    if n == reference.floor_n and n_real == reference.n_val and reference.floor > 0:
        row["relative"] = relative = value / reference.floor
        row["relative_interval"] = bootstrap.centred_ratio_interval(relative, draws / reference.floor)
    return cast(DistanceRow, row)


def compare_labels(reference: Reference, synthetic: Bool, *, not_judged: tuple[str, ...]) -> Labels:
    """The section "labels": findings of images, bool [n, 14], against the counts of the reference.

    Both intervals are Wilson's.
    """
    n_real, n = reference.n_labelled, len(synthetic)
    if n_real < MIN_FILMS_FOR_DISTANCE:
        status = _REQUESTED if reference.is_withheld else not_applicable(f"n = {n_real}")
        return build_empty_section(status, not_judged)
    names, synthetic_counts = (NO_FINDING, *FINDINGS), label_distribution.add_no_finding(synthetic).sum(axis=0)
    shares: dict[str, ShareRow] = {}
    for name, n_real_positive, n_positive in zip(names, reference.counts, synthetic_counts.astype(float), strict=True):
        real_share, share = n_real_positive / n_real, n_positive / n
        shares[name] = {
            "real": real_share,
            "real_interval": wilson_interval(n_real_positive, n_real),
            "synthetic": share,
            "synthetic_interval": wilson_interval(n_positive, n),
            "ratio": share / real_share if n_real_positive else None,
            "ratio_interval": None,
            "n_real_positive": int(n_real_positive),
            "judged": name not in not_judged,
        }
    is_judged = np.array([name not in not_judged for name in names])
    counts = {"real": reference.counts[is_judged], "synthetic": synthetic_counts[is_judged].astype(np.float64)}
    return {
        "status": COMPUTED,
        "shares": shares,
        "total_variation": label_distribution.total_variation(**counts),
        "jensen_shannon": label_distribution.jensen_shannon(**counts),
        "kl": label_distribution.kullback_leibler(**counts),
        "not_judged": not_judged,
        "classifier": {"status": NO_FILMS},
        "n_real": n_real,
        "n_synthetic": n,
    }


def compute_similarity(synthetic: SyntheticSet, films: FilmSimilarity | None, *, config: EvaluateConfig) -> Similarity:
    """MS-SSIM of random pairs of images, beside that of the films of the reference if it has one."""
    n = len(synthetic.file_names)
    if n < MIN_FILMS_FOR_DISTANCE or not ms_ssim.count_scales(synthetic.resolution):
        return {"status": not_applicable(f"n = {n}")}
    pixels = synthetic.pixels(2 * ms_ssim.N_PAIRS)
    value, interval, n_pairs = ms_ssim.measure_ms_ssim(
        pixels, None, n_bootstrap=config.n_bootstrap, rng=np.random.default_rng(config.seed)
    )
    section: Similarity = {"status": COMPUTED, "synthetic": value, "synthetic_interval": interval, "n_pairs": n_pairs}
    section["n_scales"] = ms_ssim.count_scales(synthetic.resolution)
    if films is not None:
        section |= {"real": films.value, "real_interval": films.interval}
    return section


def _resample_distance(real: Float64, synthetic: NDArray[np.float32], rng: np.random.Generator) -> float:
    """The distance between a resample of each side."""

    def resample(features: NDArray[np.floating], name: str) -> Gaussian:
        n = len(features)
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
        return frechet.fit_gaussian(features, name, weights=counts.astype(np.float64))

    return frechet.frechet_distance_approx(resample(real, "real"), resample(synthetic, "synthetic"))

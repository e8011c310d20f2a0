"""AUROC and average precision: known values, scikit-learn's values, a published table, intervals and strata."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from synthcxr.data.findings import FINDINGS, parse_finding_labels
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.metrics.auroc import AurocEstimate, ClassifierPerformance

FILMS = os.environ.get("SYNTHCXR_TEST_FILMS")
SCORES_AND_LABELS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 1.0, np.nan])), min_size=1, max_size=40)


def make_table(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores float32 [n, 14] that correlate with findings float32 [n, 14], and patients [n] with three films each."""
    rng = np.random.default_rng(seed)
    findings = (rng.random((n, 14)) < 0.3).astype(np.float32)
    scores = (findings + rng.standard_normal((n, 14))).astype(np.float32)
    return scores, findings, np.array([f"p{i // 3}" for i in range(n)], dtype=object)


def measure(
    scores: np.ndarray, findings: np.ndarray, patients: np.ndarray, *, n_bootstrap: int, seed: int = 0
) -> ClassifierPerformance:
    return auroc.measure_performance(
        scores=scores,
        findings=findings,
        patients=patients,
        n_bootstrap=n_bootstrap,
        rng=np.random.default_rng(seed),
    )


def test_auroc_is_the_share_of_correctly_ordered_pairs() -> None:
    """Of six pairs five are in the right order and one is tied, which counts one half."""
    scores, truth = [0.9, 0.5, 0.4, 0.5, 0.1], [1, 1, 0, 0, 0]
    assert auroc.auroc(scores=scores, truth=truth) == pytest.approx((3 + 2.5) / 6)


def test_average_precision_sums_precision_at_each_positive() -> None:
    """Positives at ranks 1 and 3 of 4 have precision 1 and 2/3."""
    assert auroc.average_precision(scores=[0.9, 0.8, 0.7, 0.1], truth=[1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)


@settings(max_examples=200, deadline=None)
@given(SCORES_AND_LABELS)
def test_metrics_equal_scikit_learn_without_unknown_labels(pairs: list[tuple[int, float]]) -> None:
    """With ties and unknown labels, both metrics equal those of scikit-learn on the known films."""
    scores, truth = np.array(pairs, dtype=float).T
    known = ~np.isnan(truth)
    area, precision = auroc.auroc(scores=scores, truth=truth), auroc.average_precision(scores=scores, truth=truth)
    if len(set(truth[known])) == 2:
        assert area == pytest.approx(roc_auc_score(truth[known], scores[known]))
        assert precision == pytest.approx(average_precision_score(truth[known], scores[known]))
    else:
        assert np.isnan(area)


def test_a_resample_weights_the_films() -> None:
    """A draw equals the metric of a table in which each film is repeated as often as its patient was drawn."""
    scores, findings, patients = make_table(60)
    performance = measure(scores, findings, patients, n_bootstrap=1, seed=7)
    times_drawn = np.random.default_rng(7).multinomial(20, np.full(20, 1 / 20))
    patient_codes = np.unique(patients.astype(str), return_inverse=True)[1]
    repeated = np.repeat(np.arange(60), times_drawn[patient_codes])
    for i, finding in enumerate(FINDINGS):
        result = performance.findings[finding]
        expected_auroc = roc_auc_score(findings[repeated, i], scores[repeated, i])
        assert result.auroc.low == result.auroc.high == pytest.approx(expected_auroc)
        expected_precision = average_precision_score(findings[repeated, i], scores[repeated, i])
        assert result.average_precision.low == pytest.approx(expected_precision)


def test_intervals_are_wider_if_films_share_patients() -> None:
    """Twenty copies of each film under one patient give a wide interval; under twenty patients a narrow one."""
    scores, findings, _ = make_table(40)
    scores, findings = np.repeat(scores, 20, axis=0), np.repeat(findings, 20, axis=0)
    widths = []
    for patients in (np.arange(800) // 20, np.arange(800)):
        interval = measure(scores, findings, patients, n_bootstrap=200).mean_auroc
        widths.append(interval.high - interval.low)
    assert widths[0] > 3 * widths[1]


def test_the_interval_contains_the_value_and_depends_on_the_seed_only() -> None:
    """The same seed gives the same interval around the value; counts include known films only."""
    scores, findings, patients = make_table(300)
    findings[:100, 0] = np.nan
    first, second = (measure(scores, findings, patients, n_bootstrap=100, seed=1) for _ in range(2))
    assert first == second
    result = first.findings["Atelectasis"]
    assert (result.n, result.n_positive) == (200, int(np.nansum(findings[:, 0])))
    assert result.auroc.low < result.auroc.value < result.auroc.high
    assert (first.n_films, first.n_patients, first.mean_over) == (300, 100, FINDINGS)


def test_a_finding_without_positives_is_null_and_not_in_the_mean() -> None:
    """An undefined AUROC has a null value and interval, and is not among the findings of the mean."""
    scores, findings, patients = make_table(90)
    findings[:, 13] = 0
    findings[:, 12] = np.nan
    findings[:, 11] = 0
    findings[:2, 11] = 1
    performance = measure(scores, findings, patients, n_bootstrap=20)
    by_finding = performance.findings
    assert performance.mean_over == FINDINGS[:11]
    assert by_finding["Hernia"].auroc.as_dict() == {"value": None, "interval": [None, None]}
    assert by_finding["Pleural_Thickening"].n == 0
    expected = np.mean([by_finding[finding].auroc.value for finding in FINDINGS[:11]])
    assert performance.mean_auroc.value == pytest.approx(expected)
    assert performance.mean_auroc.value == auroc.mean_auroc(scores, findings)
    assert np.isnan(auroc.mean_auroc(scores, np.full_like(findings, np.nan)))


@pytest.mark.skipif(not FILMS, reason="SYNTHCXR_TEST_FILMS names no folder of real films and labels")
def test_published_aurocs_of_a_densenet_are_reproduced() -> None:
    """22,433 predictions of jrzech's DenseNet-121 with the NIH table of 2020 give the 14 published values."""
    folder = Path(str(FILMS))
    predictions = pd.read_csv(folder / "nih_labels" / "jrzech_densenet121_preds.csv.gz")
    entries = pd.read_csv(folder / "nih_release_sample" / "Data_Entry_2017_v2020.csv", usecols=[0, 1])
    table = predictions.merge(entries, on="Image Index", validate="one_to_one")
    assert len(table) == 22_433
    findings = np.array([parse_finding_labels(text) for text in table["Finding Labels"]], dtype=np.float32)
    published = pd.read_csv(folder / "nih_labels" / "jrzech_aucs.csv").set_index("label")["auc"]
    for i, finding in enumerate(FINDINGS):
        value = auroc.auroc(scores=table[f"prob_{finding}"], truth=findings[:, i])
        assert value == pytest.approx(published[finding], abs=1e-9)


def make_sources(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Findings [n, 14] that are common at source "a" and rare at "b", the sources, and patients with two films."""
    rng = np.random.default_rng(0)
    sources = np.where(rng.random(n) < 0.5, "a", "b")
    prevalence = np.where(sources == "a", 0.7, 0.1)[:, None]
    findings = (rng.random((n, len(FINDINGS))) < prevalence).astype(np.float32)
    return findings, sources, np.arange(n) // 2


def measure_within(scores: np.ndarray, findings: np.ndarray, strata: object, patients: np.ndarray) -> AurocEstimate:
    return auroc.mean_auroc_within_strata(
        scores=scores,
        findings=findings,
        strata=strata,  # type: ignore[arg-type]
        patients=patients,
        over=FINDINGS[:3],
        n_bootstrap=100,
        rng=np.random.default_rng(1),
    )


def test_a_single_stratum_gives_the_ordinary_mean_auroc() -> None:
    """With one stratum the value is the mean AUROC over the given findings, inside its interval."""
    findings, _, patients = make_sources()
    scores = np.random.default_rng(2).random(findings.shape) + findings * 0.3
    estimate = measure_within(scores, findings, ["all"] * len(findings), patients)
    expected = [auroc.auroc(scores=scores[:, i], truth=findings[:, i]) for i in range(3)]
    assert estimate.value == pytest.approx(np.mean(expected))
    assert estimate.low < estimate.value < estimate.high


def test_scores_that_only_separate_sources_get_one_half_within_them() -> None:
    """The share of a finding at its source ranks films well overall, and not at all within a source."""
    findings, sources, patients = make_sources()
    scores = auroc.predict_from_stratum(findings=findings, strata=sources, target_strata=sources)
    assert measure_within(scores, findings, ["all"] * len(findings), patients).value > 0.75
    assert measure_within(scores, findings, sources, patients).value == 0.5


def test_pairs_of_all_strata_are_pooled() -> None:
    """Of two strata, one has 3 of 4 pairs in the right order and the other 0 of 1; together 3 of 5."""
    findings = np.full((6, len(FINDINGS)), np.nan, dtype=np.float32)
    findings[:, 0] = [1, 1, 0, 0, 1, 0]
    scores = np.zeros((6, len(FINDINGS)))
    scores[:, 0] = [0.9, 0.4, 0.5, 0.1, 0.2, 0.3]
    estimate = auroc.mean_auroc_within_strata(
        scores=scores,
        findings=findings,
        strata=["a", "a", "a", "a", "b", "b"],
        patients=range(6),
        over=FINDINGS[:1],
        n_bootstrap=0,
        rng=np.random.default_rng(0),
    )
    assert estimate.value == pytest.approx(3 / 5)


def test_an_unknown_stratum_gets_the_share_among_all_films() -> None:
    """Films of a new source get the share of the finding among all films as their score."""
    findings, sources, _ = make_sources()
    scores = auroc.predict_from_stratum(findings=findings, strata=sources, target_strata=["a", "new"])
    assert scores[1] == pytest.approx((findings.sum(axis=0) + 1) / (len(findings) + 2))
    assert (scores[0] > scores[1]).all()

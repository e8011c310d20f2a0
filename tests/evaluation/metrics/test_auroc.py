"""AUROC and average precision: known values, scikit-learn's, a published table, and intervals over patients."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from synthcxr.data import findings as labels
from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import auroc

FILMS = os.environ.get("SYNTHCXR_TEST_FILMS")
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 1.0, np.nan])), min_size=1, max_size=40)


def table(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores float32 [n, 14] that lean on the findings float32 [n, 14], and patients [n] of three films each."""
    rng = np.random.default_rng(seed)
    findings = (rng.random((n, 14)) < 0.3).astype(np.float32)
    scores = (findings + rng.standard_normal((n, 14))).astype(np.float32)
    return scores, findings, np.array([f"p{i // 3}" for i in range(n)], dtype=object)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    """Of the six pairs four stand right and one is tied, which counts one half."""
    scores, truth = [0.9, 0.5, 0.4, 0.5, 0.1], [1, 1, 0, 0, 0]
    assert auroc.auroc(scores=scores, truth=truth) == pytest.approx((3 + 2.5) / 6)


def test_average_precision_sums_precision_at_each_positive() -> None:
    """Positives at ranks 1 and 3 of 4 have precision 1 and 2/3."""
    assert auroc.average_precision(scores=[0.9, 0.8, 0.7, 0.1], truth=[1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_both_are_scikit_learns_with_unknown_labels_left_out(pairs: list[tuple[int, float]]) -> None:
    """With ties and unknown labels the values are those of scikit-learn on the known films."""
    scores, truth = np.array(pairs, dtype=float).T
    known = ~np.isnan(truth)
    found = auroc.auroc(scores=scores, truth=truth), auroc.average_precision(scores=scores, truth=truth)
    if len(set(truth[known])) == 2:
        assert found[0] == pytest.approx(roc_auc_score(truth[known], scores[known]))
        assert found[1] == pytest.approx(average_precision_score(truth[known], scores[known]))
    else:
        assert np.isnan(found[0])


def test_a_resample_is_a_weighting_of_films() -> None:
    """A draw's values are those of a table in which each film stands as often as its patient was drawn."""
    scores, findings, patients = table(60)
    found = auroc.score(
        scores=scores, findings=findings, patients=patients, n_bootstrap=1, rng=np.random.default_rng(7)
    )
    times = np.random.default_rng(7).multinomial(20, np.full(20, 1 / 20))
    order = np.unique(patients.astype(str), return_inverse=True)[1]
    repeated = np.repeat(np.arange(60), times[order])
    for i, finding in enumerate(FINDINGS):
        held = found.findings[finding]
        expected = roc_auc_score(findings[repeated, i], scores[repeated, i])
        assert held.auroc.low == held.auroc.high == pytest.approx(expected)
        expected = average_precision_score(findings[repeated, i], scores[repeated, i])
        assert held.average_precision.low == pytest.approx(expected)


def test_intervals_are_wider_where_films_share_patients() -> None:
    """Twenty copies of each film under one patient tell no more than one; as patients of their own they seem to."""
    scores, findings, _ = table(40)
    scores, findings = np.repeat(scores, 20, axis=0), np.repeat(findings, 20, axis=0)
    widths = []
    for patients in (np.arange(800) // 20, np.arange(800)):
        rng = np.random.default_rng(0)
        found = auroc.score(scores=scores, findings=findings, patients=patients, n_bootstrap=200, rng=rng)
        widths.append(found.mean_auroc.high - found.mean_auroc.low)
    assert widths[0] > 3 * widths[1]


def test_the_interval_holds_the_value_and_follows_the_generator() -> None:
    """The same generator gives the same interval, around the value; counts are of known films."""
    scores, findings, patients = table(300)
    findings[:100, 0] = np.nan
    first, second = (
        auroc.score(scores=scores, findings=findings, patients=patients, n_bootstrap=100, rng=np.random.default_rng(1))
        for _ in range(2)
    )
    assert first == second
    held = first.findings["Atelectasis"]
    assert (held.n, held.n_positive) == (200, int(np.nansum(findings[:, 0])))
    assert held.auroc.low < held.auroc.value < held.auroc.high
    assert (first.n_films, first.n_patients, first.mean_over) == (300, 100, FINDINGS)


def test_a_finding_without_positives_is_null_and_out_of_the_mean() -> None:
    """What cannot be ranked has no value, no interval, and no part in the mean, which names its findings."""
    scores, findings, patients = table(90)
    findings[:, 13] = 0
    findings[:, 12] = np.nan
    findings[:, 11] = 0
    findings[:2, 11] = 1
    rng = np.random.default_rng(0)
    found = auroc.score(scores=scores, findings=findings, patients=patients, n_bootstrap=20, rng=rng)
    assert found.mean_over == FINDINGS[:11]
    assert found.findings["Hernia"].auroc.as_dict() == {"value": None, "interval": [None, None]}
    assert found.findings["Pleural_Thickening"].n == 0
    assert found.mean_auroc.value == pytest.approx(np.mean([found.findings[f].auroc.value for f in FINDINGS[:11]]))
    assert found.mean_auroc.value == auroc.mean_auroc(scores, findings)
    assert np.isnan(auroc.mean_auroc(scores, np.full_like(findings, np.nan)))


@pytest.mark.skipif(not FILMS, reason="SYNTHCXR_TEST_FILMS names no folder of real films and labels")
def test_published_aurocs_of_a_densenet_are_reproduced() -> None:
    """22,433 predictions of jrzech's DenseNet-121 against the NIH table of 2020 give the published 14 values."""
    folder = Path(str(FILMS))
    predictions = pd.read_csv(folder / "nih_labels" / "jrzech_densenet121_preds.csv.gz")
    entries = pd.read_csv(folder / "nih_release_sample" / "Data_Entry_2017_v2020.csv", usecols=[0, 1])
    joined = predictions.merge(entries, on="Image Index", validate="one_to_one")
    assert len(joined) == 22_433
    findings = np.array([labels.parse(text) for text in joined["Finding Labels"]], dtype=np.float32)
    published = pd.read_csv(folder / "nih_labels" / "jrzech_aucs.csv").set_index("label")["auc"]
    for i, finding in enumerate(FINDINGS):
        found = auroc.auroc(scores=joined[f"prob_{finding}"], truth=findings[:, i])
        assert found == pytest.approx(published[finding], abs=1e-9)

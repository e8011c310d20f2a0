"""Thresholds: the share of films called positive equals the share that is positive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics.thresholds import fit_thresholds, match_prevalence


def test_a_threshold_lies_midway_between_two_neighbouring_probabilities() -> None:
    """Two of four films are positive, so the two most probable ones are called, whichever they are."""
    assert match_prevalence(probabilities=[0.9, 0.2, 0.6, 0.1], truth=[0, 1, 1, 0]) == pytest.approx(0.4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.sampled_from([0.0, 1.0, np.nan])), min_size=1, max_size=30))
def test_as_many_films_are_called_positive_as_are_positive(pairs: list[tuple[float, float]]) -> None:
    """The numbers are equal for known films with distinct probabilities, and as close as possible with ties."""
    probabilities, truth = np.array(pairs).T
    known = ~np.isnan(truth)
    threshold = match_prevalence(probabilities=probabilities, truth=truth)
    n_called, n_positive = int((probabilities[known] >= threshold).sum()), int(np.nansum(truth))
    largest_tie = np.unique(probabilities[known], return_counts=True)[1].max(initial=1)
    assert abs(n_called - n_positive) <= largest_tie // 2
    assert 0 < threshold <= 1


def test_all_or_no_films_are_called_if_all_or_none_are_positive() -> None:
    """The threshold is above the most probable film, or below the least probable one."""
    assert match_prevalence(probabilities=[0.2, 0.6], truth=[0, 0]) == pytest.approx(0.8)
    assert match_prevalence(probabilities=[0.2, 0.6], truth=[1, 1]) == pytest.approx(0.1)
    assert match_prevalence(probabilities=[0.2, 0.6], truth=[np.nan, np.nan]) == 1.0


def test_too_few_val_positives_use_train_and_val() -> None:
    """A finding with two val positives is matched on train and val together and is listed as weak."""
    rng = np.random.default_rng(0)
    val, train = rng.random((40, 14)), rng.random((60, 14))
    val_findings, train_findings = np.zeros((40, 14), np.float32), np.zeros((60, 14), np.float32)
    val_findings[:10] = 1
    val_findings[2:, 13] = 0
    train_findings[:13, 13] = 1
    thresholds = fit_thresholds(
        val_probabilities=val, val_findings=val_findings, train_probabilities=train, train_findings=train_findings
    )
    assert thresholds.weak == ("Hernia",)
    assert thresholds.matched_on == dict.fromkeys(FINDINGS[:13], "val") | {"Hernia": "train+val"}
    train_and_val = np.r_[val[:, 13], train[:, 13]]
    assert (train_and_val >= thresholds.probability["Hernia"]).sum() == 15
    assert (val[:, 0] >= thresholds.probability["Atelectasis"]).sum() == 10

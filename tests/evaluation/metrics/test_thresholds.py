"""Thresholds: the share called positive is the share that is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics.thresholds import matched, matched_all


def test_a_threshold_lies_midway_between_the_last_called_and_the_first_not() -> None:
    """Two of four films are positive, so the two likeliest are called, whichever they are."""
    assert matched(probabilities=[0.9, 0.2, 0.6, 0.1], truth=[0, 1, 1, 0]) == pytest.approx(0.4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.sampled_from([0.0, 1.0, np.nan])), min_size=1, max_size=30))
def test_as_many_are_called_as_are_positive(pairs: list[tuple[float, float]]) -> None:
    """Among known films with distinct probabilities the two numbers are equal; ties come as near as they can."""
    p, truth = np.array(pairs).T
    known = ~np.isnan(truth)
    threshold = matched(probabilities=p, truth=truth)
    called, wanted = int((p[known] >= threshold).sum()), int(np.nansum(truth))
    ties = np.unique(p[known], return_counts=True)[1].max(initial=1)
    assert abs(called - wanted) <= ties // 2
    assert 0 < threshold <= 1


def test_nothing_is_called_where_nothing_is_positive_and_all_where_all_are() -> None:
    """The threshold lies beyond the likeliest film, or below the least likely."""
    assert matched(probabilities=[0.2, 0.6], truth=[0, 0]) == pytest.approx(0.8)
    assert matched(probabilities=[0.2, 0.6], truth=[1, 1]) == pytest.approx(0.1)
    assert matched(probabilities=[0.2, 0.6], truth=[np.nan, np.nan]) == 1.0


def test_too_few_val_positives_take_train_and_val_and_say_so() -> None:
    """A finding with two val positives is matched on both sides together and is listed as weak."""
    rng = np.random.default_rng(0)
    val, train = rng.random((40, 14)), rng.random((60, 14))
    val_findings, train_findings = np.zeros((40, 14), np.float32), np.zeros((60, 14), np.float32)
    val_findings[:10] = 1
    val_findings[2:, 13] = 0
    train_findings[:13, 13] = 1
    found = matched_all(
        val_probabilities=val, val_findings=val_findings, train_probabilities=train, train_findings=train_findings
    )
    assert found.weak == ("Hernia",)
    assert found.matched_on == dict.fromkeys(FINDINGS[:13], "val") | {"Hernia": "train+val"}
    both = np.r_[val[:, 13], train[:, 13]]
    assert (both >= found.probability["Hernia"]).sum() == 15
    assert (val[:, 0] >= found.probability["Atelectasis"]).sum() == 10

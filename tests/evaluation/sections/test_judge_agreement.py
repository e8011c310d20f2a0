from __future__ import annotations

import numpy as np
import pytest

from synthcxr.evaluation.sections import judge_agreement
from synthcxr.evaluation.sections.judge_agreement import Agreement


def compare(n: int, agreed: int, n_real: int, agreed_real: int, others: int = 50) -> Agreement:
    """So many called positive by the classifier, the first of them by the judge, too; the rest by neither."""

    def side(called: int, judged: int) -> tuple[np.ndarray, np.ndarray]:
        at = np.arange(called + others)
        return at < called, at < judged

    return judge_agreement.compare(
        synthetic=side(n, agreed),
        real=side(n_real, agreed_real),
        real_patients=np.array([f"p{i // 2}" for i in range(n_real + others)], dtype=object),
        judged=True,
        n_bootstrap=200,
        rng=np.random.default_rng(0),
    )


def test_shares_are_of_what_the_classifier_called() -> None:
    """80 of 100 images and 30 of 40 films, whatever the judge says of the others; intervals hold them."""
    found = compare(100, 80, 40, 30)
    assert (found.synthetic, found.real) == (0.8, 0.75)
    assert found.synthetic_interval == pytest.approx((0.711, 0.867), abs=1e-3)
    assert found.real_interval is not None
    assert found.real_interval[0] < 0.75 < found.real_interval[1]


def test_few_are_not_shared_out() -> None:
    """Under ten calls there is no share, but the number stands."""
    found = compare(9, 9, 40, 40)
    assert (found.synthetic, found.synthetic_interval, found.n_synthetic) == (None, None, 9)
    assert found.real == 1
    assert found.real_interval is not None
    assert found.real_interval[0] < 0.9


def test_every_finding_has_an_entry() -> None:
    """Columns by name; a weak finding is listed, and marked as not judged."""
    calls = np.random.default_rng(0).random((60, 2)) < 0.5
    found = judge_agreement.by_finding(
        names=("Edema", "Mass"),
        weak={"Mass"},
        synthetic=(calls, calls),
        real=(calls, ~calls),
        real_patients=np.arange(60).astype(object),
        n_bootstrap=10,
        rng=np.random.default_rng(0),
    )
    assert list(found) == ["Edema", "Mass"]
    assert [entry["synthetic"] for entry in found.values()] == [1, 1]
    assert [entry["real"] for entry in found.values()] == [0, 0]
    assert [entry["judged"] for entry in found.values()] == [True, False]

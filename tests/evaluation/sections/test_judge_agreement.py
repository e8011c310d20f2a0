from __future__ import annotations

import numpy as np
import pytest

from synthcxr.data.metrics_rows import AgreementRow
from synthcxr.evaluation.sections.judge_agreement import measure_agreement


def measure(n: int, n_confirmed: int, n_real: int, n_real_confirmed: int, *, n_others: int = 50) -> AgreementRow:
    """The classifier labels the first `n` images, the judge the first `n_confirmed`; neither labels the others."""

    def label(n_classifier: int, n_judge: int) -> tuple[np.ndarray, np.ndarray]:
        index = np.arange(n_classifier + n_others)
        return index < n_classifier, index < n_judge

    return measure_agreement(
        synthetic=label(n, n_confirmed),
        real=label(n_real, n_real_confirmed),
        real_patients=np.array([f"p{i // 2}" for i in range(n_real + n_others)], dtype=object),
        judged=True,
        n_bootstrap=200,
        rng=np.random.default_rng(0),
    )


def test_shares_are_among_what_the_classifier_labelled() -> None:
    """80 of 100 images and 30 of 40 films, whatever the judge says of the others; the intervals contain the shares."""
    row = measure(100, 80, 40, 30)
    assert (row["synthetic"], row["real"]) == (0.8, 0.75)
    assert row["synthetic_interval"] == pytest.approx((0.711, 0.867), abs=1e-3)
    assert row["real_interval"] is not None
    assert row["real_interval"][0] < 0.75 < row["real_interval"][1]
    assert row["judged"]


def test_few_labelled_images_have_no_share() -> None:
    """With fewer than ten labelled images the row has only their number."""
    row = measure(9, 9, 40, 40)
    assert (row["synthetic"], row["synthetic_interval"], row["n_synthetic"]) == (None, None, 9)


def test_the_interval_of_complete_agreement_is_not_empty() -> None:
    """When the judge confirms every film, no resample differs, so the interval is Wilson's over patients."""
    row = measure(9, 9, 40, 40)
    assert row["real"] == 1
    assert row["real_interval"] is not None
    assert row["real_interval"][0] < 0.9

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import label_distribution
from synthcxr.evaluation.metrics.label_distribution import LabelComparison

COUNTS = st.lists(st.integers(0, 50), min_size=15, max_size=15).filter(any).map(lambda c: np.array(c, dtype=float))


def make_findings(n: int, **rows_by_finding: list[int]) -> np.ndarray:
    """Bool [n, 14] with the named findings in the given rows."""
    findings = np.zeros((n, 14), dtype=bool)
    for name, rows in rows_by_finding.items():
        findings[rows, FINDINGS.index(name)] = True
    return findings


def compare(real: np.ndarray, synthetic: np.ndarray, **options: object) -> LabelComparison:
    arguments = {"not_judged": (), "real_patients": np.arange(len(real)).astype(str).astype(object)} | options
    return label_distribution.compare_labels(
        real=real,
        synthetic=synthetic,
        n_bootstrap=200,
        rng=np.random.default_rng(0),
        **arguments,  # type: ignore[arg-type]
    )


def test_a_finding_is_present_from_its_threshold_on() -> None:
    """A probability equal to the threshold is present; a finding without a threshold is never present."""
    logits = np.zeros((1, 14), dtype=np.float32)
    thresholds = dict.fromkeys(FINDINGS, 0.5) | {"Hernia": 0.51}
    del thresholds["Edema"]
    is_present = label_distribution.apply_thresholds(logits, thresholds)[0]
    absent = {name for name, present in zip(FINDINGS, is_present, strict=True) if not present}
    assert absent == {"Edema", "Hernia"}


def test_non_finite_logits_are_an_error() -> None:
    """A judge whose output overflows labels nothing."""
    with pytest.raises(DataError, match="not finite"):
        label_distribution.apply_thresholds(np.full((2, 14), np.nan, dtype=np.float32), {})


def test_shares_count_rows_and_ratios_divide_them() -> None:
    """Shares of rows with each finding, No Finding where there is none, and the ratio synthetic / real."""
    real = make_findings(10, Edema=[0, 1], Mass=[1])
    comparison = compare(real, make_findings(20, Edema=[0, 1, 2, 3, 4, 5, 6, 7], Hernia=[0]))
    shares = comparison.shares
    assert list(shares) == [NO_FINDING, *FINDINGS]
    edema = shares["Edema"]
    assert (edema.real, edema.synthetic, edema.ratio, edema.n_real_positive) == (0.2, 0.4, 2.0, 2)
    assert shares[NO_FINDING].real == 0.8
    assert shares[NO_FINDING].synthetic == 0.6
    assert shares["Mass"].ratio == 0
    low, high = shares["Mass"].ratio_interval or (1.0, 0.0)
    assert low == 0 and high > 1  # 0 of 20 images does not exclude a positive share
    assert shares["Hernia"].ratio is None
    assert (comparison.n_real, comparison.n_synthetic) == (10, 20)


def test_intervals_contain_their_shares_also_at_zero() -> None:
    """Every share is in its interval; a share of 0 among ten patients still allows 28 %."""
    shares = compare(make_findings(10, Edema=[0, 1, 5]), make_findings(20, Edema=[0, 1])).shares
    for share in shares.values():
        assert share.real_interval[0] <= share.real <= share.real_interval[1]
        assert share.synthetic_interval[0] <= share.synthetic <= share.synthetic_interval[1]
    assert shares["Mass"].real_interval == pytest.approx((0, 0.2775), abs=1e-4)


def test_films_of_one_patient_widen_the_real_interval() -> None:
    """Forty films of four patients give a wider interval than forty films of forty patients."""
    real = make_findings(40, Edema=list(range(20)))
    widths = []
    for n_patients in (40, 4):
        patients = np.array([str(i * n_patients // 40) for i in range(40)], dtype=object)
        low, high = compare(real, real, real_patients=patients).shares["Edema"].real_interval
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_equal_labels_have_no_divergence_and_disjoint_labels_the_largest() -> None:
    """Equal labels give 0 and 0 bits; disjoint labels give 1 and 1 bit, and KL stays finite."""
    real = make_findings(50, Edema=list(range(50)))
    equal, disjoint = compare(real, real), compare(real, make_findings(30, Mass=list(range(30))))
    assert (equal.total_variation, equal.jensen_shannon, equal.kl) == (0, 0, 0)
    assert (disjoint.total_variation, disjoint.jensen_shannon) == pytest.approx((1, 1))
    assert 1 < disjoint.kl < 10


def test_an_image_counts_once_for_each_of_its_findings() -> None:
    """Two findings in one image are two of three labels in the label distribution."""
    comparison = compare(make_findings(2, Edema=[0]), make_findings(2, Edema=[0], Mass=[0]))
    assert comparison.total_variation == pytest.approx((abs(1 / 3 - 1 / 2) * 2 + 1 / 3) / 2)


def test_a_finding_that_is_not_judged_is_listed_without_effect() -> None:
    """Its share is listed and marked; the divergences and No Finding ignore it."""
    real = make_findings(20, Edema=[0, 1])
    synthetic = make_findings(20, Edema=[0, 1], Hernia=list(range(20)))
    comparison = compare(real, synthetic, not_judged=("Hernia",))
    assert comparison.not_judged == ("Hernia",)
    assert not comparison.shares["Hernia"].judged
    assert comparison.shares["Hernia"].synthetic == 1
    assert comparison.shares[NO_FINDING].synthetic == 0.9
    assert (comparison.total_variation, comparison.jensen_shannon, comparison.kl) == pytest.approx((0, 0, 0))


@settings(max_examples=50, deadline=None)
@given(real=COUNTS, synthetic=COUNTS)
def test_divergences_equal_scipy(real: np.ndarray, synthetic: np.ndarray) -> None:
    """Total variation, Jensen-Shannon in bits and KL in nats equal SciPy's for the same distributions."""
    p, q = synthetic / synthetic.sum(), real / real.sum()
    counts = {"real": real, "synthetic": synthetic}
    assert label_distribution.total_variation(**counts) == pytest.approx(scipy.spatial.distance.cityblock(p, q) / 2)
    expected = scipy.stats.entropy(p, (p + q) / 2, base=2) / 2 + scipy.stats.entropy(q, (p + q) / 2, base=2) / 2
    assert label_distribution.jensen_shannon(**counts) == pytest.approx(expected, abs=1e-12)
    expected = scipy.stats.entropy(synthetic + 0.5, real + 0.5)
    assert label_distribution.kullback_leibler(**counts) == pytest.approx(expected, abs=1e-12)
    assert math.isfinite(label_distribution.kullback_leibler(**counts))

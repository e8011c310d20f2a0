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
from synthcxr.evaluation.metrics.label_distribution import LabelShift

COUNTS = st.lists(st.integers(0, 50), min_size=15, max_size=15).filter(any).map(lambda c: np.array(c, dtype=float))


def findings(n: int, **present: list[int]) -> np.ndarray:
    """Bool [n, 14] with the named findings in the given rows."""
    flags = np.zeros((n, 14), dtype=bool)
    for name, rows in present.items():
        flags[rows, FINDINGS.index(name)] = True
    return flags


def compare(real: np.ndarray, synthetic: np.ndarray, **options: object) -> LabelShift:
    held = {"not_judged": (), "real_patients": np.arange(len(real)).astype(str).astype(object)} | options
    return label_distribution.compare(
        real=real,
        synthetic=synthetic,
        n_bootstrap=200,
        rng=np.random.default_rng(0),
        **held,  # type: ignore[arg-type]
    )


def test_a_finding_is_present_from_its_threshold_on() -> None:
    """The probability of the logit meets the threshold; a finding without one is never present."""
    logits = np.zeros((1, 14), dtype=np.float32)
    thresholds = dict.fromkeys(FINDINGS, 0.5) | {"Hernia": 0.51}
    del thresholds["Edema"]
    flags = label_distribution.present(logits, thresholds)[0]
    absent = {name for name, flag in zip(FINDINGS, flags, strict=True) if not flag}
    assert absent == {"Edema", "Hernia"}


def test_logits_that_are_not_finite_are_refused() -> None:
    """A judge that overflowed labels nothing."""
    with pytest.raises(DataError, match="not finite"):
        label_distribution.present(np.full((2, 14), np.nan, dtype=np.float32), {})


def test_shares_count_images_and_ratios_divide_them() -> None:
    """Shares of rows with each finding, No Finding where none is, and synthetic over real."""
    real = findings(10, Edema=[0, 1], Mass=[1])
    shift = compare(real, findings(20, Edema=[0, 1, 2, 3, 4, 5, 6, 7], Hernia=[0]))
    assert list(shift.shares) == [NO_FINDING, *FINDINGS]
    edema = shift.shares["Edema"]
    assert (edema.real, edema.synthetic, edema.ratio, edema.n_real_positive) == (0.2, 0.4, 2.0, 2)
    assert shift.shares[NO_FINDING].real == 0.8
    assert shift.shares[NO_FINDING].synthetic == 0.6
    assert shift.shares["Mass"].ratio == 0
    low, high = shift.shares["Mass"].ratio_interval or (1.0, 0.0)
    assert low == 0 and high > 1  # none of 20 images is not none at all
    assert shift.shares["Hernia"].ratio is None
    assert (shift.n_real, shift.n_synthetic) == (10, 20)


def test_intervals_hold_their_shares_also_where_no_film_has_the_finding() -> None:
    """Every share lies in its interval; one of 0 among ten patients still allows a quarter."""
    shift = compare(findings(10, Edema=[0, 1, 5]), findings(20, Edema=[0, 1]))
    for share in shift.shares.values():
        assert share.real_interval[0] <= share.real <= share.real_interval[1]
        assert share.synthetic_interval[0] <= share.synthetic <= share.synthetic_interval[1]
    assert shift.shares["Mass"].real_interval == pytest.approx((0, 0.2775), abs=1e-4)


def test_films_of_one_patient_widen_the_real_interval() -> None:
    """Forty films of four patients say less than forty of forty."""
    real = findings(40, Edema=list(range(20)))
    widths = []
    for n_patients in (40, 4):
        patients = np.array([str(i * n_patients // 40) for i in range(40)], dtype=object)
        low, high = compare(real, real, real_patients=patients).shares["Edema"].real_interval
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_equal_labels_have_no_divergence_and_disjoint_ones_the_largest() -> None:
    """0 and 0 bits for the same labels; 1 and 1 bit where nothing is shared, and KL stays finite."""
    real = findings(50, Edema=list(range(50)))
    same, other = compare(real, real), compare(real, findings(30, Mass=list(range(30))))
    assert (same.total_variation, same.jensen_shannon, same.kl) == (0, 0, 0)
    assert (other.total_variation, other.jensen_shannon) == pytest.approx((1, 1))
    assert 1 < other.kl < 10


def test_an_image_counts_once_for_each_of_its_findings() -> None:
    """Divergences weigh rows of image and finding: two findings on one image are two of three rows."""
    shift = compare(findings(2, Edema=[0]), findings(2, Edema=[0], Mass=[0]))
    assert shift.total_variation == pytest.approx((abs(1 / 3 - 1 / 2) * 2 + 1 / 3) / 2)


def test_a_finding_that_is_not_judged_is_listed_and_weighs_nothing() -> None:
    """Its share stands, marked; divergences and No Finding are as if it were not there."""
    real, synthetic = findings(20, Edema=[0, 1]), findings(20, Edema=[0, 1], Hernia=list(range(20)))
    shift = compare(real, synthetic, not_judged=("Hernia",))
    assert shift.not_judged == ("Hernia",)
    assert not shift.shares["Hernia"].judged
    assert shift.shares["Hernia"].synthetic == 1
    assert shift.shares[NO_FINDING].synthetic == 0.9
    assert (shift.total_variation, shift.jensen_shannon, shift.kl) == pytest.approx((0, 0, 0))


@settings(max_examples=50, deadline=None)
@given(real=COUNTS, synthetic=COUNTS)
def test_divergences_agree_with_scipy(real: np.ndarray, synthetic: np.ndarray) -> None:
    """Total variation, Jensen-Shannon in bits and KL in nats are SciPy's of the same distributions."""
    p, q = synthetic / synthetic.sum(), real / real.sum()
    held = {"real": real, "synthetic": synthetic}
    assert label_distribution.total_variation(**held) == pytest.approx(scipy.spatial.distance.cityblock(p, q) / 2)
    expected = scipy.stats.entropy(p, (p + q) / 2, base=2) / 2 + scipy.stats.entropy(q, (p + q) / 2, base=2) / 2
    assert label_distribution.jensen_shannon(**held) == pytest.approx(expected, abs=1e-12)
    expected = scipy.stats.entropy(synthetic + 0.5, real + 0.5)
    assert label_distribution.kullback_leibler(**held) == pytest.approx(expected, abs=1e-12)
    assert math.isfinite(label_distribution.kullback_leibler(**held))

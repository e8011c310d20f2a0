"""Label validity and specificity on simulated judge scores of images and films with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from synthcxr.data.findings import FINDINGS
from synthcxr.data.metrics_rows import EXAGGERATION_LIMIT
from synthcxr.evaluation.metrics import label_validity
from synthcxr.evaluation.metrics.label_validity import LabelledScores, LabelRatios, Separation

N_FILMS, N_IMAGES = 1200, 1500
PREVALENCE = 0.12
Labels = np.ndarray


def draw_labels(rng: np.random.Generator, n: int, prevalence: float = PREVALENCE) -> Labels:
    """Independent findings, so that many rows carry a finding and not another."""
    return rng.random((n, len(FINDINGS))) < prevalence


def score(rng: np.random.Generator, truth: Labels, *, finding: float = 1.5, abnormal: float = 0.7) -> np.ndarray:
    """A judge's scores: noise, more for any abnormal row, and more for the findings that are there."""
    return (rng.standard_normal(truth.shape) + abnormal * truth.any(axis=1, keepdims=True) + finding * truth).astype(
        np.float32
    )


def separate(scores: np.ndarray, labels: Labels, *, seed: int = 0) -> tuple[Separation, Separation]:
    return label_validity.measure_separation(
        LabelledScores.from_labels(scores, labels), n_bootstrap=200, rng=np.random.default_rng(seed)
    )


def compare(scores: np.ndarray, labels: Labels, *, n_films: int = N_FILMS) -> tuple[LabelRatios, LabelRatios]:
    """Validity and specificity of labelled images, against films with right labels and the same judge."""
    rng = np.random.default_rng(1)
    film_labels = draw_labels(rng, n_films)
    films, images = separate(score(rng, film_labels), film_labels), separate(scores, labels, seed=2)
    validity, specificity = (
        label_validity.compare_separations(real=real, synthetic=synthetic)
        for real, synthetic in zip(films, images, strict=True)
    )
    return validity, specificity


def mean_of(ratios: LabelRatios) -> float:
    assert ratios.mean is not None
    return ratios.mean


def test_right_labels_are_valid_and_specific() -> None:
    """Images that show their findings as films do have ratios near 1, and none exaggerates."""
    rng = np.random.default_rng(3)
    labels = draw_labels(rng, N_IMAGES)
    for ratios in compare(score(rng, labels), labels):
        assert ratios.mean == pytest.approx(1, abs=0.05)
        assert ratios.mean_over == FINDINGS
        assert ratios.mean_interval is not None and ratios.mean_interval[0] < mean_of(ratios) < ratios.mean_interval[1]
        assert not any(ratio.exaggerates for ratio in ratios.by_finding.values())


def test_shuffled_labels_are_neither() -> None:
    """Labels of other images have ratios near 0."""
    rng = np.random.default_rng(4)
    truth = draw_labels(rng, N_IMAGES)
    for ratios in compare(score(rng, truth), rng.permutation(truth)):
        assert ratios.mean == pytest.approx(0, abs=0.05)


def test_half_wrong_labels_are_in_between() -> None:
    """Where every second image has the labels of another image, both ratios are near one half."""
    rng = np.random.default_rng(5)
    truth = draw_labels(rng, N_IMAGES)
    labels = truth.copy()
    labels[::2] = rng.permutation(truth[::2])
    for ratios in compare(score(rng, truth), labels):
        assert 0.4 < mean_of(ratios) < 0.65


def test_opposite_labels_are_negative() -> None:
    """A finding that lowers the judge's score, as a generator trained on wrong labels would give, is below 0."""
    rng = np.random.default_rng(6)
    labels = draw_labels(rng, N_IMAGES)
    validity, specificity = compare(score(rng, labels, finding=-1.5, abnormal=0), labels)
    assert mean_of(validity) < -0.9 and mean_of(specificity) < -0.9


def test_abnormal_images_with_every_label_are_valid_and_not_specific() -> None:
    """Every abnormal image carries all labels: the judge sees it as abnormal, and no label means its finding."""
    rng = np.random.default_rng(7)
    labels = np.repeat(rng.random((N_IMAGES, 1)) < 0.4, len(FINDINGS), axis=1)
    validity, specificity = compare(score(rng, labels, finding=0, abnormal=2.0), labels)
    assert mean_of(validity) > 0.9
    assert mean_of(specificity) == 0
    assert specificity.by_finding["Edema"].n_synthetic_negative == 0


def test_abnormal_images_with_labels_at_random_are_valid_and_not_specific() -> None:
    """An abnormal image has one label, drawn at random; the negatives of validity include normal images."""
    rng = np.random.default_rng(8)
    labels = np.zeros((N_IMAGES, len(FINDINGS)), bool)
    labels[np.arange(700), rng.integers(len(FINDINGS), size=700)] = True
    validity, specificity = compare(score(rng, labels, finding=0, abnormal=2.5), labels)
    assert mean_of(validity) > 0.5
    assert mean_of(specificity) == pytest.approx(0, abs=0.1)


def test_images_that_fool_the_classifier_are_not_valid() -> None:
    """The classifier labels images that do not show the finding; the judge, which is another network, sees nothing."""
    rng = np.random.default_rng(9)
    labels, truth = draw_labels(rng, N_IMAGES), np.zeros((N_IMAGES, len(FINDINGS)), bool)
    validity, specificity = compare(score(rng, truth), labels)
    assert abs(mean_of(validity)) < 0.06 and abs(mean_of(specificity)) < 0.06


def test_exaggerated_findings_are_named() -> None:
    """Images on which the finding is far more obvious than on films exaggerate; those as on films do not."""
    rng = np.random.default_rng(10)
    labels = draw_labels(rng, N_IMAGES)
    validity, _ = compare(score(rng, labels, finding=6.0, abnormal=0), labels)
    film_like, _ = compare(score(rng, labels), labels)
    assert all(ratio.value is not None and ratio.value <= 1.3 for ratio in film_like.by_finding.values())
    for ratio in validity.by_finding.values():
        assert ratio.value is not None and ratio.interval is not None
        assert ratio.exaggerates == (ratio.value > EXAGGERATION_LIMIT and ratio.interval[0] > 1)
    weak_judge = measure_against_weak_judge(score(rng, labels, finding=6.0, abnormal=0), labels)
    assert all(ratio.exaggerates for ratio in weak_judge.by_finding.values())


def measure_against_weak_judge(scores: np.ndarray, labels: Labels) -> LabelRatios:
    """Validity where the judge separates films to an AUROC of about 0.75."""
    rng = np.random.default_rng(11)
    film_labels = draw_labels(rng, 3000)
    films, _ = separate(score(rng, film_labels, finding=1, abnormal=0), film_labels)
    return label_validity.compare_separations(real=films, synthetic=separate(scores, labels)[0])


def test_a_finding_that_the_judge_cannot_tell_apart_on_films_has_no_ratio() -> None:
    """Where the interval of the AUROC on films holds 0.5, or lies below it, a ratio would mean nothing."""
    rng = np.random.default_rng(12)
    film_labels, labels = draw_labels(rng, N_FILMS), draw_labels(rng, N_IMAGES)
    film_scores = score(rng, film_labels)
    film_scores[:, 0] = rng.standard_normal(N_FILMS)
    film_scores[:, 1] *= -1
    films, images = separate(film_scores, film_labels)[0], separate(score(rng, labels), labels)[0]
    ratios = label_validity.compare_separations(real=films, synthetic=images)
    for finding in FINDINGS[:2]:
        ratio = ratios.by_finding[finding]
        assert (ratio.value, ratio.interval) == (None, None)
        assert "cannot tell films with it from films without it" in ratio.reason
        assert finding not in ratios.mean_over
    assert ratios.mean_over == FINDINGS[2:]


def test_few_positive_films_are_reported_and_not_gated() -> None:
    """14 positive films give a value that enters neither gate nor mean; 15 do. Two give no value."""
    rng = np.random.default_rng(13)
    film_labels, labels = draw_labels(rng, N_FILMS), draw_labels(rng, N_IMAGES)
    for column, n in enumerate((14, 15, 2)):
        film_labels[:, column] = np.arange(N_FILMS) < n
    films, images = separate(score(rng, film_labels), film_labels)[0], separate(score(rng, labels), labels)[0]
    ratios = label_validity.compare_separations(real=films, synthetic=images)
    first, second, third = (ratios.by_finding[finding] for finding in FINDINGS[:3])
    assert first.value is not None and not first.gated and FINDINGS[0] not in ratios.mean_over
    assert second.value is not None and second.gated and FINDINGS[1] in ratios.mean_over
    assert third.value is None and third.reason == "n = 2 films"


@pytest.mark.parametrize(("n_labelled", "reason"), [(9, "n = 9 images with the label"), (10, "")])
def test_few_labelled_images_have_no_ratio(n_labelled: int, reason: str) -> None:
    """A finding that fewer than ten images carry is not measured."""
    rng = np.random.default_rng(14)
    labels = draw_labels(rng, N_IMAGES)
    labels[:, 0] = np.arange(N_IMAGES) < n_labelled
    validity, _ = compare(score(rng, labels), labels)
    assert validity.by_finding[FINDINGS[0]].reason == reason


def test_requested_images_are_compared_with_the_baseline_alone() -> None:
    """All images carry the requested finding; the negatives are the baseline images without it."""
    rng = np.random.default_rng(15)
    labels, baseline = draw_labels(rng, 400), draw_labels(rng, 600)
    labels[:, 1] = True
    scores, baseline_scores = score(rng, labels), score(rng, baseline)
    labelled = LabelledScores.from_request(scores, labels, baseline_scores=baseline_scores, baseline_labels=baseline)
    validity, specificity = label_validity.measure_separation(labelled, n_bootstrap=200, rng=rng)
    negative = baseline_scores[~baseline[:, 1], 1]
    expected = roc_auc_score([1] * 400 + [0] * len(negative), np.concatenate([scores[:, 1], negative]))
    assert validity.auroc[1] == pytest.approx(expected, abs=1e-9)
    assert (validity.n_positive[1], validity.n_negative[1]) == (400, len(negative))
    others = baseline.any(axis=1) & ~baseline[:, 1]
    assert specificity.n_negative[1] == others.sum()


def test_a_small_baseline_of_mostly_normal_images_does_not_count_as_unspecific() -> None:
    """Few baseline images carry another finding because few carry any: not applicable, instead of 0."""
    rng = np.random.default_rng(16)
    labels, baseline = np.zeros((60, 14), bool), np.zeros((60, 14), bool)
    labels[:, 1:3], baseline[:2, 5], baseline[2:5, 1] = True, True, True
    labelled = LabelledScores.from_request(
        score(rng, labels), labels, baseline_scores=score(rng, baseline), baseline_labels=baseline
    )
    _, images = label_validity.measure_separation(labelled, n_bootstrap=200, rng=rng)
    film_labels = draw_labels(rng, N_FILMS)
    films = separate(score(rng, film_labels), film_labels)[1]
    ratio = label_validity.compare_separations(real=films, synthetic=images).by_finding[FINDINGS[1]]
    assert (ratio.value, ratio.reason) == (None, "n = 2 images to compare with")


def test_aurocs_are_those_of_scikit_learn_with_ties_and_unknown_labels() -> None:
    """Values and resampled values equal roc_auc_score with the same weights."""
    rng = np.random.default_rng(17)
    labels = draw_labels(rng, 300).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    scores = np.round(score(rng, labels == 1) * 2) / 2
    validity, specificity = label_validity.measure_separation(
        LabelledScores.from_labels(scores, labels), n_bootstrap=5, rng=rng
    )
    for column in range(len(FINDINGS)):
        others = np.delete(labels == 1, column, axis=1).any(axis=1)
        positive, negative = labels[:, column] == 1, labels[:, column] == 0
        for separation, mask in ((validity, negative), (specificity, negative & others)):
            rows = positive | mask
            expected = roc_auc_score(positive[rows], scores[rows, column])
            assert separation.auroc[column] == pytest.approx(expected, abs=1e-9)
    weights = rng.integers(0, 4, size=(300, 6)).astype(np.float32)
    positive, negative = labels[:, 0] == 1, labels[:, 0] == 0
    draws = label_validity._RankedScores(scores[:, 0], positive, negative).auroc(weights)
    known = positive | negative
    expected_draws = [roc_auc_score(positive[known], scores[known, 0], sample_weight=w[known]) for w in weights.T]
    assert draws == pytest.approx(expected_draws, abs=1e-9)


def test_films_of_a_patient_are_resampled_together() -> None:
    """With ten identical films per patient the interval is wider than that of as many independent films."""
    rng = np.random.default_rng(18)
    truth = draw_labels(rng, 120)
    scores, labels = np.repeat(score(rng, truth), 10, axis=0), np.repeat(truth, 10, axis=0)
    patients = np.repeat(np.arange(120), 10).astype(object)
    widths = []
    for groups in (patients, None):
        labelled = LabelledScores.from_labels(scores, labels, groups)
        draws = label_validity.measure_separation(labelled, n_bootstrap=200, rng=rng)[0].draws
        widths.append(float(np.nanstd(draws, axis=1).mean()))
    assert widths[0] > 2 * widths[1]


@pytest.mark.slow
def test_the_interval_covers_the_true_validity() -> None:
    """In repeated simulations with right labels the 95 % interval contains 1 in most cases."""
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        film_labels, labels = draw_labels(rng, 500), draw_labels(rng, 500)
        films, images = separate(score(rng, film_labels), film_labels)[0], separate(score(rng, labels), labels)[0]
        interval = label_validity.compare_separations(real=films, synthetic=images).by_finding["Mass"].interval
        assert interval is not None
        covered += interval[0] <= 1 <= interval[1]
    assert covered >= 34

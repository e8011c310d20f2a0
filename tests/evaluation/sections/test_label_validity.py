"""Label validity of drawn phantoms: a judge fitted on phantoms, phantoms as films, and phantoms as labelled images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from synthcxr.data.findings import FINDINGS, to_multi_hot
from synthcxr.data.metrics_schema import COMPUTED, LabelRatioSection, label_ratio_rows
from synthcxr.evaluation.baseline import Baseline
from synthcxr.evaluation.metrics.film_labels import FilmLabels
from synthcxr.evaluation.sections.label_validity import NO_BASELINE, NO_FILM_LABELS, compute_label_ratios
from synthcxr.readers import phantom

SIDE = 16
SHOWN = ("Cardiomegaly", "Effusion")
COLUMNS = [FINDINGS.index(finding) for finding in SHOWN]
Labels = np.ndarray


class LabelledImages:
    """The two properties of a synthetic set that the section reads."""

    def __init__(self, labels: Labels, *, is_conditional: bool = False) -> None:
        self.labels, self.is_conditional = labels.astype(bool), is_conditional


def draw_phantoms(start: int, n: int) -> tuple[np.ndarray, Labels]:
    """Pixels [n, 256] and true labels [n, 14]; each third shows Cardiomegaly, Effusion, or nothing."""
    sets = [((), ("Cardiomegaly",), ("Effusion",))[k % 3] for k in range(n)]
    pixels = [
        phantom.draw_with_findings(names, seed=4, index=start + 3 * k, resolution=SIDE) for k, names in enumerate(sets)
    ]
    return np.stack(pixels).reshape(n, -1), np.array([to_multi_hot(names) for names in sets])


Judge = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Logits [n, 14] by logistic regressions on phantoms that no test uses; 0 for findings that are not shown."""
    pixels, labels = draw_phantoms(0, 240)
    models = [make_pipeline(PCA(20), LogisticRegression(max_iter=500)).fit(pixels, labels[:, c]) for c in COLUMNS]

    def run(images: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(images), len(FINDINGS)), np.float32)
        for column, model in zip(COLUMNS, models, strict=True):
            logits[:, column] = model.decision_function(images)
        return logits

    return run


@pytest.fixture(scope="module")
def films(judge: Judge) -> FilmLabels:
    """150 phantoms as films."""
    pixels, labels = draw_phantoms(10_000, 150)
    patients = np.arange(150).astype(object)
    return FilmLabels.measure(
        logits=judge(pixels), labels=labels, patients=patients, n_bootstrap=200, rng=np.random.default_rng(0)
    )


@pytest.fixture(scope="module")
def images(judge: Judge) -> tuple[np.ndarray, Labels]:
    """The judge's logits and the true labels of 180 phantoms as images."""
    pixels, labels = draw_phantoms(20_000, 180)
    return judge(pixels), labels


def compute(
    films: FilmLabels | None, logits: np.ndarray, labels: Labels, baseline: Baseline | None = None, **flags: bool
) -> tuple[LabelRatioSection, LabelRatioSection]:
    synthetic = LabelledImages(labels, **flags)
    sections = compute_label_ratios(
        films,
        synthetic,  # type: ignore[arg-type]
        logits,
        baseline,
        n_bootstrap=200,
        rng=np.random.default_rng(1),
    )
    return sections["validity"], sections["specificity"]


def read_values(section: LabelRatioSection) -> np.ndarray:
    """The values of the two findings that the phantoms show."""
    rows = label_ratio_rows(section)
    return np.array([rows[finding]["value"] for finding in SHOWN], dtype=float)


def test_right_labels_are_valid_and_specific(films: FilmLabels, images: tuple[np.ndarray, Labels]) -> None:
    """Both ratios are near 1, the mean is over both findings, and the others are not applicable."""
    for section in compute(films, *images):
        assert read_values(section) == pytest.approx([1, 1], abs=0.15)
        assert section["mean"] == pytest.approx(read_values(section).mean())
        assert section["status"] == COMPUTED
        assert label_ratio_rows(section)["Mass"]["status"] == "not applicable (n = 0 films)"


def test_shuffled_labels_are_neither(films: FilmLabels, images: tuple[np.ndarray, Labels]) -> None:
    """The labels of other images have ratios near 0."""
    logits, labels = images
    for section in compute(films, logits, np.random.default_rng(2).permutation(labels)):
        assert abs(read_values(section)).max() < 0.3


def test_half_wrong_labels_are_in_between(films: FilmLabels, images: tuple[np.ndarray, Labels]) -> None:
    """Every second pair of images exchanges its labels for others."""
    logits, labels = images
    mixed = labels.copy()
    half = np.arange(len(labels)) % 6 < 3
    mixed[half] = np.random.default_rng(3).permutation(labels[half])
    for section in compute(films, logits, mixed):
        assert ((read_values(section) > 0.3) & (read_values(section) < 0.85)).all()


def test_every_label_on_every_abnormal_image_is_not_specific(
    films: FilmLabels, images: tuple[np.ndarray, Labels]
) -> None:
    """Abnormal phantoms with all labels have some validity, and a specificity of 0."""
    logits, labels = images
    everything = np.repeat(labels.any(axis=1, keepdims=True), len(FINDINGS), axis=1)
    validity, specificity = compute(films, logits, everything)
    assert (read_values(validity) > 0.1).all()
    assert (read_values(specificity) == 0).all()


def test_requested_images_need_a_baseline(films: FilmLabels, images: tuple[np.ndarray, Labels]) -> None:
    """All images show Cardiomegaly: without a baseline nothing is measured, with one the ratio is near 1."""
    logits, labels = images
    shown = labels[:, COLUMNS[0]] == 1
    alone = compute(films, logits[shown], labels[shown], is_conditional=True)
    assert [section["status"] for section in alone] == [NO_BASELINE] * 2
    baseline = Baseline(logits, labels == 1, "the phantoms")
    validity, specificity = compute(films, logits[shown], labels[shown], baseline, is_conditional=True)
    for section in (validity, specificity):
        rows = label_ratio_rows(section)
        assert rows["Cardiomegaly"]["value"] == pytest.approx(1, abs=0.15)
        assert rows["Effusion"]["status"] == "not applicable (n = 0 images with the label)"


def test_images_that_fool_the_classifier_are_not_valid(
    films: FilmLabels, images: tuple[np.ndarray, Labels], judge: Judge
) -> None:
    """Requested images that are ordinary phantoms without findings: the classifier was fooled, the judge is not."""
    logits, labels = images
    normal = ~labels.any(axis=1)
    claimed = np.zeros_like(labels)
    claimed[:, COLUMNS[0]] = 1
    baseline = Baseline(logits, labels == 1, "the phantoms")
    validity, _ = compute(films, logits[normal], claimed[normal], baseline, is_conditional=True)
    value = label_ratio_rows(validity)["Cardiomegaly"]["value"]
    assert value is not None and value < 0.3


def test_films_survive_as_numbers_in_a_file(films: FilmLabels, images: tuple[np.ndarray, Labels]) -> None:
    """From the arrays of the reference the values are the same and the intervals nearly so; without them none is."""
    arrays = {name: np.asarray(array) for name, array in films.to_arrays().items()}
    assert sum(array.nbytes for array in arrays.values()) < 50_000
    stored = FilmLabels.from_arrays(arrays, n_bootstrap=200, rng=np.random.default_rng(4))
    assert stored is not None and stored.n == films.n
    for section, expected in zip(compute(stored, *images), compute(films, *images), strict=True):
        assert read_values(section) == pytest.approx(read_values(expected), rel=1e-5)
        for finding in SHOWN:
            interval = label_ratio_rows(section)[finding]["interval"]
            assert interval == pytest.approx(label_ratio_rows(expected)[finding]["interval"], abs=0.06)
    assert FilmLabels.from_arrays({}, n_bootstrap=200, rng=np.random.default_rng(4)) is None
    assert [section["status"] for section in compute(None, *images)] == [NO_FILM_LABELS] * 2

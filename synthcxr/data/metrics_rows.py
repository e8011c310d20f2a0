"""The rows of the sections of metrics.json; `metrics_schema` declares the sections and the files.

A row that was not computed has only its status and, in distances, counts; the other keys are absent or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NotRequired, TypedDict

from synthcxr.config.bounds import Length

Interval = Annotated[Sequence[float], Length(2)]
"""The lower and upper end of a 95 % interval; a list in JSON."""


class DistanceRow(TypedDict):
    """Fréchet distance in the features of one extractor.

    `value` compares the first `n_synthetic` images with `n_test` films, `floor` compares `floor_n` of `n_train`
    training films with the same test films, and `relative` is their ratio. `relative` is None without films when the
    number of images differs from that of the floor.
    """

    status: str
    extractor: NotRequired[str]
    digest: NotRequired[str]
    resize: NotRequired[str]
    value: NotRequired[float | None]
    interval: NotRequired[Interval | None]
    floor: NotRequired[float | None]
    relative: NotRequired[float | None]
    relative_interval: NotRequired[Interval | None]
    n_synthetic: NotRequired[int | None]
    floor_n: NotRequired[int | None]
    n_train: NotRequired[int | None]
    n_test: NotRequired[int | None]


class FindingDistanceRow(TypedDict):
    """Fréchet distance of images to films that both show one finding, according to the judge.

    `n` images enter the distance. `judged` is False when the judge's threshold rests on too few val films.
    """

    status: str
    judged: bool
    n_train: int
    n_test: int
    n_synthetic: int
    value: NotRequired[float]
    interval: NotRequired[Interval]
    floor: NotRequired[float]
    relative: NotRequired[float]
    relative_interval: NotRequired[Interval]
    n: NotRequired[int]


class KernelDistanceRow(TypedDict):
    """Mean and standard deviation of the kernel distance over subsets; `floor` is that of training films."""

    status: str
    value: NotRequired[float]
    std: NotRequired[float]
    floor: NotRequired[float]
    floor_std: NotRequired[float]
    n_subsets: NotRequired[int]
    subset: NotRequired[int]


class Extrapolation(TypedDict):
    """A Fréchet distance extrapolated from the sizes `at` to infinitely many rows, with its interval over fits."""

    value: float
    interval: Interval
    at: Sequence[int]
    n_repeats: int


class InfinityRow(TypedDict):
    """The extrapolated Fréchet distances to test films of synthetic images and of training films."""

    status: str
    synthetic: NotRequired[Extrapolation]
    training: NotRequired[Extrapolation]


class PrdcRow(TypedDict):
    """Precision, recall, density and coverage."""

    precision: float
    recall: float
    density: float
    coverage: float


class CoverageRow(TypedDict):
    """Precision, recall, density and coverage of `n` images and `n` training films among `n_test` test films.

    `relative` is the ratio of the two coverages, None when the training films cover nothing.
    """

    status: str
    synthetic: NotRequired[PrdcRow]
    training: NotRequired[PrdcRow]
    coverage_interval: NotRequired[Interval]
    precision_interval: NotRequired[Interval]
    relative: NotRequired[float | None]
    relative_interval: NotRequired[Interval | None]
    k: NotRequired[int]
    n: NotRequired[int]
    n_test: NotRequired[int]


class NearestNeighbourTestRow(TypedDict):
    """Nearest-neighbour distances of `n` images against a null of `n_null` films of `n_null_patients` patients.

    `threshold` is the null's 1st percentile, `share` the share of images below it, `expected` that share by chance
    and `detectable` the smallest share of copies that this test detects (None when it detects none).
    """

    n: int
    n_null: int
    n_null_patients: int
    median_ratio: float
    median_ratio_interval: Interval
    threshold: float
    share: float
    share_interval: Interval
    share_low: float
    expected: float
    n_below_null: int
    detectable: float | None


class PlantedCopyRecallRow(TypedDict):
    """The share of `n` planted copies of one kind that the space finds."""

    share: float
    interval: Interval
    n: int


class MembershipInferenceRow(TypedDict):
    """AUROC of telling `n_members` training films from `n_controls` held-out ones of their kind by an image."""

    auroc: float | None
    interval: Annotated[Sequence[float | None], Length(2)]
    low: float | None
    n_members: int
    n_controls: int


class ClosestPairRow(TypedDict):
    """An image by file name and its nearest film by manifest row; `rank` is the share of the null that is nearer."""

    image: str
    film: int
    distance: float
    rank: float


EXAGGERATION_LIMIT = 1.3  # a validity above this exaggerates, if its interval is above 1


class FlaggedShareRow(TypedDict):
    """The fields of `FlaggedShare`."""

    share: float
    interval: Interval
    n_null: int


class PrivacyRow(TypedDict):
    """Memorisation in one space: the keys of `NearestNeighbourTestRow` for copies of training films, and more.

    `n_null_training` training films, of sources without held-out films, are in the null; with the held-out films alone
    as the null, the share of near copies is `held_out_only`.
    """

    status: str
    n: NotRequired[int]
    n_learned: NotRequired[int]
    n_null_training: NotRequired[int]
    held_out_only: NotRequired[FlaggedShareRow | None]
    n_null: NotRequired[int]
    n_null_patients: NotRequired[int]
    median_ratio: NotRequired[float]
    median_ratio_interval: NotRequired[Interval]
    threshold: NotRequired[float]
    share: NotRequired[float]
    share_interval: NotRequired[Interval]
    share_low: NotRequired[float]
    expected: NotRequired[float]
    n_below_null: NotRequired[int]
    detectable: NotRequired[float | None]
    found: NotRequired[dict[str, PlantedCopyRecallRow]]
    attack: NotRequired[MembershipInferenceRow]
    duplicates: NotRequired[NearestNeighbourTestRow]
    pairs: NotRequired[list[ClosestPairRow]]


class ShareRow(TypedDict):
    """The share of one finding, by the judge's labels, among real films and among synthetic images."""

    real: float
    real_interval: Interval
    synthetic: float
    synthetic_interval: Interval
    ratio: float | None
    ratio_interval: Interval | None
    n_real_positive: int
    judged: bool


class PrevalenceRow(TypedDict):
    """The share of one finding in a given label distribution and among synthetic images."""

    reference: float
    synthetic: float
    synthetic_interval: Interval
    ratio: float | None
    ratio_interval: Interval | None
    judged: bool


class AgreementRow(TypedDict):
    """The share of images, and of films, labelled with one finding by the classifier that the judge labels so too."""

    synthetic: float | None
    synthetic_interval: Interval | None
    n_synthetic: int
    real: float | None
    real_interval: Interval | None
    n_real: int
    judged: bool


class Auroc(TypedDict):
    """An AUROC and its interval; both are None where it is not defined."""

    value: float | None
    interval: Annotated[Sequence[float | None], Length(2)]


class FindingAuroc(Auroc):
    """The AUROC of one finding with `n_positive` positive films."""

    n_positive: int


class LabelRatioRow(TypedDict):
    """Validity or specificity of one finding: (AUROC on images - 0.5) / (AUROC on films - 0.5), with both AUROCs.

    `gated` is False with too few positive films; the row then enters no gate and no mean. `exaggerates` means that the
    finding is far more obvious on images than on films.
    """

    status: str
    value: float | None
    interval: Interval | None
    real: float | None
    real_interval: Interval | None
    synthetic: float | None
    synthetic_interval: Interval | None
    n_real_positive: int
    n_real_negative: int
    n_synthetic_positive: int
    n_synthetic_negative: int
    gated: bool
    exaggerates: bool


class CompanionRow(TypedDict):
    """One finding that occurs with another: the share of its images, and of its films, that carry it too."""

    finding: str
    synthetic: float
    real: float | None


class CoFindingsRow(TypedDict):
    """The mean number of findings on the images, and films, that carry one finding, and its companions on images.

    Images have the labels of the dataset and films their own; `real_by_classifier` counts the labels that the dataset's
    classifier gives to the same films.
    """

    synthetic: float
    n_synthetic: int
    real: float | None
    real_by_classifier: float | None
    n_real: int
    companions: list[CompanionRow]


class MetricRow(TypedDict):
    """A declared metric: what it is, its value for the `n` images and for the films, where it has one.

    `n_films` is the number of test films that the images were compared with.
    """

    status: str
    meaning: NotRequired[str]
    value: NotRequired[float]
    interval: NotRequired[Interval]
    films: NotRequired[float]
    n: NotRequired[int]
    n_films: NotRequired[int]


class CheckRow(TypedDict):
    """One check of the dataset: what it requires, what it found and the rows that fail it."""

    name: str
    passed: bool
    sentence: str
    rows: list[str]
    found: str
    asked: str

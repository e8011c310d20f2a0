"""The content of metrics.json, verdict.json and summary.json, which `synthcxr evaluate` writes.

Every section and every row of a section has a `status`: "computed", or a reason that starts with "not applicable" or
"not computed". Where it is not "computed", the other keys are absent or None. Three sections hold their own status
beside their rows; `privacy_spaces`, `agreement_rows` and `finding_distances` return the rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NotRequired, TypedDict, cast

COMPUTED = "computed"
NOT_APPLICABLE: Final = "not applicable"
NOT_COMPUTED = "not computed"

Interval = Sequence[float]
"""The lower and upper end of a 95 % interval; a list in JSON."""


class ModelDigests(TypedDict):
    """The sha256 of the models that made, labelled and judged the images."""

    generator: str
    classifier: str
    judge: str


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


class Prdc(TypedDict):
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
    synthetic: NotRequired[Prdc]
    training: NotRequired[Prdc]
    coverage_interval: NotRequired[Interval]
    precision_interval: NotRequired[Interval]
    relative: NotRequired[float | None]
    relative_interval: NotRequired[Interval | None]
    k: NotRequired[int]
    n: NotRequired[int]
    n_test: NotRequired[int]


class Similarity(TypedDict):
    """Mean MS-SSIM of random pairs of images, and of random pairs of films of different patients."""

    status: str
    synthetic: NotRequired[float]
    synthetic_interval: NotRequired[Interval]
    real: NotRequired[float]
    real_interval: NotRequired[Interval]
    n_pairs: NotRequired[int]
    n_scales: NotRequired[int]


class NearestNeighbourTest(TypedDict):
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


class PlantedCopyRecall(TypedDict):
    """The share of `n` planted copies of one kind that the space finds."""

    share: float
    interval: Interval
    n: int


class MembershipInference(TypedDict):
    """AUROC of telling `n_members` training films from `n_controls` held-out films by their nearest image."""

    auroc: float | None
    interval: Sequence[float | None]
    low: float | None
    n_members: int
    n_controls: int


class ClosestPair(TypedDict):
    """An image by file name and its nearest film by manifest row; `rank` is the share of the null that is nearer."""

    image: str
    film: int
    distance: float
    rank: float


class PrivacyRow(TypedDict):
    """Memorisation in one space: the keys of `NearestNeighbourTest` for copies of training films, and more."""

    status: str
    n: NotRequired[int]
    n_learned: NotRequired[int]
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
    found: NotRequired[dict[str, PlantedCopyRecall]]
    attack: NotRequired[MembershipInference]
    duplicates: NotRequired[NearestNeighbourTest]
    pairs: NotRequired[list[ClosestPair]]


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


class PermutationTest(TypedDict):
    """A permutation test of equal label distributions, and the size of the effect."""

    p_value: float
    cramers_v: float
    effect: str
    n_permutations: int


class CoOccurrence(TypedDict):
    """Mean absolute difference, and correlation, between the shares of all pairs of findings."""

    difference: float
    correlation: float | None


class PrevalenceRow(TypedDict):
    """The share of one finding in a given label distribution and among synthetic images."""

    reference: float
    synthetic: float
    synthetic_interval: Interval
    ratio: float | None
    ratio_interval: Interval | None
    judged: bool


class Prevalence(TypedDict):
    """Synthetic labels against a given label distribution, such as that of the NIH release."""

    name: str
    shares: dict[str, PrevalenceRow]
    total_variation: float
    jensen_shannon: float


class Labels(TypedDict):
    """Label distributions of real films and synthetic images; `shares` has "No Finding" first."""

    status: str
    shares: dict[str, ShareRow]
    total_variation: float | None
    jensen_shannon: float | None
    kl: float | None
    not_judged: Sequence[str]
    n_real: NotRequired[int]
    n_synthetic: NotRequired[int]
    test: NotRequired[PermutationTest]
    cooccurrence: NotRequired[CoOccurrence]
    prevalence: NotRequired[Prevalence]


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
    interval: Sequence[float | None]


class FindingAuroc(Auroc):
    """The AUROC of one finding with `n_positive` positive films."""

    n_positive: int


class ClassifierAuroc(TypedDict):
    """The classifier's AUROC on real test films, overall, within one source, and of source and view alone."""

    status: str
    n_films: NotRequired[int]
    n_patients: NotRequired[int]
    findings: NotRequired[list[str]]
    mean_auroc: NotRequired[Auroc]
    within_source: NotRequired[Auroc]
    source_and_view_alone: NotRequired[Auroc]
    auroc: NotRequired[dict[str, FindingAuroc]]


class CheckRow(TypedDict):
    """One check of the dataset: what it requires, what it found and the rows that fail it."""

    name: str
    passed: bool
    sentence: str
    rows: list[str]
    found: str
    asked: str


class Checks(TypedDict):
    """All checks of the dataset and how many failed."""

    failed: int
    lines: list[CheckRow]


PrivacySection = dict[str, PrivacyRow | str | int]
"""A row per space, "status", and where it is computed "n_flagged_in_any" and "n_flagged_in_all"."""
AgreementSection = dict[str, AgreementRow | str]
"""A row per finding and "status"."""
FindingDistances = dict[str, FindingDistanceRow | str]
"""A row per finding, "No Finding" first; or "status" alone."""


class Subject(TypedDict):
    """What is evaluated: the models, the sha256 of the dataset's metadata.csv and its number of images."""

    models: ModelDigests
    dataset: str
    n_synthetic: int


class Evidence(TypedDict):
    """The sections. `distance`, `kernel`, `infinity`, `coverage` and `by_finding` have an entry per extractor."""

    n_real_test: int
    phantom: bool
    distance: dict[str, DistanceRow]
    kernel: dict[str, KernelDistanceRow]
    infinity: dict[str, InfinityRow]
    coverage: dict[str, CoverageRow]
    by_finding: dict[str, FindingDistances]
    similarity: Similarity
    privacy: PrivacySection
    labels: Labels
    agreement: AgreementSection
    classifier: ClassifierAuroc
    checks: Checks
    protocol: dict[str, str]


class MetricsJson(Subject, Evidence):
    """metrics.json."""


class GateRow(TypedDict):
    """One gate: a metric, its bound and the outcome; `value` is None where the gate is not applicable."""

    metric: str
    value: float | None
    threshold: float
    direction: Literal["max", "min"]
    status: Literal["passed", "failed", "not applicable"]
    sentence: str


class VerdictJson(TypedDict):
    """verdict.json; `passed` means that no gate failed."""

    passed: bool
    gates: list[GateRow]


class SummaryJson(TypedDict):
    """summary.json: the figures that `dvc metrics show` compares; figures that were not computed are absent."""

    gates_passed: bool
    n_synthetic: NotRequired[int]
    n_real_test: NotRequired[int]
    relative_distance: NotRequired[dict[str, float]]
    kernel_distance: NotRequired[dict[str, float]]
    relative_coverage: NotRequired[dict[str, float]]
    label_total_variation: NotRequired[float]
    share_nearer_than_null: NotRequired[float]
    classifier_auroc: NotRequired[float]
    classifier_auroc_within_source: NotRequired[float]
    failed_checks: NotRequired[int]


def not_applicable(reason: str) -> str:
    """The status of a section or row that cannot be computed from these films or images."""
    return f"{NOT_APPLICABLE} ({reason})"


def privacy_spaces(privacy: PrivacySection) -> dict[str, PrivacyRow]:
    """The rows of "privacy" by space, pixels first, without the section's own keys."""
    return {space: row for space, row in privacy.items() if not isinstance(row, str | int)}


def agreement_rows(agreement: AgreementSection) -> dict[str, AgreementRow]:
    """The rows of "agreement" by finding, without the section's status."""
    return {finding: row for finding, row in agreement.items() if not isinstance(row, str)}


def finding_distances(section: FindingDistances) -> dict[str, FindingDistanceRow]:
    """The rows of one extractor in "by_finding", by finding, without the status."""
    return {finding: row for finding, row in section.items() if not isinstance(row, str)}


def is_computed(row: Mapping[str, object]) -> bool:
    """Whether a section or row holds figures."""
    return row["status"] == COMPUTED


def round_metrics(metrics: MetricsJson) -> MetricsJson:
    """The metrics with floats of six significant digits; the digits after them depend on the number of threads."""
    return cast(MetricsJson, _round_floats(metrics))


def _round_floats(tree: object) -> object:
    if isinstance(tree, Mapping):
        return {key: _round_floats(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_round_floats(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree

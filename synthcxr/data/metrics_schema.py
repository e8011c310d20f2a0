"""The content of metrics.json, verdict.json and summary.json, which `synthcxr evaluate` writes.

Every section and every row of a section has a `status`: "computed", or a reason that starts with "not applicable" or
"not computed". Where it is not "computed", the other keys are absent or None. Three sections hold their own status
beside their rows; `privacy_spaces`, `agreement_rows` and `finding_distances` return the rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NotRequired, TypedDict, cast

from synthcxr.data.metrics_rows import (
    AgreementRow,
    Auroc,
    CheckRow,
    CoFindingsRow,
    CoverageRow,
    DistanceRow,
    FindingAuroc,
    FindingDistanceRow,
    InfinityRow,
    Interval,
    KernelDistanceRow,
    LabelRatioRow,
    MetricRow,
    PrevalenceRow,
    PrivacyRow,
    ShareRow,
)

METRICS_FILE, VERDICT_FILE, SUMMARY_FILE = "metrics.json", "verdict.json", "summary.json"
"""The files in the folder of the results."""

COMPUTED = "computed"
NOT_APPLICABLE: Final = "not applicable"
NOT_COMPUTED = "not computed"

PIXELS = "pixels"
"""The space of the section "privacy" that needs no extractor."""

GateDirection = Literal["max", "min"]
GateStatus = Literal["passed", "failed", "not applicable"]


class ModelDigests(TypedDict):
    """The sha256 of the models that made, labelled and judged the images."""

    generator: str
    classifier: str
    judge: str


class Similarity(TypedDict):
    """Mean MS-SSIM of random pairs of images, and of random pairs of films of different patients."""

    status: str
    synthetic: NotRequired[float]
    synthetic_interval: NotRequired[Interval]
    real: NotRequired[float]
    real_interval: NotRequired[Interval]
    n_pairs: NotRequired[int]
    n_scales: NotRequired[int]


class Variety(TypedDict):
    """How much an image resembles the image most like it, by correlation at 32 px, and the same for films.

    `correlation` and `real_correlation` are medians over the first `n_compared` images and as many films, of another
    patient each; the shares of near-duplicates are of all `n` images
    and of the same films.
    """

    status: str
    near_duplicates: NotRequired[float]
    near_duplicates_interval: NotRequired[Interval]
    real_near_duplicates: NotRequired[float | None]
    correlation: NotRequired[float]
    real_correlation: NotRequired[float | None]
    n: NotRequired[int]
    n_compared: NotRequired[int]


class Weights(TypedDict):
    """The effective sample size of the images by their importance weights, and its share of their number `n`."""

    status: str
    effective_size: float
    effective_share: float
    n: int


class PermutationTestRow(TypedDict):
    """A permutation test of equal label distributions, and the size of the effect."""

    p_value: float
    cramers_v: float
    effect: str
    n_permutations: int


class CooccurrenceFigures(TypedDict):
    """Mean absolute difference, and correlation, between the shares of all pairs of findings."""

    difference: float
    correlation: float | None


class Prevalence(TypedDict):
    """Synthetic labels against a given label distribution, such as that of the NIH release."""

    name: str
    shares: dict[str, PrevalenceRow]
    total_variation: float
    jensen_shannon: float


class ClassifierLabels(TypedDict):
    """The divergence of the labels in metadata.csv from the same classifier's labels of real test films, in nats."""

    status: str
    kl: NotRequired[float]
    not_judged: NotRequired[Sequence[str]]


LabelRatioSection = dict[str, LabelRatioRow | Interval | str | float | None]
"""A row per finding, "status", and "mean" with "mean_interval" over the findings that are gated and have a value."""


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
    test: NotRequired[PermutationTestRow]
    cooccurrence: NotRequired[CooccurrenceFigures]
    prevalence: NotRequired[Prevalence]
    classifier: NotRequired[ClassifierLabels]
    validity: NotRequired[LabelRatioSection]
    specificity: NotRequired[LabelRatioSection]


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


class Checks(TypedDict):
    """All checks of the dataset and how many failed."""

    failed: int
    lines: list[CheckRow]


PrivacySection = dict[str, PrivacyRow | str | int]
"""A row per space, "status", and where it is computed "n_flagged_in_any" and "n_flagged_in_all"."""
AgreementSection = dict[str, AgreementRow | str]
"""A row per finding and "status"."""
CoFindingsSection = dict[str, CoFindingsRow | str | float | None]
"""A row per finding that enough images carry; "status", and the findings per image "synthetic" and per film "real"."""
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
    cofindings: NotRequired[CoFindingsSection]
    variety: NotRequired[Variety]
    weights: NotRequired[Weights]
    metrics: NotRequired[dict[str, MetricRow]]
    classifier: ClassifierAuroc
    checks: Checks
    protocol: dict[str, str]


class MetricsJson(Subject, Evidence):
    """metrics.json; `names` has the extractors, the judge and the classifier in words."""

    names: NotRequired[dict[str, str]]


class GateRow(TypedDict):
    """One gate: a metric, its bound and the outcome; `value` is None where the gate is not applicable.

    `detail` names each failed check that the value counts, with its value and its bound.
    """

    metric: str
    value: float | None
    threshold: float
    direction: GateDirection
    status: GateStatus
    sentence: str
    detail: NotRequired[str]


class VerdictJson(TypedDict):
    """verdict.json; `passed` means that no gate failed."""

    passed: bool
    gates: list[GateRow]


class AnswerJson(TypedDict):
    """The answer to one question of the summary: "passed", "open" or "failed", and the answer in a few words."""

    state: str
    verdict: str


class SummaryJson(TypedDict):
    """summary.json: answers and figures that `dvc metrics show` compares; figures that were not computed are absent.

    `state` is the worst state of the answers: "passed", "open" or "failed".
    """

    gates_passed: bool
    state: str
    headline: str
    answers: dict[str, AnswerJson]
    n_synthetic: NotRequired[int]
    n_real_test: NotRequired[int]
    relative_distance: NotRequired[dict[str, float]]
    kernel_distance: NotRequired[dict[str, float]]
    relative_coverage: NotRequired[dict[str, float]]
    label_total_variation: NotRequired[float]
    label_validity: NotRequired[float]
    label_specificity: NotRequired[float]
    effective_share: NotRequired[float]
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


def label_ratio_rows(section: LabelRatioSection) -> dict[str, LabelRatioRow]:
    """The rows of "validity" or "specificity" by finding, without the status and the mean."""
    return {name: row for name, row in section.items() if isinstance(row, Mapping)}


def cofindings_rows(section: CoFindingsSection) -> dict[str, CoFindingsRow]:
    """The rows of "cofindings" by finding, without the figures of all images."""
    return {name: row for name, row in section.items() if isinstance(row, Mapping)}


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

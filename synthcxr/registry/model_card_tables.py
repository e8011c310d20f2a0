"""The tables of a model card: distances, coverage, memorisation and the scores of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NotRequired, TypedDict

from synthcxr.config.bounds import Length
from synthcxr.data.metrics_rows import PrivacyRow
from synthcxr.data.metrics_schema import PIXELS, MetricsJson, is_computed, label_ratio_rows, privacy_spaces
from synthcxr.data.model_names import name_features, name_network
from synthcxr.data.number_format import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    format_percent_interval,
)

_UNDEFINED = "not defined"
_WITH_CI = "(95 % CI {} to {})"


def render_distances(metrics: MetricsJson) -> str:
    """Return the Fréchet distances and, if labels were compared, the total variation."""
    rows = [
        "| distance to test films | value (95 % CI) | floor: training films | relative (95 % CI)"
        " | N synthetic / training / test |",
        "|---|---|---|---|---|",
    ]
    for extractor, row in sorted(metrics.get("distance", {}).items()):
        if not is_computed(row):
            rows.append(f"| {_name(extractor, metrics)} | {row['status']} | | | |")
            continue
        counts = _counts(row.get("n_synthetic"), row.get("n_train"), row.get("n_test"))
        rows.append(
            f"| Fréchet, {_name(extractor, metrics)} | {_estimate(row.get('value'), row.get('interval'))}"
            f" | {_number(row.get('floor'))} (N {format_count(row.get('floor_n'))})"
            f" | {_estimate(row.get('relative'), row.get('relative_interval'))} | {counts} |"
        )
    table = "\n".join(rows)
    labels = metrics.get("labels")
    variation = None if labels is None else labels.get("total_variation")
    if variation is None:
        return table
    n_synthetic, n_real = format_count(metrics.get("n_synthetic")), format_count(metrics.get("n_real_test"))
    return (
        f"{table}\n\nTotal variation between the label distributions of synthetic images and real test films:"
        f" {_number(variation)} (N {n_synthetic} synthetic images, {n_real} real test films)."
    )


def render_coverage(metrics: MetricsJson) -> str:
    """Return how much of the test films the images cover, relative to training films; "" if not measured."""
    parts = [
        f"{_number(row.get('relative'))} {format_interval(row.get('relative_interval'), template=_WITH_CI)}"
        f" in {name_features(extractor, metrics.get('names', {}))}"
        for extractor, row in sorted(metrics.get("coverage", {}).items())
        if is_computed(row)
    ]
    return f"Coverage of test films relative to that of training films: {', '.join(parts)}." if parts else ""


def render_memorisation(metrics: MetricsJson) -> str:
    """Return the distances of images to training films, compared with held-out films; "" if not measured."""
    rows = []
    for space, row in _measured_spaces(metrics):
        share = f"{_percent(row.get('share'))} {format_percent_interval(row.get('share_interval'), digits=2)}".rstrip()
        ratio = _estimate(row.get("median_ratio"), row.get("median_ratio_interval"))
        attack = row.get("attack")
        auroc = _UNDEFINED if attack is None else _estimate(attack.get("auroc"), attack.get("interval"))
        n_null, n_null_training = row.get("n_null"), row.get("n_null_training", 0)
        n_held_out = None if n_null is None else n_null - n_null_training
        counts = _counts(row.get("n"), row.get("n_learned"), n_held_out, n_null_training)
        rows.append(
            f"| {_name(space, metrics)} | {share} | {_percent(row.get('detectable'))} | {ratio} | {auroc} | {counts} |"
        )
    if not rows:
        return ""
    header = [
        "| memorisation | closer than the null's 1st percentile (95 % CI) | smallest share of copies that 4 of 5 such"
        " sets show | median ratio (95 % CI) | membership inference, AUROC (95 % CI)"
        " | N synthetic / training / held-out / in their place |",
        "|---|---|---|---|---|---|",
    ]
    notes = (
        "Distances are to the nearest training film. The null is the distances of held-out films, and of training films"
        " in place of those that are missing, compared with other patients; by chance, 1 % of the images are below its"
        " 1st percentile. An AUROC of 0.5 means that membership inference does no better than chance."
    )
    return "\n".join(header + rows) + "\n\n" + notes


def render_label_validity(metrics: MetricsJson) -> str:
    """Return validity and specificity of each finding that has one; "" if not measured."""
    labels = metrics.get("labels", {})
    validity, specificity = (
        label_ratio_rows(labels.get("validity", {})),
        label_ratio_rows(labels.get("specificity", {})),
    )
    rows = []
    for finding, row in validity.items():
        if row["value"] is None:
            continue
        other = specificity[finding]
        note = "" if row["gated"] else " (not gated)"
        rows.append(
            f"| {finding}{note} | {_estimate(row['value'], row['interval'])}"
            f" | {_estimate(other['value'], other['interval'])} | {_number(row['real'])} | {_number(row['synthetic'])}"
            f" | {_counts(row['n_real_positive'], row['n_synthetic_positive'])} |"
        )
    if not rows:
        return ""
    header = [
        "| label | validity (95 % CI) | specificity (95 % CI) | judge's AUROC on films | on images"
        " | N positive films / images |",
        "|---|---|---|---|---|---|",
    ]
    notes = (
        "Validity is how well the judge separates images by a label, relative to films: 1 is as on films, 0 not at all."
        " Specificity is the same against images and films with other findings."
    )
    return "\n".join(header + rows) + "\n\n" + notes


def list_label_limits(metrics: MetricsJson) -> list[str]:
    """Return a limit for labels that exaggerate, and for weights that leave few images."""
    rows = label_ratio_rows(metrics.get("labels", {}).get("validity", {}))
    limits = []
    if exaggerated := [finding for finding, row in rows.items() if row["exaggerates"]]:
        limits.append(f"- These findings are more obvious on the images than on films: {', '.join(exaggerated)}.")
    weights = metrics.get("weights")
    if weights is not None and weights["effective_share"] < 1:
        limits.append(
            f"- The weights have an effective sample size of {_number(weights['effective_size'])} of"
            f" {format_count(weights['n'])} images."
        )
    return limits


def list_memorisation_limits(metrics: MetricsJson) -> list[str]:
    """Return a limit for each space in which more images are close to training films than expected by chance."""
    return [
        f"- In {_name_space(space, metrics)}, {_percent(row['share'])} of the images (95 % CI from"
        f" {_percent(row['share_low'])}) are closer to a training film than 99 % of the comparison films are: more than"
        f" the {_percent(row['expected'])} expected by chance."
        for space, row in _measured_spaces(metrics)
        if row.get("share_low", 0) > row.get("expected", 1)
    ]


def render_test_auroc(metrics: MetricsJson) -> str:
    """Return the classifier's mean AUROC on test films, within sources, and of source and view; "" if not measured."""
    row = metrics.get("classifier")
    if row is None or not is_computed(row):
        return ""
    mean, within_source, source_and_view = (
        f"{_number(auroc['value'])} {format_interval(auroc['interval'], template=_WITH_CI)}"
        for auroc in (row["mean_auroc"], row["within_source"], row["source_and_view_alone"])
    )
    return (
        f"Mean AUROC on {format_count(row['n_films'])} test films of {format_count(row['n_patients'])} patients"
        f" ({', '.join(row['findings'])}): {mean}. Within each source of films: {within_source}. From source and view"
        f" alone, without any pixel: {source_and_view}."
    )


class ValEstimate(TypedDict):
    """A score of one finding on val films; `value` is None where it is not defined."""

    value: float | None
    interval: Annotated[Sequence[float | None], Length(2)] | None


class ValFinding(TypedDict):
    """The scores of one finding on val films."""

    n: NotRequired[int]
    n_positive: NotRequired[int]
    auroc: NotRequired[ValEstimate]
    average_precision: NotRequired[ValEstimate]


class ValScores(TypedDict):
    """What is read of the metrics.json of a trained classifier."""

    findings: NotRequired[dict[str, ValFinding]]


def render_val_scores(scores: ValScores) -> str:
    """Return AUROC and average precision of each finding on val films."""
    rows = ["| finding | AUROC (95 % CI) | average precision (95 % CI) | N | positive |", "|---|---|---|---|---|"]
    for finding, row in scores.get("findings", {}).items():
        auroc, precision = (
            _UNDEFINED if score is None else _estimate(score["value"], score["interval"])
            for score in (row.get("auroc"), row.get("average_precision"))
        )
        rows.append(
            f"| {finding} | {auroc} | {precision} | {format_count(row.get('n'))}"
            f" | {format_count(row.get('n_positive'))} |"
        )
    return "Val films. The confidence intervals are from a bootstrap over patients.\n\n" + "\n".join(rows)


def _measured_spaces(metrics: MetricsJson) -> list[tuple[str, PrivacyRow]]:
    """Return the spaces in which memorisation was measured, by name."""
    return [
        (space, row) for space, row in sorted(privacy_spaces(metrics.get("privacy", {})).items()) if is_computed(row)
    ]


def _name(extractor: str, metrics: MetricsJson) -> str:
    return name_network(extractor, metrics.get("names", {}))


def _name_space(space: str, metrics: MetricsJson) -> str:
    return space if space == PIXELS else name_features(space, metrics.get("names", {}))


def _counts(*counts: int | None) -> str:
    return " / ".join(map(format_count, counts))


def _estimate(value: float | None, interval: Sequence[float | None] | None) -> str:
    return f"{_number(value)} {format_interval(interval)}".rstrip()


def _number(value: float | None) -> str:
    return format_number(value, missing=_UNDEFINED)


def _percent(share: float | None) -> str:
    return format_percent(share, digits=2, missing=_UNDEFINED)

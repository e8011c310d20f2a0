"""The metrics of gates in words, and their values as people read them: the same digits wherever a number is printed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from synthcxr.data.metrics_schema import PIXELS, GateDirection, MetricsJson
from synthcxr.data.model_names import name_features_briefly
from synthcxr.data.number_format import MISSING, format_interval, format_number, format_percent

EACH = "*"
"""In the path of a gate: every space, extractor or finding with a value."""
_MAX_DIGITS = 8
_SHARES = re.compile(
    r"privacy\.[^.]+\.(duplicates\.)?share(_low)?|labels\.shares\.[^.]+\.(real|synthetic)|agreement\..+\.synthetic"
    r"|weights\.effective_share"
)
_NAMES: tuple[tuple[str, str], ...] = (
    ("checks.failed", "failed checks of files and labels"),
    ("distance.<space>.relative", "relative distance to films in {space}"),
    ("distance.<space>.value", "Fréchet distance to films in {space}"),
    ("distance.<space>.floor", "Fréchet distance of training films to test films in {space}"),
    ("kernel.<space>.value", "kernel distance to films in {space}"),
    ("infinity.<space>.synthetic.value", "Fréchet distance to films at infinite N in {space}"),
    ("coverage.<space>.relative", "relative coverage of films in {space}"),
    ("coverage.<space>.synthetic.precision", "precision in {space}"),
    ("coverage.<space>.synthetic.recall", "recall in {space}"),
    ("coverage.<space>.synthetic.density", "density in {space}"),
    ("coverage.<space>.synthetic.coverage", "coverage of films in {space}"),
    ("by_finding.<space>.<finding>.relative", "relative distance to films with {finding} in {space}"),
    ("labels.total_variation", "total variation of the labels from films"),
    ("labels.jensen_shannon", "Jensen-Shannon divergence of the labels from films"),
    ("labels.kl", "KL divergence of the labels from films"),
    ("labels.classifier.kl", "KL divergence of the classifier's labels from films"),
    ("labels.test.p_value", "p-value of equal label shares"),
    ("labels.test.cramers_v", "Cramér's V of the label shares"),
    ("labels.cooccurrence.difference", "difference in the shares of pairs of findings"),
    ("labels.prevalence.total_variation", "total variation of the labels from the given prevalence"),
    ("labels.prevalence.jensen_shannon", "Jensen-Shannon divergence of the labels from the given prevalence"),
    ("labels.validity.mean", "mean label validity"),
    ("labels.validity.<finding>.value", "label validity of {finding}"),
    ("labels.specificity.mean", "mean label specificity"),
    ("labels.specificity.<finding>.value", "label specificity of {finding}"),
    ("labels.shares.<finding>.real", "share of films with {finding}"),
    ("labels.shares.<finding>.synthetic", "share of images with {finding}"),
    ("labels.shares.<finding>.ratio", "share of images with {finding} relative to films"),
    ("agreement.<finding>.synthetic", "agreement of the judge with the label {finding}"),
    ("similarity.synthetic", "MS-SSIM of pairs of images"),
    ("metrics.<metric>.value", "{metric}"),
    ("weights.effective_share", "effective share of the weighted images"),
    ("privacy.<space>.share", "near copies in {space}"),
    ("privacy.<space>.share_low", "near copies in {space}, lower end of the 95 % CI"),
    ("privacy.<space>.n_below_null", "images closer to a training film than any comparison film in {space}"),
    ("privacy.<space>.median_ratio", "median distance to training films relative to comparison films in {space}"),
    ("privacy.<space>.attack.auroc", "AUROC of membership inference in {space}"),
    ("privacy.<space>.attack.low", "AUROC of membership inference in {space}, lower end of the 95 % CI"),
    ("privacy.<space>.duplicates.share", "repeated images in {space}"),
    ("privacy.<space>.duplicates.share_low", "repeated images in {space}, lower end of the 95 % CI"),
)
_PATTERNS = tuple(
    (re.compile(re.sub(r"<(\w+)>", r"(?P<\1>[^.]+)", path.replace(".", r"\."))), words) for path, words in _NAMES
)


def name_metric(metric: str) -> str:
    """A metric in words, such as "label validity of Mass"; the metric itself if it has none."""
    for pattern, words in _PATTERNS:
        if match := pattern.fullmatch(metric):
            parts = match.groupdict()
            return words.format(
                space=_name_space(parts.get("space", "")),
                metric="each metric" if parts.get("metric") == EACH else parts.get("metric", "").replace("_", " "),
                finding="each finding" if parts.get("finding") == EACH else parts.get("finding", "").replace("_", " "),
            )
    return metric


def name_metric_in_full(metric: str) -> str:
    """A metric in words, with its path in brackets."""
    words = name_metric(metric)
    return words if words == metric else f"{words} ({metric})"


def format_metric(metric: str, value: float | None, *, limit: float | None = None) -> str:
    """The value of a metric, a share as a percentage; with as many digits as tell it from its limit."""
    if value is None:
        return MISSING
    is_share = _is_share(metric)
    for extra in range(_MAX_DIGITS):
        text = format_percent(value, decimals=1 + extra) if is_share else format_number(value, digits=3 + extra)
        if limit is None or value == limit or _read_number(text) != _read_number(format_limit(metric, limit)):
            return text
    return text


def format_metric_interval(metric: str, interval: Sequence[float | None] | None) -> str:
    """The interval of a metric within a text, such as "(95 % CI 0.1 to 0.2)"; "" where there is none."""
    return format_interval(
        interval,
        lambda bound: format_metric(metric, bound).removesuffix(" %"),
        template="(95 % CI {} to {})",
    )


def format_limit(metric: str, limit: float) -> str:
    """A limit, that of a share as a percentage."""
    return f"{100 * limit:g} %" if _is_share(metric) else format_number(limit)


def describe_target(metric: str, direction: GateDirection, limit: float) -> str:
    """What a gate requires, such as "target at most 3"."""
    return f"target at {'most' if direction == 'max' else 'least'} {format_limit(metric, limit)}"


def find_interval(metrics: MetricsJson, metric: str) -> Sequence[float] | None:
    """The interval beside the value of a metric, or None."""
    *parents, key = metric.split(".")
    node: Any = metrics
    for parent in parents:
        node = node.get(parent) if isinstance(node, Mapping) else None
    interval = node.get("interval" if key == "value" else f"{key}_interval") if isinstance(node, Mapping) else None
    return interval if interval and None not in interval else None


def _is_share(metric: str) -> bool:
    return _SHARES.fullmatch(metric) is not None


def _name_space(space: str) -> str:
    return {EACH: "each space", PIXELS: PIXELS}.get(space) or name_features_briefly(space)


def _read_number(text: str) -> float:
    return float(text.removesuffix(" %").replace(",", ""))

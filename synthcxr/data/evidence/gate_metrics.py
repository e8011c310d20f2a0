"""The numbers of metrics.json that a gate may name: one declaration each, from which all texts about them derive."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.metrics_schema import PIXELS

FamilyName = Literal["files", "distance", "labels", "copying", "validity", "other"]

EACH = "*"
"""In the path of a gate, in place of a name: every name that has a value."""
_PLACEHOLDER = re.compile(r"<(\w+)>")


@dataclasses.dataclass(frozen=True)
class GateMetric:
    """A number that a gate may name.

    `path` is its dotted path in metrics.json, `name` says in a few words what it is, `meaning` in full. In the path,
    <extractor>, <space> (an extractor or "pixels"), <finding>, <label> (a finding or "No Finding") and <metric> (one
    of `declared_metrics`) stand for names, and in the texts for these names in words, such as "judge features".
    `family` is the kind of evidence. A share is printed as a percentage.
    """

    path: str
    name: str
    meaning: str
    family: FamilyName = "other"
    is_share: bool = False

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of this number, with a group for each placeholder."""
        return re.compile(_PLACEHOLDER.sub(r"(?P<\1>[^.]+)", self.path.replace(".", r"\.")))


GATE_METRICS = (
    GateMetric(
        "checks.failed",
        "failed checks of files and labels",
        "number of failed checks of the synthetic dataset",
        "files",
    ),
    GateMetric(
        "weights.effective_share",
        "effective share of the weighted images",
        "effective sample size of the weighted images, as a share of their number",
        is_share=True,
    ),
    GateMetric(
        "distance.<extractor>.value",
        "Fréchet distance to films in <extractor>",
        "Fréchet distance of synthetic images to real test films in <extractor>",
        "distance",
    ),
    GateMetric(
        "distance.<extractor>.floor",
        "Fréchet distance of training films to test films in <extractor>",
        "Fréchet distance of real training films to real test films in <extractor>",
        "distance",
    ),
    GateMetric(
        "distance.<extractor>.relative",
        "relative distance to films in <extractor>",
        "relative Fréchet distance of synthetic images to real test films in <extractor> (training films: 1)",
        "distance",
    ),
    GateMetric(
        "kernel.<extractor>.value",
        "kernel distance to films in <extractor>",
        "kernel distance of synthetic images to real test films in <extractor>",
        "distance",
    ),
    GateMetric(
        "infinity.<extractor>.synthetic.value",
        "Fréchet distance to films at infinite N in <extractor>",
        "Fréchet distance of synthetic images to real test films, extrapolated to infinite N, in <extractor>",
        "distance",
    ),
    GateMetric(
        "coverage.<extractor>.relative",
        "relative coverage of films in <extractor>",
        "relative coverage of real test films by synthetic images in <extractor> (training films: 1)",
    ),
    GateMetric(
        "coverage.<extractor>.synthetic.precision",
        "precision in <extractor>",
        "precision (share of images among real test films) in <extractor>",
    ),
    GateMetric(
        "coverage.<extractor>.synthetic.recall",
        "recall in <extractor>",
        "recall (share of real test films among synthetic images) in <extractor>",
    ),
    GateMetric(
        "coverage.<extractor>.synthetic.density",
        "density in <extractor>",
        "density of synthetic images among real test films (1 if they have the same distribution) in <extractor>",
    ),
    GateMetric(
        "coverage.<extractor>.synthetic.coverage",
        "coverage of films in <extractor>",
        "coverage (share of real test films with an image near them) in <extractor>",
    ),
    GateMetric(
        "by_finding.<extractor>.<label>.relative",
        "relative distance to films with <label> in <extractor>",
        "relative Fréchet distance of images to test films that the judge labels <label>, in <extractor>"
        " (training films: 1)",
    ),
    GateMetric(
        "similarity.synthetic",
        "MS-SSIM of pairs of images",
        "mean MS-SSIM of random pairs of synthetic images",
    ),
    GateMetric(
        "labels.total_variation",
        "total variation of the labels from films",
        "total variation between the label distributions of synthetic images and real test films",
        "labels",
    ),
    GateMetric(
        "labels.jensen_shannon",
        "Jensen-Shannon divergence of the labels from films",
        "Jensen-Shannon divergence (bits) between the label distributions of synthetic images and real test films",
        "labels",
    ),
    GateMetric(
        "labels.kl",
        "KL divergence of the labels from films",
        "KL divergence (nats) of the label distribution of synthetic images from that of real test films",
        "labels",
    ),
    GateMetric(
        "labels.classifier.kl",
        "KL divergence of the classifier's labels from films",
        "KL divergence (nats) of the labels of synthetic images from those of real test films, both by the classifier",
        "labels",
    ),
    GateMetric(
        "labels.test.p_value",
        "p-value of equal label shares",
        "p-value of the permutation test for equal label distributions of synthetic images and real test films",
        "labels",
    ),
    GateMetric(
        "labels.test.cramers_v",
        "Cramér's V of the label shares",
        "Cramér's V between the label distributions of synthetic images and real test films",
        "labels",
    ),
    GateMetric(
        "labels.cooccurrence.difference",
        "difference in the shares of pairs of findings",
        "mean absolute difference between synthetic images and real test films in the shares of pairs of findings",
        "labels",
    ),
    GateMetric(
        "labels.prevalence.total_variation",
        "total variation of the labels from the given prevalence",
        "total variation between the label distribution of synthetic images and that of --prevalence",
        "labels",
    ),
    GateMetric(
        "labels.prevalence.jensen_shannon",
        "Jensen-Shannon divergence of the labels from the given prevalence",
        "Jensen-Shannon divergence (bits) between the label distribution of synthetic images and that of --prevalence",
        "labels",
    ),
    GateMetric(
        "labels.shares.<label>.real",
        "share of films with <label>",
        "share of real test films that the judge labels <label>",
        "labels",
        is_share=True,
    ),
    GateMetric(
        "labels.shares.<label>.synthetic",
        "share of images with <label>",
        "share of synthetic images that the judge labels <label>",
        "labels",
        is_share=True,
    ),
    GateMetric(
        "labels.shares.<label>.ratio",
        "share of images with <label> relative to films",
        "share of <label> among synthetic images, divided by that among real test films",
        "labels",
    ),
    GateMetric(
        "labels.validity.mean",
        "mean label validity",
        "label validity of all findings that can be gated, on average: how well the judge separates images with and"
        " without the label (1: as well as real test films, 0: not at all)",
        "validity",
    ),
    GateMetric(
        "labels.validity.<finding>.value",
        "label validity of <finding>",
        "label validity of <finding>: how well the judge separates images with and without the label (1: as well as"
        " real test films, 0: not at all)",
        "validity",
    ),
    GateMetric(
        "labels.specificity.mean",
        "mean label specificity",
        "label specificity of all findings that can be gated, on average: how well the judge separates images with the"
        " label from images with other findings (1: as well as real test films, 0: not at all)",
        "validity",
    ),
    GateMetric(
        "labels.specificity.<finding>.value",
        "label specificity of <finding>",
        "label specificity of <finding>: how well the judge separates images with the label from images with other"
        " findings (1: as well as real test films, 0: not at all)",
        "validity",
    ),
    GateMetric(
        "agreement.<finding>.synthetic",
        "agreement of the judge with the label <finding>",
        "share of the images labelled <finding> by the classifier in which the judge also detects it",
        is_share=True,
    ),
    GateMetric(
        "privacy.<space>.share",
        "near copies in <space>",
        "share of images closer to a training film than 99 % of comparison films are, in <space>",
        "copying",
        is_share=True,
    ),
    GateMetric(
        "privacy.<space>.share_low",
        "near copies in <space>, lower end of the 95 % CI",
        "lower end of the 95 % CI of the share of images closer to a training film than 99 % of comparison films are"
        " (1 % by chance), in <space>",
        "copying",
        is_share=True,
    ),
    GateMetric(
        "privacy.<space>.n_below_null",
        "images closer to a training film than any comparison film in <space>",
        "number of images closer to a training film than every comparison film is, in <space>",
        "copying",
    ),
    GateMetric(
        "privacy.<space>.median_ratio",
        "median distance to training films relative to comparison films in <space>",
        "median distance of images to their nearest training film, divided by that of comparison films, in <space>",
        "copying",
    ),
    GateMetric(
        "privacy.<space>.attack.auroc",
        "AUROC of membership inference in <space>",
        "AUROC of membership inference, training films against held-out films, in <space>",
        "copying",
    ),
    GateMetric(
        "privacy.<space>.attack.low",
        "AUROC of membership inference in <space>, lower end of the 95 % CI",
        "lower end of the 95 % CI of the AUROC of membership inference (0.5 by chance), in <space>",
        "copying",
    ),
    GateMetric(  # no copying: a repeated image is no copy of a film
        "privacy.<space>.duplicates.share",
        "repeated images in <space>",
        "share of images closer to another image than 99 % of films are to a film of another patient, in <space>",
        is_share=True,
    ),
    GateMetric(
        "privacy.<space>.duplicates.share_low",
        "repeated images in <space>, lower end of the 95 % CI",
        "lower end of the 95 % CI of the share of images closer to another image than 99 % of films are to a film of"
        " another patient (1 % by chance), in <space>",
        is_share=True,
    ),
    GateMetric("metrics.<metric>.value", "<metric>", "<metric>"),
)
"""Every number that a gate may name. The meaning of a single metric is that of its own declaration."""


def find_gate_metric(path: str) -> GateMetric | None:
    """Find the declaration of a path, in which a name may be `EACH`."""
    return next((metric for metric in GATE_METRICS if metric.pattern.fullmatch(path)), None)


def fill_placeholders(text: str, names: Mapping[str, str]) -> str:
    """Replace each placeholder by its name."""
    return _PLACEHOLDER.sub(lambda match: names[match[1]], text)


def describe_paths(extractors: Sequence[str], single_metrics: Mapping[str, str]) -> dict[str, str]:
    """List every path with its meaning. `single_metrics` has the meanings of <metric> by name."""
    known = {
        "extractor": {name: f"{name} features" for name in extractors},
        "space": {PIXELS: PIXELS} | {name: f"{name} features" for name in extractors},
        "finding": {name: name for name in FINDINGS},
        "label": {name: name for name in (NO_FINDING, *FINDINGS)},
        "metric": single_metrics,
    }
    meanings = {}
    for metric in GATE_METRICS:
        placeholders = _PLACEHOLDER.findall(metric.path)
        for names in itertools.product(*(known[placeholder] for placeholder in placeholders)):
            path = fill_placeholders(metric.path, dict(zip(placeholders, names, strict=True)))
            words = {kind: known[kind][name] for kind, name in zip(placeholders, names, strict=True)}
            meanings[path] = fill_placeholders(metric.meaning, words)
            if path.startswith("distance.inception."):
                meanings[path] = meanings[path].replace("Fréchet distance", "FID")
    return meanings

"""Model cards: Markdown with YAML front matter on what a model is, its data, intended use, evidence and limits."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from synthcxr.data.condition import find_parts
from synthcxr.data.evidence.answer import join_words
from synthcxr.data.evidence.summary import format_markdown, select_utility, summarise_evidence
from synthcxr.data.metrics_schema import METRICS_FILE, MetricsJson, VerdictJson
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.registry import model_card_tables
from synthcxr.storage import guarded_files

CARD_FILE = "README.md"
_TASKS = {
    "generator": "unconditional-image-generation",
    "classifier": "image-classification",
    "judge": "image-classification",
}
_DESCRIPTIONS = {
    "generator": "Generates synthetic frontal chest X-rays of {side} x {side} pixels from random {input}, with a"
    " progressive-growing GAN. The classifier in the same folder selects and labels the images; the judge evaluates"
    " them.",
    "classifier": "Predicts the probability of each of the 14 NIH findings for an image of {side} x {side} pixels. It"
    " selects and labels the images of the generator, and is trained on other patients than the judge.",
    "judge": "Predicts the probability of each of the 14 NIH findings for an image of {side} x {side} pixels, and"
    " computes the features in which sets of images are compared. It is trained on other patients than the classifier,"
    " and selects no images.",
}
_INTENDED_USE = (
    "Method development, teaching, software tests, and augmentation experiments that are validated on real films of"
    " patients who are not in the training data."
)
_OUT_OF_SCOPE = (
    "Diagnosis, triage or any decision about a patient. The images are not evidence of what a disease looks like. A"
    " finding is what a classifier detects in an image, not what a radiologist has confirmed."
)


@dataclasses.dataclass(frozen=True)
class CardInputs:
    """What a card is written from: model.json, metrics.json, verdict.json, run.json and the scores of each classifier.

    `weak` maps classifier and judge to the findings whose thresholds are based on fewer than 3 positive val films.
    Without `run`, the card has no summary. `utility` is the content of utility.json, if there is one.
    """

    index: Mapping[str, Any]
    metrics: MetricsJson
    verdict: VerdictJson
    scores: Mapping[str, model_card_tables.ValScores]
    weak: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    run: Mapping[str, Any] | None = None
    utility: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def companion_card_file(kind: str) -> str:
    """Return the file name of a classifier's or judge's card in the folder of its generator."""
    return f"{kind}.md"


def render_card(metadata: ModelMetadata, inputs: CardInputs) -> str:
    """Return the card of one model; the same inputs give the same text. DataError for metrics of another version."""
    with guarded_files.report_failure(METRICS_FILE, "metrics of this version", advice="run `synthcxr evaluate` again"):
        return _render_card(metadata, inputs)


def _describe_input(metadata: ModelMetadata) -> str:
    """What a generator makes an image from."""
    if not metadata.condition:
        return "latents"
    parts = find_parts(metadata.condition, "its metadata")
    return f"latents and a condition ({join_words(parts)})"


def _render_card(metadata: ModelMetadata, inputs: CardInputs) -> str:
    sections = [
        f"# synthcxr {metadata.kind}",
        _DESCRIPTIONS[metadata.kind].format(side=metadata.resolution, input=_describe_input(metadata)),
        f"**{_describe_provenance(metadata)}** It is not for diagnosis.",
        *_summarise_evidence(metadata, inputs),
        "## Intended use\n\n" + _INTENDED_USE,
        "## Out-of-scope use\n\n" + _OUT_OF_SCOPE,
        "## Data\n\n" + _describe_data(metadata, inputs.index),
        "## Evidence\n\n" + _describe_evidence(metadata, inputs),
        "## Limits\n\n" + _describe_limits(metadata, inputs),
    ]
    return f"---\n{_front_matter(metadata, inputs)}---\n\n" + "\n\n".join(sections) + "\n"


def summarize(metadata: ModelMetadata) -> str:
    """Return one line for the table of a registry."""
    films = "drawn phantoms" if metadata.phantom else "real films"
    return f"{metadata.kind}, {metadata.resolution} px, trained on {films} {metadata.training_data}; not for diagnosis"


def _front_matter(metadata: ModelMetadata, inputs: CardInputs) -> str:
    fields = {
        "license": metadata.licence,
        "library_name": "onnx",
        # Hugging Face has no task for images from a condition that is no text.
        **({} if metadata.condition else {"pipeline_tag": _TASKS[metadata.kind]}),
        "tags": ["chest-x-ray", "synthetic-data", "synthcxr", "phantom" if metadata.phantom else "real-films"],
        "synthcxr": {
            "kind": metadata.kind,
            "resolution": metadata.resolution,
            "training_data": metadata.training_data,
            "phantom": metadata.phantom,
            "digest": metadata.digest,
            "gates_passed": bool(inputs.verdict.get("passed")),
        },
    }
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(fields, text)
    return text.getvalue()


def _describe_provenance(metadata: ModelMetadata) -> str:
    if metadata.phantom:
        return "Trained on drawn phantoms: this tests the pipeline, and says nothing about real chest X-rays."
    if metadata.kind != "generator":
        return "Trained on real films."
    return (
        "Trained on real films. The generated images belong to no patient, which the measurements below support but"
        " cannot prove."
    )


def _summarise_evidence(metadata: ModelMetadata, inputs: CardInputs) -> list[str]:
    """The summary of the evaluated dataset on the generator's card; companions have figures of their own."""
    if metadata.kind != "generator" or inputs.run is None:
        return []
    utility = select_utility(inputs.utility, inputs.metrics)
    summary = summarise_evidence(inputs.metrics, inputs.verdict, inputs.run, utility=utility)
    return [f"## Summary\n\n{format_markdown(summary)}"]


def _describe_data(metadata: ModelMetadata, index: Mapping[str, Any]) -> str:
    films = f"Films {metadata.training_data} ({'drawn phantoms' if metadata.phantom else 'real'}), split by patient."
    attribution = "\n".join(f"- {line}" for line in index.get("attribution", ()))
    return f"{films}\n\n{attribution or 'The sources of the films require no attribution.'}"


def _describe_evidence(metadata: ModelMetadata, inputs: CardInputs) -> str:
    if metadata.kind != "generator":
        test_auroc = model_card_tables.render_test_auroc(inputs.metrics) if metadata.kind == "classifier" else ""
        parts = [test_auroc, model_card_tables.render_val_scores(inputs.scores.get(metadata.kind, {}))]
    else:
        parts = [
            model_card_tables.render_distances(inputs.metrics),
            model_card_tables.render_coverage(inputs.metrics),
            model_card_tables.render_label_validity(inputs.metrics),
            model_card_tables.render_memorisation(inputs.metrics),
            "Gates:\n\n" + "\n".join(f"- {gate['sentence']}" for gate in inputs.verdict.get("gates", ())),
        ]
    return "\n\n".join(part for part in parts if part)


def _describe_limits(metadata: ModelMetadata, inputs: CardInputs) -> str:
    lines = [
        "- A distance depends on N and on the features. Compare it only with its floor, at equal N.",
        "- Views, devices and findings are confounded in the training films, and therefore in the generated images.",
    ]
    if metadata.phantom:
        lines.insert(0, "- No real film was used for training.")
    if metadata.kind == "generator":
        lines += model_card_tables.list_memorisation_limits(inputs.metrics)
        lines += model_card_tables.list_label_limits(inputs.metrics)
    lines += _describe_weak_thresholds(metadata, inputs)
    n_test = inputs.metrics.get("n_real_test", 0)
    if n_test < MIN_FILMS_FOR_DISTANCE:
        lines.append(f"- Only {n_test} real test films: too few for a comparison.")
    return "\n".join(lines)


def _describe_weak_thresholds(metadata: ModelMetadata, inputs: CardInputs) -> list[str]:
    """Return a limit for weak thresholds: those of the model itself, or of a generator's classifier and judge."""
    weak: dict[str, Sequence[str]] = {"The thresholds": metadata.weak}
    if metadata.kind == "generator":
        labels = inputs.metrics.get("labels")
        judge_default = () if labels is None else labels.get("not_judged", ())
        weak = {
            "The classifier's thresholds, which select and label images,": inputs.weak.get("classifier", ()),
            "The judge's thresholds": inputs.weak.get("judge", judge_default),
        }
    return [
        f"- {subject} for these findings are based on fewer than 3 positive val films, and the findings enter no gate:"
        f" {', '.join(findings)}."
        for subject, findings in weak.items()
        if findings
    ]

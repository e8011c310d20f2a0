"""Model cards: Markdown with YAML front matter; what a model is, was made from, may be used for, and how good it is."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.registry import model_card_tables

MIN_FILMS = 50
_TASKS = {
    "generator": "unconditional-image-generation",
    "classifier": "image-classification",
    "judge": "image-classification",
}
_WHAT = {
    "generator": "Makes synthetic frontal chest X-rays of {side} x {side} pixels from random latents (a"
    " progressive-growing GAN). The classifier beside it chooses and labels what it makes; the judge measures it.",
    "classifier": "Gives the probability of each of the 14 NIH findings for an image of {side} x {side} pixels. It"
    " chooses and labels what the generator makes; it is trained on other patients than the judge.",
    "judge": "Gives the probability of each of the 14 NIH findings for an image of {side} x {side} pixels, and the"
    " features in which sets of films are compared. It learned on other patients than the classifier, and chose none.",
}
_USE = (
    "Method development, teaching, software tests and augmentation experiments that are checked on real films of"
    " patients the model never saw."
)
_NOT = (
    "Not for diagnosis, triage or any decision about a patient. Not evidence of what a disease looks like. A finding is"
    " what a classifier sees in an image, not what a radiologist confirmed."
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What cards are written from: model.json, metrics.json and verdict.json of results/, each classifier's scores.

    `weak` names the findings of classifier and judge whose thresholds rest on too few val positives, by kind.
    """

    index: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, Any]]
    weak: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def write(contract: Contract, facts: Facts) -> str:
    """The card of one model; the same facts give the same text."""
    sections = [
        f"# synthcxr {contract.kind}",
        _WHAT[contract.kind].format(side=contract.resolution),
        f"**{_provenance(contract)}** It is not for diagnosis.",
        "## Intended use\n\n" + _USE,
        "## Not for\n\n" + _NOT,
        "## Data\n\n" + _data(contract, facts.index),
        "## Evidence\n\n" + _evidence(contract, facts),
        "## Limits\n\n" + _limits(contract, facts),
    ]
    return f"---\n{_front_matter(contract, facts)}---\n\n" + "\n\n".join(sections) + "\n"


def summary(contract: Contract) -> str:
    """One line for a registry's table."""
    source = "drawn phantoms" if contract.phantom else "real films"
    return f"{contract.kind}, {contract.resolution} px, trained on {source} {contract.training_data}; not for diagnosis"


def _front_matter(contract: Contract, facts: Facts) -> str:
    fields = {
        "license": contract.licence,
        "library_name": "onnx",
        "pipeline_tag": _TASKS[contract.kind],
        "tags": ["chest-x-ray", "synthetic-data", "synthcxr", "phantom" if contract.phantom else "real-films"],
        "synthcxr": {
            "kind": contract.kind,
            "resolution": contract.resolution,
            "training_data": contract.training_data,
            "phantom": contract.phantom,
            "digest": contract.digest,
            "gates_passed": bool(facts.verdict.get("passed")),
        },
    }
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(fields, text)
    return text.getvalue()


def _provenance(contract: Contract) -> str:
    if contract.phantom:
        return "Trained on drawn phantoms: it proves that the pipeline works, and says nothing about real chest X-rays."
    return (
        "Trained on real films; what it makes belongs to no patient, which the measures below support but cannot prove."
    )


def _data(contract: Contract, index: Mapping[str, Any]) -> str:
    films = f"Films {contract.training_data} ({'drawn phantoms' if contract.phantom else 'real'}), split by patient."
    attribution = "\n".join(f"- {line}" for line in index.get("attribution", ()))
    return f"{films}\n\n{attribution or 'Their sources ask for no attribution.'}"


def _evidence(contract: Contract, facts: Facts) -> str:
    if contract.kind != "generator":
        ranked = model_card_tables.ranking(facts.metrics) if contract.kind == "classifier" else ""
        return "\n\n".join(
            part for part in (ranked, model_card_tables.scores(facts.scores.get(contract.kind, {}))) if part
        )
    gates = [f"- {gate['sentence']}" for gate in facts.verdict.get("gates", ())]
    verdict = "Every gate passed." if facts.verdict.get("passed") else "Not every gate passed."
    tables = (model_card_tables.distances, model_card_tables.coverage, model_card_tables.memorisation)
    parts = (*(table(facts.metrics) for table in tables), verdict, "\n".join(gates))
    return "\n\n".join(part for part in parts if part)


def _limits(contract: Contract, facts: Facts) -> str:
    lines = [
        "- A distance depends on its N and its features: compare it only beside its floor, at equal N.",
        "- Views, devices and findings are confounded in the training films, and so in what is made from them.",
    ]
    if contract.phantom:
        lines.insert(0, "- No real film was ever seen.")
    if contract.kind == "generator":
        lines += model_card_tables.surpluses(facts.metrics)
    lines += _weak(contract, facts)
    n_test = facts.metrics.get("n_real_test", 0)
    if n_test < MIN_FILMS:
        lines.append(f"- Only {n_test} real test films: too few for a comparison.")
    return "\n".join(lines)


def _weak(contract: Contract, facts: Facts) -> list[str]:
    """Which thresholds lean on very few films: the model's own, or those of the two that label for a generator."""
    of_judge = list(facts.weak.get("judge", facts.metrics.get("labels", {}).get("not_judged", ())))
    named: dict[str, Sequence[str]] = {"Thresholds": contract.weak}
    if contract.kind == "generator":
        named = {
            "The classifier's thresholds, by which images are chosen and labelled,": facts.weak.get("classifier", ()),
            "The judge's thresholds": of_judge,
        }
    return [
        f"- {whose} of these findings rest on very few films and enter no gate: {', '.join(weak)}."
        for whose, weak in named.items()
        if weak
    ]

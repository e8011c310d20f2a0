"""The request of `synthcxr generate`: its options on top of a parameter file, and the default folder name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthcxr.cli.options import load_config
from synthcxr.errors import ConfigError

if TYPE_CHECKING:
    from synthcxr.config.schema import GenerateConfig

_SELECTING = {"labels", "without", "per_label", "mix"}
_DEFAULTS: dict[str, Any] = {
    "n": 1,
    "seed": 0,
    "labels": (),
    "without": (),
    "per_label": None,
    "mix": None,
    "view": None,
    "sex": None,
    "age": None,
    "method": "auto",
    "with_judge": False,
    "max_draws": 0,
    "batch": 32,
    "device": "auto",
}


def build_config(params: Path | None, flags: dict[str, Any], *, rejects_copies: bool) -> GenerateConfig:
    """The section `generate` of a parameter file, or defaults, overridden by the options on the command line.

    With `rejects_copies` not every candidate is accepted, even if no finding is requested.
    """
    from synthcxr.config.schema import GenerateConfig, default_max_draws
    from synthcxr.data.findings import FINDINGS, to_finding_names, to_multi_hot

    options = {name: value for name, value in flags.items() if name != "only" and value not in (None, ())}
    for name in ("labels", "without"):
        if name in options:
            options[name] = to_finding_names(to_multi_hot(options[name]))
    if params is None and not {"n", "per_label"} & options.keys():
        raise ConfigError("missing option --n: the number of images, such as --n 100")
    if {"n", "per_label"} <= options.keys():
        raise ConfigError("--n counts all images and --per-label those of each finding; give only one of them")
    fields = _DEFAULTS | (dataclasses.asdict(load_config(params).generate) if params else {}) | options
    if flags.get("only"):
        options["without"] = fields["without"] = _exclude_other_findings(fields)
    if fields["per_label"] and "n" not in options:
        fields["n"] = fields["per_label"] * len(fields["labels"] or FINDINGS)
    if "max_draws" not in options and (params is None or {"n", *_SELECTING} & options.keys()):
        selective = rejects_copies or any(fields[name] for name in _SELECTING)
        fields["max_draws"] = default_max_draws(fields["n"], selective=selective)
    return GenerateConfig(**fields)


def _exclude_other_findings(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """What --only means: every finding but those of `labels`; an error where it contradicts the request."""
    from synthcxr.synthesis.request.label_condition import LabelCondition

    if fields["mix"] is not None:
        raise ConfigError("--only: a mix already sets every finding of an image; remove --only")
    if fields["per_label"] is not None:
        advice = "a mix from a CSV file with one row for each finding gives images of each finding alone"
        raise ConfigError(f"--only: cannot be combined with --per-label; {advice}")
    if not fields["labels"]:
        raise ConfigError("--only needs --label: the findings that every image shows, such as --label Cardiomegaly")
    condition = LabelCondition.from_names(fields["labels"], fields["without"])
    return LabelCondition.from_exact_set(condition.findings).without


def name_folder(config: GenerateConfig) -> str:
    """The default folder of a dataset, named after findings and seed, such as cardiomegaly-seed0.

    The number of images is not part of it, so that --append extends the same dataset.
    """
    from synthcxr.data.attribute_request import AttributeRequest
    from synthcxr.data.findings import list_other_findings

    findings = "+".join(config.labels) or ("findings" if config.per_label else "unconditional")
    if config.mix:
        findings = f"mix-{Path(config.mix).stem}"
    is_exact = bool(config.labels) and set(config.without) == set(list_other_findings(config.labels))
    without = "-only" if is_exact else "".join(f"-no-{name}" for name in config.without)
    per_label = f"-{config.per_label}-each" if config.per_label else ""
    attributes = AttributeRequest.from_text(config.view, config.sex, config.age)
    words = f" {attributes}".replace(",", "").replace("age ", "age").replace("sex ", "").replace("view ", "")
    return f"{findings}{without}{per_label}{words.rstrip().replace(' ', '-')}-seed{config.seed}".lower().replace(
        " ", "_"
    )

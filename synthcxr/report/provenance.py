"""The sections that say where the results come from: training curves, provenance, protocol and attribution."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TypedDict

import pandas as pd

from synthcxr.data.metrics_schema import MetricsJson
from synthcxr.data.number_format import format_decimals, format_number
from synthcxr.data.run_schema import RunJson
from synthcxr.report import plots
from synthcxr.report.distances import list_extractors
from synthcxr.report.section import Plot, Row, Section


class RegisteredJson(TypedDict):
    """What the report reads of registered.json, which `synthcxr register` writes; versions are by model."""

    run_id: str
    versions: dict[str, str]
    champion: bool
    why: str


def build_training_section(logs: Mapping[str, pd.DataFrame]) -> Section | None:
    """The training logs of "gan", "classifier" and "judge" as plots; None where there is none."""
    training_plots = _plot_gan_log(logs["gan"]) if "gan" in logs else []
    classifiers = {name: logs[name] for name in ("classifier", "judge") if name in logs}
    if classifiers:
        best = ", ".join(
            f"{name} at most {format_decimals(float(log['val_auroc_mean'].max()), decimals=3)}"
            for name, log in classifiers.items()
        )
        title = "Classifier and judge: mean AUROC on val films"
        svg = plots.draw_val_auroc(classifiers)
        training_plots.append(Plot.from_svg(svg, title=title, alt=f"Mean AUROC on val films: {best}"))
    return Section("Training", plots=tuple(training_plots), is_folded=True) if training_plots else None


def build_provenance_section(run: RunJson, metrics: MetricsJson, registered: RegisteredJson | None) -> Section:
    """The command, models, packages and extractors; `registered` is registered.json, if the results are registered."""
    facts = (*_list_run(run), *list_extractors(metrics), *_list_registration(registered))
    return Section("Provenance", facts=facts, is_folded=True, is_printed=True)


def build_protocol_section(metrics: MetricsJson) -> Section | None:
    """How each figure was computed."""
    sentences = tuple((_capitalise(name), sentence) for name, sentence in metrics["protocol"].items())
    return Section("Protocol", facts=sentences, is_folded=True) if sentences else None


def build_attribution_section(run: RunJson) -> Section | None:
    """The sources of the films, as their licences require."""
    lines = tuple(run["model"].get("attribution", ()))
    return Section("Attribution", notes=lines) if lines else None


def _plot_gan_log(log: pd.DataFrame) -> list[Plot]:
    last = log.iloc[-1]
    progress = f"after {int(last['nimg']):,} images"
    losses = (
        f"Losses {progress}: discriminator {format_number(float(last['loss_d']))},"
        f" generator {format_number(float(last['loss_g']))}"
    )
    speed = f"Speed {progress}: {format_number(float(last['images_per_s']))} images per second"
    return [
        Plot.from_svg(plots.draw_gan_losses(log), title="GAN: losses", alt=losses),
        Plot.from_svg(plots.draw_gan_speed(log), title="GAN: images per second", alt=speed),
    ]


def _list_run(run: RunJson) -> tuple[Row, ...]:
    model = run["model"]
    return (
        ("Command", shlex.join(run["command"])),
        ("Model", model["name"]),
        *((f"Digest of {name}", digest) for name, digest in sorted(model["digests"].items())),
        ("Training data", model["training_data"] + (" (phantoms, not films of patients)" if model["phantom"] else "")),
        ("Execution provider", run["provider"]),
        ("Git revision", run["git_revision"] or "not in a Git repository"),
        (
            "DVC",
            ", ".join(f"{name} {value}" for name, value in sorted(run.get("dvc", {}).items())) or "not run by DVC",
        ),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))),
        ("Generation time", f"{run['wall_s']:,.0f} s"),
        ("Image format", run["format"]),
    )


def _list_registration(registered: RegisteredJson | None) -> tuple[Row, ...]:
    if registered is None:
        return (("Registered", "no"),)
    versions = ", ".join(f"{name} version {version}" for name, version in sorted(registered["versions"].items()))
    reason = f": {registered['why']}" if registered["why"] else ""
    return (
        ("Registered", versions),
        ("MLflow run", registered["run_id"]),
        ("Champion", ("yes" if registered["champion"] else "no") + reason),
    )


def _capitalise(name: str) -> str:
    return f"{name[:1].upper()}{name[1:]}"

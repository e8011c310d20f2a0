"""What `synthcxr generate` is asked for: its flags on top of a parameter file, and the name of the dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthcxr.cli.options import load_config

if TYPE_CHECKING:
    from synthcxr.config.schema import GenerateConfig

_ASKED = {"n", "labels", "without", "per_label", "mix"}


def config(params: Path | None, flags: dict[str, Any], *, spare: bool) -> GenerateConfig:
    """The section `generate` of a parameter file, or plain settings, with the flags that were given on top.

    `spare` draws: not every candidate will be kept, even without a label.
    """
    from synthcxr.config import schema as configs
    from synthcxr.data import findings

    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for name in ("labels", "without"):
        if name in given:
            given[name] = findings.names(findings.vector(given[name]))
    if params is None and not {"n", "per_label"} & given.keys():
        raise click.UsageError("say how many images: --n 100")
    if {"n", "per_label"} <= given.keys():
        raise click.UsageError("--n counts all images, --per-label those of each finding: give one")
    plain: dict[str, Any] = {"n": 1, "seed": 0, "labels": (), "without": (), "per_label": None, "mix": None}
    plain |= {"method": "auto", "with_judge": False, "max_draws": 0, "batch": 32, "device": "auto"}
    wanted = plain | (dataclasses.asdict(load_config(params).generate) if params else {}) | given
    if wanted["per_label"] and "n" not in given:
        wanted["n"] = wanted["per_label"] * len(wanted["labels"] or findings.FINDINGS)
    if "max_draws" not in given and (params is None or _ASKED & given.keys()):
        chosen = spare or any(wanted[name] for name in _ASKED - {"n"})
        wanted["max_draws"] = max(1000, 100 * wanted["n"]) if chosen else wanted["n"]
    return configs.GenerateConfig(**wanted)


def name(config: GenerateConfig) -> str:
    """A dataset's own folder, by findings and seed, such as cardiomegaly-seed0; a longer one grows there."""
    barred = "".join(f"-no-{name}" for name in config.without)
    shown = "+".join(config.labels) or ("findings" if config.per_label else "unconditional")
    shown = f"mix-{Path(config.mix).stem}" if config.mix else shown
    each = f"-{config.per_label}-each" if config.per_label else ""
    return f"{shown}{barred}{each}-seed{config.seed}".lower().replace(" ", "_")

"""Create a project around a user's own films, and a reader study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthcxr import registry
from synthcxr.data.findings import canonicalize_finding
from synthcxr.errors import ArtifactError

if TYPE_CHECKING:
    from synthcxr.reader_study.power import PowerAnalysis
    from synthcxr.stages.init import Project
    from synthcxr.stages.reader_study_create import CreatedStudy


def create_project(
    *, folder: Path, profile: str, source: Path | None = None, reader: str | None = None, ci: str | None = None
) -> Project:
    """Make `folder` a git and DVC project with the pipeline, the parameters of a profile and the suites of checks.

    `source` is the folder of raw films and `reader` its layout, by default detected; `ci` is "github" or "gitlab".
    """
    from synthcxr.stages import check, init

    return init.run(folder=folder, profile=profile, source=source, reader=reader, ci=ci, suites=check.render_suites())


def create_reader_study(
    *,
    films: Path | None,
    dataset: Path,
    n: int,
    readers: int,
    repeats: int | None = None,
    practice: int,
    pairs: int,
    findings: Sequence[str] = (),
    model: str | None = None,
    title: str,
    seed: int | None = None,
    out: Path,
) -> CreatedStudy:
    """Create a blinded study of packed films and a synthetic dataset in the folder `out`.

    `repeats` is by default a tenth of `n`. `model` is the address of the model that also labels the films; without
    one, the champion of the registry here, else the starter model, else none.
    """
    from synthcxr.reader_study.design import Design
    from synthcxr.stages import reader_study_create

    design = Design(
        n=n,
        readers=readers,
        repeats=n // 10 if repeats is None else repeats,
        practice=practice,
        pairs=pairs,
        findings=tuple(canonicalize_finding(name) for name in findings),
    )
    return reader_study_create.run(
        design, films=films, dataset=dataset, models=_find_models(model), title=title, seed=seed, out=out
    )


def analyse_power(accuracy: float, *, n: int, readers: int) -> PowerAnalysis:
    """Compute how many readings detect `accuracy`, and what a study of `n` images and `readers` detects."""
    from synthcxr.reader_study import power

    return power.analyse_power(accuracy, n=n, readers=readers)


def _find_models(address: str | None) -> Path | None:
    try:
        return registry.resolve_model(address).path
    except ArtifactError:
        if address is not None:
            raise
        return None

"""Create a project around a user's own films, and a reader study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthcxr import registry
from synthcxr.errors import ArtifactError

if TYPE_CHECKING:
    from synthcxr.reader_study.design import Design
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
    design: Design,
    *,
    films: Path | None,
    dataset: Path,
    model: str | None = None,
    title: str,
    seed: int | None = None,
    out: Path,
) -> CreatedStudy:
    """Create a blinded study of packed films and a synthetic dataset in the folder `out`.

    `model` is the address of the model that also labels the films; without one, the champion of the registry here,
    else the starter model, else none.
    """
    from synthcxr.stages import reader_study_create

    return reader_study_create.run(
        design, films=films, dataset=dataset, models=_find_models(model), title=title, seed=seed, out=out
    )


def _find_models(address: str | None) -> Path | None:
    try:
        return registry.resolve_model(address).path
    except ArtifactError:
        if address is not None:
            raise
        return None

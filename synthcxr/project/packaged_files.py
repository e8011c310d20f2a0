"""The files outside the package that are distributed with it: the pipeline, parameter profiles and starter models.

A wheel has them in `synthcxr/bundled_files/`; an editable install uses those of the repository.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

STARTER_PARAMS = "starter.yaml"
_REPOSITORY_PATHS = {
    "dvc.yaml": "dvc.yaml",
    "params.yaml": "params.yaml",
    "params": "params",
    "starter": "registry/starter",
}


def find(name: str) -> Path | None:
    """Find "dvc.yaml", "params.yaml", "params" or "starter"; None if it is not distributed."""
    package = Path(str(resources.files("synthcxr")))
    for path in (package / "bundled_files" / name, package.parent / _REPOSITORY_PATHS[name]):
        if path.exists():
            return path
    return None


def find_evaluation_params(path: Path | None) -> Path:
    """Return the parameter file for an evaluation: `path`, else params.yaml in this folder, else the starter's."""
    local, profiles = Path("params.yaml"), find("params")
    if path is None and not local.is_file() and profiles is not None:
        return profiles / STARTER_PARAMS
    return path or local

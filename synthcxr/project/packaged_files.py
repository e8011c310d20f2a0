"""Where the files that ship with the package lie: profiles, pipeline and starter models.

A wheel holds them in `synthcxr/bundled_files/`; an editable install reads the repository's own.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

_IN_REPOSITORY = {
    "dvc.yaml": "dvc.yaml",
    "params.yaml": "params.yaml",
    "params": "params",
    "starter": "registry/starter",
}


def judging_params(given: Path | None) -> Path:
    """The parameter file to judge a dataset by: the given one, that of the project one stands in, or the starter's."""
    here, profiles = Path("params.yaml"), find("params")
    if given is None and not here.is_file() and profiles is not None:
        return profiles / "starter.yaml"
    return given or here


def find(name: str) -> Path | None:
    """The path of "dvc.yaml", "params.yaml", "params" or "starter", or None where it does not ship."""
    package = Path(str(resources.files("synthcxr")))
    for path in (package / "bundled_files" / name, package.parent / _IN_REPOSITORY[name]):
        if path.exists():
            return path
    return None

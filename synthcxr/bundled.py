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


def find(name: str) -> Path | None:
    """The path of "dvc.yaml", "params.yaml", "params" or "starter", or None where it does not ship."""
    package = Path(str(resources.files("synthcxr")))
    for path in (package / "bundled_files" / name, package.parent / _IN_REPOSITORY[name]):
        if path.exists():
            return path
    return None

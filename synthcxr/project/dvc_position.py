"""Where the stage that DVC runs is in the dvc.yaml of the current folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from synthcxr.errors import DataError

STAGE_VARIABLE = "DVC_STAGE"
"""DVC sets this variable to the name of the stage that it runs."""


def describe_position() -> str:
    """Say which of the stages of dvc.yaml runs, and which the file has after it.

    "" outside of DVC, and for a stage that dvc.yaml does not name, such as one of `foreach`.
    """
    name = os.environ.get(STAGE_VARIABLE, "").rpartition(":")[2]
    if not name:
        return ""
    from synthcxr.storage import yaml_files

    try:
        tree = yaml_files.read_yaml(Path("dvc.yaml"))
    except DataError:
        return ""
    stages = tree.get("stages") if isinstance(tree, Mapping) else None
    names = [str(key) for key in stages] if isinstance(stages, Mapping) else []
    if name not in names:
        return ""
    number = names.index(name) + 1
    following = f"; after it: {', '.join(names[number:])}" if number < len(names) else ""
    return f"stage {number} of {len(names)} in dvc.yaml: {name}{following}"

"""List what the installed synthcxr changes in a project that an older version made; write nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import synthcxr
from synthcxr.errors import DataError
from synthcxr.project import dvc_pipeline, import_closure, packaged_files
from synthcxr.storage import yaml_files


def run(folder: Path) -> Iterator[str]:
    """Yield a line for each stage whose code, command or outputs changed and for each parameter added or removed.

    DataError for a folder that is not a project of synthcxr.
    """
    lock_file = folder / dvc_pipeline.LOCK_FILE
    if not lock_file.is_file():
        raise DataError(
            f"{folder}: contains no {dvc_pipeline.LOCK_FILE}; run `synthcxr init` without --upgrade to start a project"
        )
    lock = _read_yaml(lock_file)
    has_own_params = (folder / dvc_pipeline.OWN_PARAMS_FILE).is_file()
    params_name = dvc_pipeline.OWN_PARAMS_FILE if has_own_params else dvc_pipeline.PARAMS_FILE
    yield f"version: the project was made by {lock.get('version')}, installed is {synthcxr.__version__}"
    yield _compare_code(_get_mapping(lock, "stages"))
    yield from _compare_pipeline(_read_yaml(folder / "dvc.yaml"), params_name)
    yield from _compare_params(_read_yaml(folder / params_name), params_name)


def _compare_code(locked: Mapping[str, Any]) -> str:
    installed = import_closure.compute_digests()
    changed = [stage for stage, digest in installed.items() if locked.get(stage) != digest]
    if changed:
        return f"code: changed for {', '.join(changed)}; `dvc repro` reruns these stages and those after them"
    return "code: unchanged for all stages"


def _compare_pipeline(pipeline: Mapping[str, Any], params_name: str) -> Iterator[str]:
    shipped = yaml_files.parse_yaml(dvc_pipeline.render_pipeline(params=params_name, films=None), "dvc.yaml")["stages"]
    present = _get_mapping(pipeline, "stages")
    for name, stage in shipped.items():
        if name not in present or not isinstance(present[name], Mapping):
            yield f"dvc.yaml: stage {name} is new; add it: {stage['cmd']}"
            continue
        for key in ("cmd", "outs", "metrics", "always_changed"):
            if present[name].get(key) != stage.get(key):
                yield f"dvc.yaml: {name}.{key} is now {stage.get(key)!r}, here {present[name].get(key)!r}"
        missing = [dep for dep in stage.get("deps", ()) if dep not in (present[name].get("deps") or ())]
        if missing:
            yield f"dvc.yaml: add to {name}.deps: {', '.join(missing)}"


def _compare_params(params: Mapping[str, Any], params_name: str) -> Iterator[str]:
    path = packaged_files.find("params.yaml")
    shipped = {} if path is None else _read_yaml(path)
    for section, values in shipped.items():
        present = params.get(section)
        if not isinstance(present, Mapping):
            yield f"{params_name}: section {section} is new; the default profile has {values!r}"
            continue
        for key, value in values.items():
            if key not in present:
                yield f"{params_name}: {section}.{key} is new; the default profile has {value!r}"
        yield from (f"{params_name}: {section}.{key} is no longer known" for key in present if key not in values)
    yield from (f"{params_name}: section {section} is no longer known" for section in params if section not in shipped)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    tree = yaml_files.read_yaml(path)
    return tree if isinstance(tree, Mapping) else {}


def _get_mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}

"""What the installed synthcxr changes about a project that an older one made; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import synthcxr
from synthcxr.errors import DataError
from synthcxr.project import dvc_pipeline, import_closure, packaged_files


def run(folder: Path) -> Iterator[str]:
    """A line for each stage whose code, command or outputs changed and for each parameter that came or went.

    DataError for a folder that is no project of synthcxr.
    """
    lock = folder / dvc_pipeline.LOCK
    if not lock.is_file():
        raise DataError(f"{folder}: holds no {dvc_pipeline.LOCK}; `synthcxr init` without --upgrade starts a project")
    held = _read(lock)
    params = dvc_pipeline.OWN_PARAMS if (folder / dvc_pipeline.OWN_PARAMS).is_file() else dvc_pipeline.PARAMS
    yield f"version: {held.get('version')} then, {synthcxr.__version__} now"
    yield from _code(held.get("stages") or {})
    yield from _pipeline(_read(folder / "dvc.yaml"), params)
    yield from _params(_read(folder / params), params)


def _code(held: Mapping[str, Any]) -> Iterator[str]:
    now = {stage: import_closure.digest(module) for stage, module in import_closure.STAGES.items()}
    changed = [stage for stage, digest in now.items() if held.get(stage) != digest]
    if changed:
        yield f"code: changed for {', '.join(changed)}; `dvc repro` reruns them and what follows"
    else:
        yield "code: the same for every stage"


def _pipeline(held: Mapping[str, Any], params: str) -> Iterator[str]:
    ours = YAML(typ="safe", pure=True).load(dvc_pipeline.text(params=params, films=None))["stages"]
    theirs = held.get("stages") or {}
    for name, stage in ours.items():
        if name not in theirs:
            yield f"dvc.yaml: stage {name} is new; add it: {stage['cmd']}"
            continue
        for part in ("cmd", "outs", "metrics", "always_changed"):
            if theirs[name].get(part) != stage.get(part):
                yield f"dvc.yaml: {name}.{part} is now {stage.get(part)!r}, here {theirs[name].get(part)!r}"
        lacking = [dep for dep in stage.get("deps", ()) if dep not in theirs[name].get("deps", ())]
        if lacking:
            yield f"dvc.yaml: {name}.deps lack {', '.join(lacking)}"


def _params(held: Mapping[str, Any], name: str) -> Iterator[str]:
    path = packaged_files.find("params.yaml")
    shipped = {} if path is None else _read(path)
    for section, values in shipped.items():
        theirs = held.get(section)
        if not isinstance(theirs, Mapping):
            yield f"{name}: section {section} is new; the default profile has {values!r}"
            continue
        for key, value in values.items():
            if key not in theirs:
                yield f"{name}: {section}.{key} is new; the default profile has {value!r}"
        yield from (f"{name}: {section}.{key} is no longer known" for key in theirs if key not in values)
    yield from (f"{name}: section {section} is no longer known" for section in held if section not in shipped)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as YAML ({' '.join(str(error).split())[:100]})") from error
    return tree if isinstance(tree, Mapping) else {}

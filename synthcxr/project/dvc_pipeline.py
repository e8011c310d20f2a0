"""The pipeline that ships, as a project's own dvc.yaml: code by its digest, films as input, beside stages of others."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import synthcxr
from synthcxr.errors import ArtifactError, DataError
from synthcxr.project import import_closure, packaged_files

LOCK = "synthcxr.lock"
PARAMS, OWN_PARAMS = "params.yaml", "synthcxr-params.yaml"  # the second beside a params.yaml of others
SOURCES = "${prepare.sources[0].path}"
_HEADING = (
    "The pipeline of synthcxr {version}. Values stand in {params}, paths here. `lock` keeps {lock} in step with\n"
    "the installed synthcxr, so that an upgrade reruns the stages whose code changed and no other."
)


def text(*, params: str, films: str | None) -> str:
    """The dvc.yaml of a project whose values stand in the file `params`; `films` is a dep of `prepare`."""
    path = packaged_files.find("dvc.yaml")
    if path is None:
        raise ArtifactError("the pipeline that ships with synthcxr is missing; install it again")
    yaml = round_trip()
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for name, stage in tree["stages"].items():
        deps = [dep for dep in stage["deps"] if not dep.startswith(f"{import_closure.PACKAGE}/")]
        if name == "prepare" and films:
            deps.append(films)
        stage["deps"] = deps
        if params != PARAMS:
            stage["cmd"] = _command(stage["cmd"], params)
            stage["params"] = [{params: list(stage["params"])}]
        stage["params"].append({LOCK: [f"stages.{name}"]})
        if not deps:
            del stage["deps"]
    tree["stages"].insert(0, "lock", _lock_stage())
    tree["stages"].yaml_set_comment_before_after_key("prepare", before="\n")
    tree.yaml_set_start_comment(_HEADING.format(version=synthcxr.__version__, params=params, lock=LOCK))
    return dump(yaml, tree)


def added_to(theirs: str, ours: str) -> tuple[str, tuple[str, ...]]:
    """Another's dvc.yaml with our stages behind theirs, every line of theirs kept, and what of ours had no place.

    Metrics and plots of ours stand at the end, where theirs has none. DataError for stages of one name and for a file
    that cannot be added to.
    """
    held, brought = _tree(theirs), _tree(ours)
    if same := sorted(set(held.get("stages") or {}) & set(brought["stages"])):
        raise DataError(f"dvc.yaml has stages of these names already: {', '.join(same)}")
    lines = theirs.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    blocks = _blocks(ours)
    if held.get("stages"):
        end = _end(held, "stages", len(lines))
        indent = next(iter(held["stages"].lc.data.values()))[1]
        lines[end:end] = ["\n", *(_indented(line, indent - 2) for line in blocks["stages"][1:])]
    else:
        lines += ["\n", *blocks["stages"]]
    lacking = [name for name in ("metrics", "plots") if name not in held]
    merged = "".join([*lines, *(line for name in lacking for line in ("\n", *blocks[name]))])
    wanted = dict(held) | {"stages": {**(held.get("stages") or {}), **brought["stages"]}}
    if not _holds(merged, wanted | {name: brought[name] for name in lacking}):
        raise DataError("dvc.yaml is laid out so that nothing can be added behind its stages")
    return merged, tuple(name for name in ("metrics", "plots") if name not in lacking)


def round_trip() -> YAML:
    """YAML that keeps comments, laid out as the files that ship, no line broken."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def dump(yaml: YAML, tree: Any) -> str:
    """A tree as text."""
    written = io.StringIO()
    yaml.dump(tree, written)
    return written.getvalue()


def _command(command: str, params: str) -> str:
    if f"--params {PARAMS}" in command:
        return command.replace(f"--params {PARAMS}", f"--params {params}")
    return f"{command} --params {params}"


def _lock_stage() -> dict[str, Any]:
    return {
        "cmd": f"synthcxr lock --out {LOCK}",
        "always_changed": True,
        "outs": [{LOCK: {"cache": False, "persist": True}}],
    }


def _tree(content: str) -> Any:
    try:
        tree = YAML().load(content)
    except YAMLError as error:
        raise DataError(f"dvc.yaml: not readable as YAML ({' '.join(str(error).split())[:100]})") from error
    if tree is not None and not isinstance(tree, Mapping):
        raise DataError("dvc.yaml: holds no mapping")
    return tree or {}


def _holds(content: str, wanted: Any) -> bool:
    try:
        return bool(_tree(content) == wanted)
    except DataError:
        return False


def _end(tree: Any, key: str, n_lines: int) -> int:
    """The line behind the block of a top-level key."""
    starts = sorted(place[0] for place in tree.lc.data.values())
    return next((start for start in starts if start > tree.lc.data[key][0]), n_lines)


def _blocks(content: str) -> dict[str, list[str]]:
    """The lines of each top-level key, without the file's heading."""
    tree, lines = _tree(content), content.splitlines(keepends=True)
    return {key: lines[tree.lc.data[key][0] : _end(tree, key, len(lines))] for key in tree}


def _indented(line: str, by: int) -> str:
    return " " * by + line if by > 0 and line.strip() else line

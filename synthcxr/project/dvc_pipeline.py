"""The dvc.yaml of a project: the packaged pipeline with its films and parameter file, alone or in another dvc.yaml."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

import synthcxr
from synthcxr.errors import ArtifactError, DataError
from synthcxr.project import packaged_files
from synthcxr.storage import guarded_files, yaml_files

LOCK_FILE = "synthcxr.lock"
PARAMS_FILE = "params.yaml"
OWN_PARAMS_FILE = "synthcxr-params.yaml"
"""The parameter file in a project that already has a params.yaml."""
FILMS_PARAMETER = "${prepare.sources[0].path}"
"""The path of the films as a template of DVC, resolved from params.yaml."""

_SECTIONS_AFTER_STAGES = ("metrics", "plots")
_NO_LAYOUT = "dvc.yaml has a layout to which no stages can be added"
_HEADING = (
    "The pipeline of synthcxr {version}. Parameters are in {params}, paths are here.\n"
    "The stage `lock` writes a digest of the code of each stage to {lock}, so that an upgrade reruns only the\n"
    "stages whose code changed."
)


def render_pipeline(*, params: str, films: str | None) -> str:
    """Render the dvc.yaml of a project with the parameter file `params` and `films` as a dependency of `prepare`."""
    path = packaged_files.find("dvc.yaml")
    if path is None:
        raise ArtifactError("dvc.yaml is missing from the installed synthcxr; reinstall it")
    yaml = yaml_files.make_round_trip_yaml()
    tree = yaml_files.parse_with_comments(yaml, guarded_files.read_text(path), path)
    if films:
        tree["stages"]["prepare"].insert(1, "deps", [films])
    if params != PARAMS_FILE:
        for stage in tree["stages"].values():
            if "params" in stage:
                _use_params_file(stage, params)
    tree.yaml_set_start_comment(_HEADING.format(version=synthcxr.__version__, params=params, lock=LOCK_FILE))
    return dump_yaml(yaml, tree)


def merge_pipelines(existing: str, added: str) -> tuple[str, tuple[str, ...]]:
    """Add the stages of one dvc.yaml after those of another, and return the text and the names of omitted sections.

    All lines of `existing` are kept. The sections metrics and plots are added at the end, or omitted if `existing`
    already has them. Raises DataError for stages of the same name, and for a layout that nothing can be added to.
    """
    existing_tree, added_tree = _parse(existing), _parse(added)
    existing_stages = existing_tree.get("stages") or {}
    if not isinstance(existing_stages, Mapping):
        raise DataError("dvc.yaml: stages is not a mapping")
    if duplicates := sorted(set(existing_stages) & set(added_tree["stages"])):
        raise DataError(f"dvc.yaml already has stages named {', '.join(duplicates)}")
    lines = existing.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    blocks = _split_blocks(added)
    if existing_stages:
        positions = existing_tree["stages"].lc.data
        if not positions:
            raise DataError(_NO_LAYOUT)
        end = _find_block_end(existing_tree, "stages", len(lines))
        indent = next(iter(positions.values()))[1]
        lines[end:end] = ["\n", *(_indent(line, indent - 2) for line in blocks["stages"][1:])]
    else:
        lines += ["\n", *blocks["stages"]]
    appended = [name for name in _SECTIONS_AFTER_STAGES if name not in existing_tree]
    merged = "".join([*lines, *(line for name in appended for line in ("\n", *blocks[name]))])
    stages = {**existing_stages, **added_tree["stages"]}
    expected = dict(existing_tree) | {"stages": stages} | {name: added_tree[name] for name in appended}
    if not _parses_to(merged, expected):
        raise DataError(_NO_LAYOUT)
    return merged, tuple(name for name in _SECTIONS_AFTER_STAGES if name not in appended)


def dump_yaml(yaml: YAML, tree: Any) -> str:
    """Return a tree as YAML text."""
    buffer = io.StringIO()
    yaml.dump(tree, buffer)
    return buffer.getvalue()


def _use_params_file(stage: dict[str, Any], params: str) -> None:
    """Let a stage read its parameters from the file `params` instead of params.yaml."""
    command = stage["cmd"]
    option = f"--params {PARAMS_FILE}"
    if option in command:
        stage["cmd"] = command.replace(option, f"--params {params}")
    else:
        stage["cmd"] = f"{command} --params {params}"
    entries = stage["params"]
    sections = [entry for entry in entries if isinstance(entry, str)]
    del entries[: len(sections)]
    entries.insert(0, {params: sections})


def _parse(text: str) -> Any:
    tree = yaml_files.parse_with_comments(yaml_files.make_round_trip_yaml(), text, "dvc.yaml")
    if tree is not None and not isinstance(tree, Mapping):
        raise DataError("dvc.yaml: is not a mapping")
    return tree or {}


def _parses_to(text: str, expected: Any) -> bool:
    try:
        return bool(_parse(text) == expected)
    except DataError:
        return False


def _find_block_end(tree: Any, key: str, n_lines: int) -> int:
    """The line after the block of a top-level key."""
    starts = sorted(position[0] for position in tree.lc.data.values())
    return next((start for start in starts if start > tree.lc.data[key][0]), n_lines)


def _split_blocks(text: str) -> dict[str, list[str]]:
    """The lines of each top-level key, without the heading of the file."""
    tree, lines = _parse(text), text.splitlines(keepends=True)
    return {key: lines[tree.lc.data[key][0] : _find_block_end(tree, key, len(lines))] for key in tree}


def _indent(line: str, n_spaces: int) -> str:
    return " " * n_spaces + line if n_spaces > 0 and line.strip() else line

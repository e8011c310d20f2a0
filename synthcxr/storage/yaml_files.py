"""YAML files: read with the safe loader, with limits on size, nesting and aliases, and errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from synthcxr.errors import DataError
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import ErrorType, RefusedContentError

MAX_BYTES, MAX_DEPTH, MAX_NODES = guarded_files.MIB // 8, 50, 20_000
_CONTENT = "YAML"


def read_yaml(path: Path, *, error: ErrorType = DataError, advice: str = "") -> Any:
    """Parse a YAML file; `error` where it is absent or `parse_yaml` refuses it."""
    data = guarded_files.read_bytes(path, _CONTENT, max_bytes=MAX_BYTES, error=error, advice=advice)
    with guarded_files.report_failure(path, _CONTENT, error=error, advice=advice):
        text = data.decode("utf-8")
    return parse_yaml(text, path, error=error, advice=advice)


def parse_yaml(text: str, name: Path | str, *, error: ErrorType = DataError, advice: str = "") -> Any:
    """Parse YAML text into plain values; `error` begins with `name`.

    Refused are more than one document, unknown tags, nesting deeper than MAX_DEPTH, and more than MAX_NODES values,
    where each alias counts as often as it repeats its anchor.
    """
    return _parse(YAML(typ="safe", pure=True), text, name, error, advice)


def parse_with_comments(yaml: YAML, text: str, name: Path | str, *, error: ErrorType = DataError) -> Any:
    """Parse YAML text like `parse_yaml` with a round-trip `yaml`, whose tree keeps comments and positions."""
    return _parse(yaml, text, name, error, "")


def make_round_trip_yaml() -> YAML:
    """Return a reader and writer that keeps comments, indents as the packaged files do, and breaks no line."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _parse(yaml: YAML, text: str, name: Path | str, error: ErrorType, advice: str) -> Any:
    with guarded_files.report_failure(name, _CONTENT, error=error, advice=advice):
        if len(text) > MAX_BYTES:
            raise RefusedContentError(f"has more than {MAX_BYTES:,} characters")
        _refuse_open_brackets(text)
        _require_limited_nodes(text)
        return yaml.load(text)


def _refuse_open_brackets(text: str) -> None:
    """Refuse text with many more opening than closing brackets, which takes the parser a time that grows as n**2."""
    depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if depth > 2 * MAX_DEPTH:
            raise RefusedContentError(f"is nested deeper than {MAX_DEPTH} levels")


def _require_limited_nodes(text: str) -> None:
    """Count the values of all documents, with aliases expanded, from the parser's events."""
    open_sizes, open_anchors = [0], [""]
    sizes: dict[str, int] = {}
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            if event.anchor in open_anchors:
                raise RefusedContentError(f"contains itself through the alias *{event.anchor}")
            open_sizes[-1] += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionStartEvent):
            open_sizes.append(1)
            open_anchors.append(event.anchor or "")
        elif isinstance(event, CollectionEndEvent):
            size, anchor = open_sizes.pop(), open_anchors.pop()
            sizes[anchor] = size
            open_sizes[-1] += size
        elif isinstance(event, NodeEvent):
            open_sizes[-1] += 1
            sizes[event.anchor or ""] = 1
        if len(open_sizes) > MAX_DEPTH + 1:
            raise RefusedContentError(f"is nested deeper than {MAX_DEPTH} levels")
        if open_sizes[-1] > MAX_NODES:
            raise RefusedContentError(f"contains more than {MAX_NODES:,} values")

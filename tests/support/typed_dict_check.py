"""Check a parsed JSON value against declared types: TypedDicts, lists, unions and literals."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any


def find_mismatches(value: Any, declared: Any, path: str = "$") -> list[str]:
    """What in a parsed JSON value differs from a declared type, one line for each place; empty when all matches."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is typing.Annotated:
        return find_mismatches(value, arguments[0], path)
    if typing.is_typeddict(declared):
        return _find_typeddict_mismatches(value, declared, path)
    if origin is typing.Literal:
        return [] if value in arguments else [f"{path}: {value!r} is not one of {arguments}"]
    if origin in (typing.Union, types.UnionType):
        by_option = [find_mismatches(value, option, path) for option in arguments]
        return min(by_option, key=len)
    if origin is dict:
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is not an object"]
        return [line for key, item in value.items() for line in find_mismatches(item, arguments[1], f"{path}.{key}")]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        if not isinstance(value, list):
            return [f"{path}: {value!r} is not a list"]
        return [line for item in value for line in find_mismatches(item, arguments[0], f"{path}[]")]
    accepted = (int, float) if declared is float else declared
    matches = isinstance(value, accepted) and (declared is bool or not isinstance(value, bool))
    return [] if matches else [f"{path}: {value!r} is not {declared}"]


def _find_typeddict_mismatches(value: Any, declared: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not an object"]
    annotations = typing.get_type_hints(declared, include_extras=True)
    mismatches = [f"{path}.{key}: not declared" for key in value if key not in annotations]
    for key, annotation in annotations.items():
        is_optional = typing.get_origin(annotation) is typing.NotRequired
        if key in value:
            item_type = typing.get_args(annotation)[0] if is_optional else annotation
            mismatches += find_mismatches(value[key], item_type, f"{path}.{key}")
        elif not is_optional:
            mismatches.append(f"{path}.{key}: missing")
    return mismatches

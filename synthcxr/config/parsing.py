"""Building frozen dataclasses from parsed YAML: every key must be known and present, and every value of its type."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal

from synthcxr.errors import ConfigError


def build(target_type: Any, value: Any, where: str, joiner: str = ".") -> Any:
    """Build a `target_type` from `value`; a dataclass, tuple, dict, Literal, optional or plain type.

    ConfigError names a missing, unknown or ill-typed key by its path: `where`, `joiner` and the keys.
    """
    if dataclasses.is_dataclass(target_type):
        return _build_dataclass(typing.cast("type[Any]", target_type), value, where, joiner)
    origin, args = typing.get_origin(target_type), typing.get_args(target_type)
    if origin is types.UnionType:
        return None if value is None else build(args[0], value, where)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        return _build_tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {_describe_type(value)}")
        return {build(args[0], k, f"{where}.{k}"): build(args[1], v, f"{where}.{k}") for k, v in value.items()}
    return _build_plain(target_type, value, where)


def _build_dataclass(target_type: type[Any], value: Any, where: str, joiner: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping, got {_describe_type(value)}")
    hints = typing.get_type_hints(target_type)
    for key in value:
        if key not in hints:
            raise ConfigError(f"{where}{joiner}{key}: unknown key; known: {', '.join(hints)}")
    for key in hints:
        if key not in value:
            raise ConfigError(f"{where}{joiner}{key}: missing")
    return target_type(**{key: build(hint, value[key], f"{where}{joiner}{key}") for key, hint in hints.items()})


def _build_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected a list, got {_describe_type(value)}")
    if args[-1] is Ellipsis:
        return tuple(build(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(args):
        raise ConfigError(f"{where}: expected {len(args)} values, got {len(value)}")
    return tuple(build(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _build_plain(target_type: Any, value: Any, where: str) -> Any:
    if target_type is Any:
        return value
    if target_type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, target_type) or (isinstance(value, bool) and target_type is not bool):
        raise ConfigError(f"{where}: expected {target_type.__name__}, got {_describe_type(value)} {value!r}")
    return value


def _describe_type(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__

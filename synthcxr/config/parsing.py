"""A parsed YAML tree as frozen dataclasses: every value of its declared type, every key known and there."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal

from synthcxr.errors import ConfigError


def build(kind: Any, value: Any, where: str, joiner: str = ".") -> Any:
    """`value` as `kind`, which may be a dataclass, tuple, dict, Literal, union or plain type.

    ConfigError names a missing, unknown or ill-typed key by its path: `where`, `joiner`, the keys.
    """
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast("type[Any]", kind), value, where, joiner)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else build(args[0], value, where)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        return _build_tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, found {_kind(value)}")
        return {build(args[0], k, f"{where}.{k}"): build(args[1], v, f"{where}.{k}") for k, v in value.items()}
    return _build_plain(kind, value, where)


def _build_dataclass(kind: type[Any], value: Any, where: str, joiner: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping, found {_kind(value)}")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise ConfigError(f"{where}{joiner}{key}: unknown key; known: {', '.join(hints)}")
    for key in hints:
        if key not in value:
            raise ConfigError(f"{where}{joiner}{key}: missing")
    return kind(**{key: build(hint, value[key], f"{where}{joiner}{key}") for key, hint in hints.items()})


def _build_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected a list, found {_kind(value)}")
    if args[-1] is Ellipsis:
        return tuple(build(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(args):
        raise ConfigError(f"{where}: expected {len(args)} values, found {len(value)}")
    return tuple(build(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _build_plain(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where}: expected {kind.__name__}, found {_kind(value)} {value!r}")
    return value


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__

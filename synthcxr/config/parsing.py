"""Building typed values from parsed YAML or JSON: every key must be known and present, every value of its type."""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import functools
import math
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypeVar, Union

from synthcxr.config.bounds import Bounds, Length
from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import guarded_files, json_files
from synthcxr.storage.guarded_files import ErrorType

T = TypeVar("T")

_MAX_INTEGER = 2**64
_MAX_SHOWN = 60


class _MismatchError(Exception):
    """A value that does not fit its type; the message begins with its path."""


def read_json(
    target_type: type[T], path: Path, *, error: ErrorType = DataError, advice: str = "", missing_ok: bool = False
) -> T:
    """Read a JSON file as a dataclass or TypedDict; `error` names the file and the path of a value that does not fit.

    A TypedDict may have further keys, which are kept. With `missing_ok` it may lack keys, as older files do.
    """
    tree = json_files.read_json(path, error=error, advice=advice)
    return build_as(target_type, tree, path, error=error, advice=advice, missing_ok=missing_ok)


def parse_json(
    target_type: type[T],
    data: bytes | str,
    name: Path | str,
    *,
    error: ErrorType = DataError,
    advice: str = "",
    missing_ok: bool = False,
) -> T:
    """Parse JSON text like `read_json`; `name` takes the place of the path."""
    tree = json_files.parse_json(data, name, error=error, advice=advice)
    return build_as(target_type, tree, name, error=error, advice=advice, missing_ok=missing_ok)


def build_as(
    target_type: type[T],
    tree: Any,
    name: Path | str,
    *,
    error: ErrorType = DataError,
    advice: str = "",
    missing_ok: bool = False,
) -> T:
    """Build a dataclass or TypedDict from parsed JSON; `error` begins with `name` and ends with `advice`."""
    try:
        built: T = _Builder(missing_ok).build(target_type, tree, str(name), ": ")
    except _MismatchError as mismatch:
        raise error(f"{mismatch}; {advice}" if advice else str(mismatch)) from None
    return built


def build(target_type: Any, value: Any, where: str, joiner: str = ".") -> Any:
    """Build a `target_type` from `value`: a dataclass, TypedDict, tuple, list, dict, Literal, union or plain type.

    ConfigError names a missing, unknown or ill-typed key, or a number out of bounds, by its path: `where`, `joiner`
    and the keys.
    """
    try:
        return _Builder().build(target_type, value, where, joiner)
    except _MismatchError as mismatch:
        raise ConfigError(str(mismatch)) from None


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Builds typed values; with `missing_ok`, the keys of a TypedDict may be absent."""

    missing_ok: bool = False

    def build(self, target_type: Any, value: Any, where: str, joiner: str = ".") -> Any:
        if dataclasses.is_dataclass(target_type):
            return self._build_dataclass(target_type, value, where, joiner)
        if typing.is_typeddict(target_type):
            return self._build_typed_dict(target_type, value, where, joiner)
        origin, args = typing.get_origin(target_type), typing.get_args(target_type)
        if origin is Annotated:
            return _require_limit(self.build(args[0], value, where), args[1], where)
        if origin in (types.UnionType, Union):
            return self._build_union(args, value, where)
        if origin is Literal:
            if not any(value == arg and type(value) is type(arg) for arg in args):
                names = [str(arg) for arg in args]
                near = difflib.get_close_matches(str(value)[:_MAX_SHOWN], names, 1, cutoff=0.75)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise _MismatchError(f"{where}: {_show(value)} is not one of {', '.join(names)}{hint}")
            return value
        if origin is tuple:
            return self._build_tuple(args, value, where)
        if origin in (list, collections.abc.Sequence):
            return list(self._build_tuple((args[0], ...), value, where))
        if origin in (dict, collections.abc.Mapping):
            _require_mapping(value, where)
            places = {key: f"{where}.{_show(key, str)}" for key in value}
            return {self.build(args[0], k, places[k]): self.build(args[1], v, places[k]) for k, v in value.items()}
        return self._build_plain(target_type, value, where)

    def _build_dataclass(self, target_type: Any, value: Any, where: str, joiner: str) -> Any:
        _require_mapping(value, where)
        hints, fields = _read_hints(target_type), dataclasses.fields(target_type)
        for key in value:
            if key not in hints:
                raise _MismatchError(f"{where}{joiner}{_show(key, str)}: unknown key; known: {', '.join(hints)}")
        for field in fields:
            has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if field.name not in value and not has_default:
                raise _MismatchError(f"{where}{joiner}{field.name}: missing")
        return target_type(
            **{key: self.build(hints[key], item, f"{where}{joiner}{key}") for key, item in value.items()}
        )

    def _build_typed_dict(self, target_type: Any, value: Any, where: str, joiner: str) -> dict[str, Any]:
        _require_mapping(value, where)
        built = dict(value)
        for key, hint in _read_hints(target_type).items():
            is_optional = typing.get_origin(hint) is NotRequired
            if key in value:
                built[key] = self.build(
                    typing.get_args(hint)[0] if is_optional else hint, value[key], f"{where}{joiner}{key}"
                )
            elif not is_optional and not self.missing_ok:
                raise _MismatchError(f"{where}{joiner}{key}: missing")
        return built

    def _build_union(self, args: tuple[Any, ...], value: Any, where: str) -> Any:
        """Build the first type that fits; if none does, report the mismatch with the deepest path."""
        if value is None and types.NoneType in args:
            return None
        mismatches = []
        for arg in args:
            if arg is types.NoneType:
                continue
            try:
                return self.build(arg, value, where)
            except _MismatchError as mismatch:
                mismatches.append(mismatch)
        raise max(mismatches, key=lambda mismatch: len(str(mismatch).partition(": ")[0]))

    def _build_tuple(self, args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise _MismatchError(f"{where}: expected a list, got {_describe_type(value)}")
        if args[-1] is Ellipsis:
            return tuple(self.build(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(args):
            raise _MismatchError(f"{where}: expected {len(args)} values, got {len(value)}")
        return tuple(
            self.build(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True))
        )

    def _build_plain(self, target_type: Any, value: Any, where: str) -> Any:
        if target_type is object:
            return value
        if target_type is Any:
            return self._require_plain(value, where)
        if (
            target_type is float
            and isinstance(value, int)
            and not isinstance(value, bool)
            and abs(value) < _MAX_INTEGER
        ):
            return float(value)
        if not isinstance(value, target_type) or (isinstance(value, bool) and target_type is not bool):
            raise _MismatchError(
                f"{where}: expected {target_type.__name__}, got {_describe_type(value)} {_show(value)}"
            )
        if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
            raise _MismatchError(
                f"{where}: expected an integer of at most 64 bits, got one of {value.bit_length()} bits"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise _MismatchError(f"{where}: must be a finite number, is {value}")
        if isinstance(value, str):
            try:
                guarded_files.require_encodable(value)
            except guarded_files.RefusedContentError as error:
                raise _MismatchError(f"{where}: {error}") from None
        return value

    def _require_plain(self, value: Any, where: str) -> Any:
        """Require mappings, lists and plain values at any depth; YAML also has dates, bytes and sets."""
        if isinstance(value, dict):
            return {
                self.build(str | int, key, where): self._require_plain(item, f"{where}.{key}")
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._require_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        if not isinstance(value, str | int | float):
            raise _MismatchError(f"{where}: expected a plain value, got {_describe_type(value)} {_show(value)}")
        return self.build(type(value), value, where)


@functools.cache
def _read_hints(target_type: Any) -> dict[str, Any]:
    return typing.get_type_hints(target_type, include_extras=True)


def _require_limit(value: Any, bounds: Bounds | Length, where: str) -> Any:
    if isinstance(bounds, Length):
        if len(value) != bounds.n:
            raise _MismatchError(f"{where}: expected {bounds.n} values, got {len(value)}")
        return value
    violation = bounds.describe_violation(value)
    if violation is not None:
        raise _MismatchError(f"{where}: must be {violation}, is {value:{'g' if isinstance(value, float) else ','}}")
    return value


def _require_mapping(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise _MismatchError(f"{where}: expected a mapping, got {_describe_type(value)}")


def _describe_type(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def _show(value: Any, show: typing.Callable[[Any], str] = repr) -> str:
    """Show a value in a message, shortened; a huge integer cannot be shown."""
    if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
        return f"of {value.bit_length()} bits"
    text = " ".join(show(value).split())
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."

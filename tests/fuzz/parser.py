"""What the fuzz suite needs to know of a parser: name, format of the input, valid inputs, and how to call it."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

MODULES = tuple(
    f"fuzz.parsers.{name}"
    for name in (
        *("films", "dicom", "packed_films", "synthetic_dataset", "generation", "evaluation", "reports", "project"),
        *("models", "training", "reader_study", "registry", "serving", "texts"),
    )
)
"""The modules that declare parsers, each in a list PARSERS."""


@dataclasses.dataclass(frozen=True)
class OpenParser:
    """A parser that is ready to run: valid inputs, which it must accept, and the call with one input.

    `seeds` are further inputs to start from; the parser may refuse them.
    """

    examples: Sequence[bytes]
    parse: Callable[[bytes], object]
    seeds: Sequence[bytes] = ()


@dataclasses.dataclass(frozen=True)
class Parser:
    """One parser of the product.

    `format` selects the mutators. `open` writes what the parser needs beside its input into an empty folder; it imports
    the product, so that a process loads only what it uses. A slow parser gets the part `share` of the usual inputs.
    """

    name: str
    format: str
    open: Callable[[Path], OpenParser]
    share: float = 1.0


def load_parsers(modules: Sequence[str] = MODULES) -> dict[str, Parser]:
    """Import the declarations and return the parsers by name."""
    parsers = [parser for module in modules for parser in importlib.import_module(module).PARSERS]
    by_name = {parser.name: parser for parser in parsers}
    if len(by_name) < len(parsers):
        raise ValueError("two parsers have the same name")
    return by_name


def parse_file(path: Path, parse: Callable[[], object]) -> Callable[[bytes], object]:
    """Return a call that writes its input to `path` and then runs `parse`."""

    def write_and_parse(data: bytes) -> object:
        path.write_bytes(data)
        return parse()

    return write_and_parse


def decode_text(data: bytes) -> str:
    """Decode an input for a parser that takes text; lone surrogates pass, as they do in arguments and JSON."""
    return data.decode("utf-8", errors="surrogateescape")

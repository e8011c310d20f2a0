"""Parsers that fail in every way that the fuzz suite must notice, to test the suite itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser

from synthcxr.errors import DataError

N_BYTES = 64


def _open(fail: Callable[[bytes], object]) -> Callable[[Path], OpenParser]:
    """A parser of 64 zeros that refuses other lengths, and that fails where any byte is not 0."""

    def parse(data: bytes) -> None:
        if len(data) != N_BYTES:
            raise DataError("not 64 bytes")
        if any(data):
            fail(data)

    return lambda root: OpenParser((bytes(N_BYTES),), parse)


def _raise_key_error(data: bytes) -> None:
    raise KeyError(data[:1])


def _use_memory(data: bytes) -> None:
    bytearray(5 * 1024**3)


def _refuse_everything(data: bytes) -> None:
    raise DataError("no")


PARSERS = [
    Parser("raises", "binary", _open(_raise_key_error)),
    Parser("aborts", "binary", _open(lambda data: os.abort())),
    Parser("exits", "binary", _open(lambda data: os._exit(0))),
    Parser("hangs", "binary", _open(lambda data: time.sleep(3600))),
    Parser("fills_memory", "binary", _open(_use_memory)),
    Parser("holds", "binary", _open(_refuse_everything)),
    Parser("refuses_its_example", "binary", lambda root: OpenParser((b"x",), _refuse_everything)),
]

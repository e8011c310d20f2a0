"""What has been made already: one line a block of candidates, written after the block's images.

A process may be killed at any moment, so a reader takes whole lines only and stops at the first that is not one.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.records import Record

NAME = "journal.jsonl"


@dataclasses.dataclass(frozen=True)
class Line:
    """A block's images. `draws` is the first candidate not yet looked at, `wall_s` the seconds the block took.

    `runs` counts the images that the generator made for it; `latents` are those of a search, packed, or empty where
    each image's is its candidate's own.
    """

    draws: int
    wall_s: float
    records: tuple[Record, ...]
    runs: int = 0
    latents: str = ""


class Journal:
    """The journal of one growing dataset."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: Line) -> None:
        """Add one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(line)) + "\n")

    def lines(self) -> Iterator[Line]:
        """The whole lines, up to the first that is cut or broken."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for raw in file:
                line = _parse(raw)
                if line is None:
                    return
                yield line

    def records(self) -> Iterator[Record]:
        """Every image so far, in candidate order."""
        for line in self.lines():
            yield from line.records

    def totals(self) -> tuple[int, int]:
        """How many images there are so far, of how many candidates looked at."""
        found, draws = 0, 0
        for line in self.lines():
            found, draws = found + len(line.records), line.draws
        return found, draws

    def runs(self) -> int:
        """How many images the generator made so far, kept or not."""
        return sum(line.runs for line in self.lines())

    def cut(self, n_lines: int) -> None:
        """Keep the first `n_lines` lines."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as file:
            for _ in range(n_lines):
                file.readline()
            file.truncate(file.tell())


def packed(latents: NDArray[np.float32] | None) -> str:
    """Latents [k, Z] as a line holds them."""
    return "" if latents is None else base64.b64encode(latents.astype("<f4").tobytes()).decode("ascii")


def unpacked(latents: str, size: int) -> NDArray[np.float32]:
    """The latents [k, size] that a line holds, of any kind of machine."""
    return np.frombuffer(base64.b64decode(latents), "<f4").reshape(-1, size).astype(np.float32)


def _parse(raw: bytes) -> Line | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        fields = json.loads(raw)
        held = tuple(_record(row) for row in fields["records"])
        return Line(fields["draws"], fields["wall_s"], held, fields.get("runs", 0), fields.get("latents", ""))
    except (ValueError, KeyError, TypeError):
        return None


def _record(fields: dict[str, object]) -> Record:
    held = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Record(**held)  # type: ignore[arg-type]

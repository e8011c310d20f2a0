"""The journal of an unfinished dataset: one JSON line per block of candidates, appended after the block's images.

A process may be killed at any moment. Readers therefore stop at the first line that is incomplete or invalid.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.bounds import NimgOrZero
from synthcxr.data.synthetic_dataset import ImageRecord, refuse_names_outside
from synthcxr.errors import DataError
from synthcxr.storage import json_files

JOURNAL_FILE = "journal.jsonl"
_JUDGE_KEY = "judged"


@dataclasses.dataclass(frozen=True)
class JournalLine:
    """One block of candidates. The field names are the keys of the JSON line.

    `draws` is the first candidate that has not been examined, `wall_s` the time that the block took in seconds and
    `runs` the number of images that the generator made for it. `latents` holds the encoded latents of a guided or
    optimised block; it is empty if each image has the latent of its candidate.
    """

    draws: NimgOrZero
    wall_s: float
    records: tuple[ImageRecord, ...]
    runs: NimgOrZero = 0
    latents: str = ""


class Journal:
    """Appends to, reads and truncates one journal file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: JournalLine) -> None:
        """Add one line."""
        with self.path.open("a", encoding="utf-8") as file:
            fields = dataclasses.asdict(line)
            for record in fields["records"]:
                record[_JUDGE_KEY] = record.pop("judge_probabilities")
            file.write(json.dumps(fields) + "\n")

    def lines(self) -> Iterator[JournalLine]:
        """Yield the lines up to the first that is incomplete or invalid."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for raw in file:
                line = _parse_line(raw)
                if line is None:
                    return
                yield line

    def has_line(self) -> bool:
        """Whether at least one line is valid."""
        return next(self.lines(), None) is not None

    def records(self) -> Iterator[ImageRecord]:
        """Yield the records of all images in candidate order."""
        for line in self.lines():
            yield from line.records

    def count_images_and_draws(self) -> tuple[int, int]:
        """Count the images, and the candidates that have been examined for them."""
        n_images, draws = 0, 0
        for line in self.lines():
            n_images, draws = n_images + len(line.records), line.draws
        return n_images, draws

    def truncate(self, n_lines: int) -> None:
        """Keep only the first `n_lines` lines."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as file:
            for _ in range(n_lines):
                file.readline()
            file.truncate(file.tell())


def encode_latents(latents: NDArray[np.float32] | None) -> str:
    """Encode latents [k, Z] for a line; an empty string for None."""
    return "" if latents is None else base64.b64encode(latents.astype("<f4").tobytes()).decode("ascii")


def decode_latents(latents: str, size: int) -> NDArray[np.float32]:
    """Decode latents [k, size] in the byte order of this machine."""
    try:
        return np.frombuffer(base64.b64decode(latents, validate=True), "<f4").reshape(-1, size).astype(np.float32)
    except ValueError as error:
        raise DataError(f"{JOURNAL_FILE}: has damaged latents ({error}); generate the dataset again") from error


def _parse_line(raw: bytes) -> JournalLine | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        fields = json_files.parse_json(raw, JOURNAL_FILE)
        for record in fields["records"]:
            record["judge_probabilities"] = record.pop(_JUDGE_KEY)
        line = parsing.build_as(JournalLine, fields, JOURNAL_FILE)
        refuse_names_outside(Path(JOURNAL_FILE), (record.file_name for record in line.records))
    except (DataError, LookupError, TypeError, AttributeError):
        return None
    return line

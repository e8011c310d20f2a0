"""Why `prepare` leaves films out: the reasons, declared once, and the lines that readers report about them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable
from typing import Self


class Reason(enum.Enum):
    """Why something in a source is not packed; the value is the text of the table that `prepare` prints."""

    ABSENT = "listed in a table, but there is no file"
    NOT_LISTED = "not listed in the table of labels"
    MASK = "mask of another image"
    MODALITY = "DICOM file of another modality"
    BODY_PART = "DICOM file of another body part"
    FOR_PROCESSING = "DICOM file for processing, or a directory"
    NOT_FRONTAL = "lateral, or not known to be frontal"
    OTHER_VIEW = "not of prepare.view, or of an unknown view"
    DUPLICATES = "smaller duplicate with the same name"
    UNREADABLE = "cannot be read"
    CONTRADICTORY = "contradictory labels in its row"
    IMPLAUSIBLE = "blank, or without contrast"

    @property
    def key(self) -> str:
        """The key in dataset.json."""
        return self.name.lower()

    def __str__(self) -> str:
        """The key, also in JSON."""
        return self.key


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """How many films are left out for one reason, and the first of them."""

    reason: Reason
    n: int
    first: str


class LeftOutLine(str):
    """A line about films that are left out, which can be reported like any other line, with the numbers in `parts`."""

    parts: tuple[LeftOut, ...]

    def __new__(cls, line: str, *parts: LeftOut) -> Self:
        """Build the line, with the films that it is about by reason."""
        text = super().__new__(cls, line)
        text.parts = parts
        return text


def report_left_out(report: Callable[[str], None], line: str, reason: Reason, n: int, first: object) -> None:
    """Report a line about `n` films that are left out for one reason; `first` names the first."""
    report(LeftOutLine(line, LeftOut(reason, n, str(first))))


def sum_by_reason(parts: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Sum the numbers of each reason, in the order of `Reason`, and keep the first film of each."""
    totals: dict[Reason, LeftOut] = {}
    for part in parts:
        known = totals.get(part.reason, LeftOut(part.reason, 0, part.first))
        totals[part.reason] = dataclasses.replace(known, n=known.n + part.n)
    return tuple(totals[reason] for reason in Reason if reason in totals)

"""The journal: whole lines only, whatever a killed process left behind."""

from __future__ import annotations

from pathlib import Path

from synthcxr.data.records import Record
from synthcxr.writers.journal import Journal, Line

RECORD = Record("images/00000/00000000.png", 3, 2**64 - 1, "", ("No Finding",), (0.1,) * 14, 1.0, "ab" * 32)
LINES = [Line(8, 0.5, (RECORD, RECORD)), Line(16, 0.25, ()), Line(24, 0.125, (RECORD,))]


def test_round_trip(tmp_path: Path) -> None:
    """Lines come back as they were appended; a journal that was never begun has none."""
    journal = Journal(tmp_path / "journal.jsonl")
    assert list(journal.lines()) == []
    for line in LINES:
        journal.append(line)
    assert list(journal.lines()) == LINES
    assert list(journal.records()) == [RECORD] * 3


def test_a_cut_last_line(tmp_path: Path) -> None:
    """Cut anywhere in its last line, the journal still gives the lines before it."""
    journal = Journal(tmp_path / "journal.jsonl")
    for line in LINES:
        journal.append(line)
    whole = journal.path.read_bytes()
    end = whole.rindex(b"\n", 0, -1) + 1
    for n_bytes in range(end, len(whole)):
        journal.path.write_bytes(whole[:n_bytes])
        assert list(journal.lines()) == LINES[:2]


def test_a_broken_line(tmp_path: Path) -> None:
    """Nothing after a line that is no line of ours is believed, and cutting there lets it go on."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(LINES[0])
    with journal.path.open("ab") as file:
        file.write(b"\x00\x00{]\n")
    journal.append(LINES[1])
    assert list(journal.lines()) == LINES[:1]
    journal.cut(1)
    journal.append(LINES[2])
    assert list(journal.lines()) == [LINES[0], LINES[2]]

"""The journal: only complete lines count, whatever a killed process left."""

from __future__ import annotations

from pathlib import Path

from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.writers.journal import Journal, JournalLine

RECORD = ImageRecord("images/00000/00000000.png", 3, 2**64 - 1, "", ("No Finding",), (0.1,) * 14, 1.0, "ab" * 32)
LINES = [JournalLine(8, 0.5, (RECORD, RECORD)), JournalLine(16, 0.25, ()), JournalLine(24, 0.125, (RECORD,))]


def test_lines_are_read_back(tmp_path: Path) -> None:
    """Lines come back as they were appended; a journal without a file has none."""
    journal = Journal(tmp_path / "journal.jsonl")
    assert list(journal.lines()) == []
    for line in LINES:
        journal.append(line)
    assert list(journal.lines()) == LINES
    assert list(journal.records()) == [RECORD] * 3


def test_incomplete_last_line_is_ignored(tmp_path: Path) -> None:
    """If the file ends anywhere within its last line, the lines before it are read."""
    journal = Journal(tmp_path / "journal.jsonl")
    for line in LINES:
        journal.append(line)
    content = journal.path.read_bytes()
    start_of_last = content.rindex(b"\n", 0, -1) + 1
    for n_bytes in range(start_of_last, len(content)):
        journal.path.write_bytes(content[:n_bytes])
        assert list(journal.lines()) == LINES[:2]


def test_lines_after_an_invalid_line_are_ignored(tmp_path: Path) -> None:
    """Reading stops at an invalid line; after truncation there, lines can be appended again."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(LINES[0])
    with journal.path.open("ab") as file:
        file.write(b"\x00\x00{]\n")
    journal.append(LINES[1])
    assert list(journal.lines()) == LINES[:1]
    journal.truncate(1)
    journal.append(LINES[2])
    assert list(journal.lines()) == [LINES[0], LINES[2]]

"""SQLite files: what is wrong with one is one line, and a new one appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from synthcxr.errors import ArtifactError
from synthcxr.storage import sqlite_store


def build(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1)")


def test_contents_are_the_tables_with_and_without_rows(tmp_path: Path) -> None:
    """Tables that have rows are told from empty ones, whatever their names."""
    build(tmp_path / "x.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.executescript(
            """CREATE TABLE "a""b c" (x); CREATE TABLE alembic_version (version_num);
            INSERT INTO alembic_version VALUES ('r1')"""
        )
    contents = sqlite_store.read_contents(tmp_path / "x.db", name="x")
    assert (contents.filled, contents.empty) == ({"a", "alembic_version"}, {"b", 'a"b c'})
    assert contents.revisions == ("r1",)


@pytest.mark.parametrize(
    ("size", "content", "message"),
    [
        (None, b"no database at all, but text", "x: is not a database; move it away"),
        (None, b"SQLite format 3\0" + b"\xff" * 4096, "x: is not a database|x: is damaged"),
        (5000, None, "x: is damaged or cut short"),
        (4096, None, "x: is damaged or cut short"),
        (60, None, "x: is not a database|x: is damaged"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, size: int | None, content: bytes | None, message: str) -> None:
    """Another file and a truncated one are refused, and stay as they are."""
    path = tmp_path / "x.db"
    build(path)
    broken = content if content is not None else path.read_bytes()[:size]
    path.write_bytes(broken)
    with pytest.raises(ArtifactError, match=message):
        sqlite_store.read_contents(path, name="x")
    assert path.read_bytes() == broken


def test_a_message_of_sqlite_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """The name of a damaged table is in the message, with bytes that Python cannot decode."""
    path = tmp_path / "x.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE answers (x)")
    content = path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABXE")
    path.write_bytes(content.replace(b"answers", b"answer\xff", 1))
    with pytest.raises(ArtifactError, match="x: cannot be used"):
        sqlite_store.read_contents(path, name="x")


def test_a_pipe_and_a_folder_are_no_database(tmp_path: Path) -> None:
    """Neither waits for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match="x: is not a file"):
            sqlite_store.read_contents(path, name="x")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A write to a read-only database names the file and what it needs."""
    build(tmp_path / "x.db")
    with (
        pytest.raises(ArtifactError, match="x: is not writable; give write access"),
        sqlite_store.open_database(tmp_path / "x.db", name="x") as database,
    ):
        database.execute("PRAGMA query_only = ON")
        database.execute("INSERT INTO a VALUES (2)")


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    """Whatever ends the build, neither a database nor a partial file nor a lock stays; an old file stays as it was."""
    (tmp_path / "x.db").write_bytes(b"old")

    def fail(path: Path) -> None:
        build(path)
        path.with_name(f"{path.name}-journal").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sqlite_store.create(tmp_path / "x.db", fail, name="x", is_complete=lambda: False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.db": b"old"}


def test_each_replaced_file_is_kept(tmp_path: Path) -> None:
    """An unfinished file is renamed to a name that no other file has."""
    kept = []
    for content in (b"one", b"two"):
        (tmp_path / "x.db").write_bytes(content)
        kept.append(sqlite_store.create(tmp_path / "x.db", build, name="x", is_complete=lambda: False))
    assert [(path.name, path.read_bytes()) for path in kept if path] == [
        ("x.db.unfinished", b"one"),
        ("x.db.unfinished-2", b"two"),
    ]
    assert "a" in sqlite_store.read_contents(tmp_path / "x.db", name="x").filled


def test_only_one_of_two_processes_builds(tmp_path: Path) -> None:
    """While one builds, the other waits, and then uses that database instead of building its own."""
    path, first_builds, builders = tmp_path / "x.db", threading.Event(), []

    def build_slowly(partial: Path) -> None:
        builders.append(partial)
        first_builds.set()
        assert not path.exists()
        build(partial)

    def create() -> None:
        sqlite_store.create(path, build_slowly, name="x", is_complete=path.exists)

    other = threading.Thread(target=create)
    other.start()
    first_builds.wait()
    create()
    other.join()
    assert len(builders) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"x.db"}

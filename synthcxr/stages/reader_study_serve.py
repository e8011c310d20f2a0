"""Serve a reader study, or its lessons, to browsers. A person runs it, DVC does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synthcxr.errors import DataError
from synthcxr.reader_study import answer_key as keys
from synthcxr.reader_study import app, public_files, server, teaching
from synthcxr.reader_study.answer_store import FILES, Answers
from synthcxr.reader_study.public_files import Served
from synthcxr.reader_study.teaching import Lesson


def run(
    study: Path, *, teach: bool, host: str, port: int, tls_cert: Path | None, tls_key: Path | None,
    proxy: str | None, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve a study, or its lessons, until interrupted.

    ConfigError for an address that could be overheard or is taken; DataError for a folder that holds no study, for
    one that only teaches, and for teaching while readers are at work on it.
    """
    server.check(host=host, tls_cert=tls_cert, tls_key=tls_key, proxy=proxy)
    shown = public_files.read(study)
    taught = _lessons(study, shown) if teach else None
    if taught is not None:
        shown = teaching.only(shown, taught)
    elif shown.only_teaches:
        raise DataError(f"{study}: holds synthetic images alone and tests nobody; serve it with --mode teach")
    with server.listen(host, port) as opened:
        port = opened.getsockname()[1]
        origins = server.origins(host=host, port=port, tls=tls_cert is not None, proxy=proxy)
        made = app.make(
            study, shown, Answers(study / FILES[teach], shown.study), origins=origins, taught=taught,
            key=study / keys.FOLDER,
        )  # fmt: skip
        say(f"{'lessons' if teach else 'study'} at {min(origins.held)}")
        server.run(made, opened, tls_cert=tls_cert, tls_key=tls_key, proxy=proxy, say=say)


def _lessons(study: Path, shown: Served) -> dict[str, Lesson]:
    """What teaching shows; DataError while a reader is in the middle of the study, whom it would tell the answers."""
    database = study / FILES[False]
    if database.is_file():
        answers = Answers(database, shown.study)
        late = [r.number for r in shown.readers if 0 < len(answers.versions(r.number)) < len(r.cases)]
        if late:
            raise DataError(f"{study}: reader {late[0]} is in the middle of it, and teaching tells which are synthetic")
    return teaching.read(study / keys.FOLDER)

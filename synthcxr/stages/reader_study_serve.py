"""Serve a reader study, or its lessons, to browsers. This command is run by a person, not by DVC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synthcxr.errors import DataError
from synthcxr.reader_study import server
from synthcxr.reader_study.answer_key import KEY_FOLDER
from synthcxr.reader_study.answer_store import STUDY_DATABASE, TEACHING_DATABASE, AnswerStore
from synthcxr.reader_study.app import build_app
from synthcxr.reader_study.public_files import ServedStudy, read_served_study
from synthcxr.reader_study.teaching import Lesson, read_lessons, select_lesson_screens


def run(
    folder: Path, *, teach: bool, host: str, port: int, tls_cert: Path | None, tls_key: Path | None,
    proxy: str | None, print_line: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve the study in `folder`, or its lessons, until interrupted.

    Raises ConfigError for an address that is not encrypted or is in use. Raises DataError if the folder contains no
    study, if the study can only teach and `teach` is false, or if a reader has not finished it and `teach` is true.
    """
    server.check_address(host=host, tls_cert=tls_cert, tls_key=tls_key, proxy=proxy)
    study = read_served_study(folder)
    lessons = _read_lessons(folder, study) if teach else None
    if lessons is not None:
        study = select_lesson_screens(study, lessons)
    elif study.only_teaches:
        raise DataError(f"{folder}: contains only synthetic images and cannot test readers; give --mode teach")
    with server.open_socket(host, port) as listener:
        port = listener.getsockname()[1]
        origins = server.build_origins(host=host, port=port, tls=tls_cert is not None, proxy=proxy)
        answers = AnswerStore(folder / (TEACHING_DATABASE if teach else STUDY_DATABASE), study.study)
        app = build_app(folder, study, answers, origins=origins, lessons=lessons, key_folder=folder / KEY_FOLDER)
        print_line(f"serving the {'lessons' if teach else 'study'} at {min(origins.urls)}")
        server.serve_app(app, listener, tls_cert=tls_cert, tls_key=tls_key, proxy=proxy, print_line=print_line)


def _read_lessons(folder: Path, study: ServedStudy) -> dict[str, Lesson]:
    """Read the lessons; DataError while a reader has not finished the study, because lessons reveal its answers."""
    database = folder / STUDY_DATABASE
    if database.is_file():
        answers = AnswerStore(database, study.study)
        unfinished = [
            reader.number
            for reader in study.readers
            if 0 < len(answers.get_versions(reader.number)) < len(reader.cases)
        ]
        if unfinished:
            raise DataError(
                f"{folder}: reader {unfinished[0]} has not finished the study, and lessons reveal which images are"
                " synthetic; teach after all readers have finished"
            )
    return read_lessons(folder / KEY_FOLDER)

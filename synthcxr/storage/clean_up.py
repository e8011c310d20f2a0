"""Clean-up that runs although a signal interrupts it: after its block, or at the latest when the command ends."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.storage import stop_signals

_tasks: dict[int, Callable[[], None]] = {}


@contextlib.contextmanager
def ensured(task: Callable[[], None]) -> Iterator[None]:
    """Run `task` after the block. If a signal interrupts the task, `run_remaining` runs it again."""
    key = id(task)
    _tasks[key] = task
    try:
        yield
    finally:
        task()
        _tasks.pop(key, None)


def run_remaining() -> None:
    """Run the tasks that a signal has interrupted, the last first; for the end of a command."""
    with stop_signals.deferred():
        while _tasks:
            _, task = _tasks.popitem()
            with contextlib.suppress(Exception):  # the command has its result; no further line can help
                task()


@contextlib.contextmanager
def temporary_folder(prefix: str, *, parent: Path | None = None) -> Iterator[Path]:
    """Give an empty private folder, in `parent` or in the folder for temporary files, and remove it after the block."""
    folders: list[str] = []

    def remove() -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    with ensured(remove):
        with stop_signals.deferred():
            folders.append(tempfile.mkdtemp(prefix=prefix, dir=parent))
        yield Path(folders[0])

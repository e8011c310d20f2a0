"""Locks between processes, each on a file of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from synthcxr.errors import SynthCXRError


class LockedError(SynthCXRError):
    """Another process holds the lock."""


@contextlib.contextmanager
def file_lock(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, which exists only while a process holds or waits for it.

    The operating system releases the lock when its process dies. Raises LockedError when another process holds the
    lock for longer than `wait_s` seconds, and OSError when the file cannot be created.
    """
    # A soft lock (a file system without flock) would outlive a killed process.
    lock = FileLock(path, timeout=wait_s, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(f"{path}: locked by another process; wait for it and try again") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows does not remove an open file; an unlocked file is harmless
            path.unlink()
        lock.release()

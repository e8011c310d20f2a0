"""One promotion at a time in a store that is a file: the folder that holds it is locked."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from synthcxr.errors import ArtifactError
from synthcxr.registry import tracking_uri

WAIT_S = 30.0
_POLL_S = 0.1


@contextlib.contextmanager
def promoting(uri: str, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the folder of a sqlite store; ArtifactError where another holds it for longer than `wait_s`.

    The system frees it when its holder dies. A server's store is not ours to lock: see promotion.py.
    """
    database = tracking_uri.database(uri)
    if database is None:
        yield
        return
    descriptor = os.open(database.absolute().parent, os.O_RDONLY)
    try:
        _acquire(descriptor, uri, wait_s)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, uri: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ArtifactError(
                    f"{tracking_uri.shown(uri)}: another promotion is under way; wait for it and try again"
                ) from None
            time.sleep(_POLL_S)
        else:
            return

"""The time at which the caller of a served model no longer waits."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

TIMEOUT_VARIABLE = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"
"""Seconds after which a scoring server answers 504; `mlflow models serve` always sets it."""


@dataclasses.dataclass(frozen=True)
class Deadline:
    """The time, by the monotonic clock, at which the caller no longer waits; None without a limit."""

    time_s: float | None

    @classmethod
    def from_environment(cls) -> Deadline:
        """The deadline of a call that starts now; a limit exists only in a scoring server."""
        try:
            return cls(time.monotonic() + float(os.environ[TIMEOUT_VARIABLE]))
        except (KeyError, ValueError):
            return cls(None)

    def check(self) -> None:
        """Raise MLflow's error with status 504 if the time is over."""
        if self.time_s is not None and time.monotonic() >= self.time_s:
            _raise_timed_out()

    @contextlib.contextmanager
    def acquire(self, lock: threading.Lock) -> Iterator[None]:
        """Hold the lock; the wait for it ends at the deadline."""
        timeout_s = -1 if self.time_s is None else max(0.0, self.time_s - time.monotonic())
        if not lock.acquire(timeout=timeout_s):
            _raise_timed_out()
        try:
            yield
        finally:
            lock.release()


def _raise_timed_out() -> NoReturn:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import DEADLINE_EXCEEDED

    message = f"the call took longer than {TIMEOUT_VARIABLE} allows; request fewer images, or raise it"
    raise MlflowException(message, error_code=DEADLINE_EXCEEDED)

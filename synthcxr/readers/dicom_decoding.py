"""Decode compressed DICOM pixels in worker processes, because a native decoder may abort or hang on a corrupt stream.

A worker is started when a thread needs one and none is idle, so there are at most as many as threads that decode. It
stays for further films until this process ends, and a worker that crashed or was stopped is not used again.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import dicom_worker
from synthcxr.readers.dicom_worker import ANSWER, FAILED, READY, REQUEST, Options, Request

_VALUE_TYPES = {b"u1", b"i1", b"u2", b"i2", b"u4", b"i4"}
_START_LIMIT_S = 120
_LEAST_LIMIT_S, _PIXELS_PER_LIMIT_S = 8, 500_000
"""Decoders read 5 to 40 million pixels per second of a core; the limit is for a busy machine."""
_MAX_NAME_BYTES = 100
_START_FAILED = "cannot start a process that decodes DICOM films"


class DecodingError(DataError):
    """A film cannot be decoded. The message is the reason; `exception` names what the decoder raised, if it did."""

    def __init__(self, reason: str, *, exception: str = "") -> None:
        super().__init__(reason)
        self.exception = exception


class DecoderPool:
    """Worker processes that run the program `script`; threads may share the pool."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def decode(self, transfer_syntax: str, options: Options, data: bytes) -> NDArray[np.generic]:
        """Decode pixel data to its stored values [rows, columns].

        Raises DecodingError if the decoder fails, crashes, takes too long or returns too few or too many values, and
        ConfigError if no worker can be started.
        """
        worker = self._take_idle() or _Worker(self._script)
        try:
            return worker.decode(transfer_syntax, options, data)
        finally:
            if worker.is_ready:
                with self._lock:
                    self._idle.append(worker)
            else:
                worker.stop()

    def close(self) -> None:
        """Stop the idle workers."""
        while worker := self._take_idle():
            worker.stop()

    def forget_workers(self) -> None:
        """Leave the workers to the process that this one is a fork of."""
        self._lock = threading.Lock()
        self._idle = []

    def _take_idle(self) -> _Worker | None:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None or worker.is_running():
                return worker
            worker.stop()


class _Worker:
    """One process, used by one thread at a time; `is_ready` says whether it waits for the next request."""

    def __init__(self, script: Path) -> None:
        self.is_ready = False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | _build_environment(),
            )
        except OSError as error:
            raise ConfigError(f"{_START_FAILED}: {error.strerror or error}") from error
        try:
            with self._limit_time(_START_LIMIT_S):
                self.is_ready = self._read_answer() == (READY, 0)
        except DecodingError as error:
            raise ConfigError(f"{_START_FAILED}: {error}") from error
        finally:
            if not self.is_ready:
                self.stop()

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def decode(self, transfer_syntax: str, options: Options, data: bytes) -> NDArray[np.generic]:
        """Decode pixel data; errors as in `DecoderPool.decode`."""
        self.is_ready = False
        rows, columns = options["rows"], options["columns"]
        limit_s = _LEAST_LIMIT_S + rows * columns // _PIXELS_PER_LIMIT_S
        request = Request(transfer_syntax=transfer_syntax, options=options, limit_s=limit_s)
        with self._limit_time(limit_s):
            self._write_request(request, data)
            code, n_bytes = self._read_answer()
            if code == FAILED and n_bytes <= _MAX_NAME_BYTES:
                name = self._read(np.empty(n_bytes, dtype=np.uint8)).tobytes().decode("ascii", errors="replace")
                self.is_ready = True
                raise DecodingError(name, exception=name)
            if code not in _VALUE_TYPES or n_bytes != rows * columns * np.dtype(code.decode()).itemsize:
                raise DecodingError(f"the decoder returned {n_bytes:,} bytes for {rows:,} x {columns:,} pixels")
            values = self._read(np.empty((rows, columns), dtype=code.decode()))
        self.is_ready = True
        return values

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @contextlib.contextmanager
    def _limit_time(self, limit_s: int) -> Iterator[None]:
        """Kill the process after `limit_s`, and raise DecodingError about that instead of its effect.

        Seconds in which this process is suspended do not count.
        """
        is_done, is_late = threading.Event(), threading.Event()

        def watch() -> None:
            for _ in range(limit_s):
                if is_done.wait(1):
                    return
            is_late.set()
            self._process.kill()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            is_done.set()
            watcher.join()
            if is_late.is_set():
                self.is_ready = False
                raise DecodingError(f"the decoder did not finish within {limit_s:,} s")

    def _write_request(self, request: Request, data: bytes) -> None:
        text = json.dumps(request).encode()
        with contextlib.suppress(BrokenPipeError):  # reading the answer finds out why
            self._stdin.write(REQUEST.pack(len(text), len(data)) + text)
            self._stdin.write(data)
            self._stdin.flush()

    def _read_answer(self) -> tuple[bytes, int]:
        code, n_bytes = ANSWER.unpack(self._read(np.empty(ANSWER.size, dtype=np.uint8)).tobytes())
        return code, n_bytes

    def _read(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Fill an array from the process; DecodingError if it has ended."""
        if self._stdout.readinto(values.data.cast("B")) != values.nbytes:  # type: ignore[attr-defined]
            raise DecodingError(_describe_end(self._process.wait()))
        return values


def _describe_end(exit_code: int) -> str:
    """Say how a process ended; a signal is a negative exit code."""
    if exit_code >= 0:
        return f"the decoder ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    return f"the decoder crashed: {name}{', perhaps because memory ran out' if name == 'SIGKILL' else ''}"


def _build_environment() -> dict[str, str]:
    """Give a worker the import path of this process, without the current folder, and one thread per library."""
    import_path = os.pathsep.join(folder for folder in sys.path if folder)
    return {"PYTHONPATH": import_path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


DECODERS = DecoderPool(Path(dicom_worker.__file__))
"""The workers of this process."""
atexit.register(DECODERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DECODERS.forget_workers)

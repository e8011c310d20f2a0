"""The program of a worker process: it decodes compressed DICOM pixels, so that a crash of a decoder ends only it.

`dicom_decoding` starts this file as a script, which imports only numpy and pydicom, to start fast. A request is
REQUEST, the JSON of a Request, and the pixel data. An answer is ANSWER and then the stored values,
or the name of an exception. The process ends when its standard input does, so when its parent has ended.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import queue
import signal
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypedDict

import numpy as np
from numpy.typing import NDArray

REQUEST = struct.Struct("<IQ")
"""The bytes of the JSON and of the pixel data."""
ANSWER = struct.Struct("<2sQ")
"""The type of the values, such as u2, or a code below; and the bytes that follow."""
READY, FAILED = b"ok", b"er"
_BYTES_PER_PIXEL, _SPARE_BYTES = 32, 256 << 20
_GRACE_S = 2
_PIPE_BYTES = 1 << 20
_MEMORY_IN_USE = Path("/proc/self/statm")


class Options(TypedDict):
    """The options of pydicom's decoder for greyscale films of one frame."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric_interpretation: str
    samples_per_pixel: int
    number_of_frames: int


class Request(TypedDict):
    """The JSON of a request."""

    transfer_syntax: str
    options: Options
    limit_s: int


Decode = Callable[[Request, bytes], NDArray[np.generic]]


def main(decode: Decode | None = None) -> None:
    """Answer requests until standard input ends; `decode` takes the request and its pixel data."""
    _ignore_stop_signals()
    warnings.simplefilter("ignore")
    input_stream, output_stream = _claim_standard_streams()
    _forbid_core_dumps()
    decode = decode or _import_decoders()
    requests: queue.SimpleQueue[tuple[Request, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(input_stream, requests), daemon=True).start()
    _write_answer(output_stream, READY, b"")
    while True:
        request, data = requests.get()
        try:
            values = _decode_within_limits(decode, request, data)
        except Exception as error:  # noqa: BLE001  the parent decides what a failure means
            _write_answer(output_stream, FAILED, type(error).__name__.encode())
        else:
            _write_answer(output_stream, values.dtype.str[1:].encode(), values.data.cast("B"))
        values = data = None  # type: ignore[assignment]  # an idle worker keeps no pixels


def _import_decoders() -> Decode:
    """Import pydicom's decoders, and return the function that decodes the encapsulated pixel data of one frame."""
    from pydicom.pixels.decoders.base import get_decoder

    def decode(request: Request, data: bytes) -> NDArray[np.generic]:
        values, _ = get_decoder(request["transfer_syntax"]).as_array(data, **request["options"])  # type: ignore[arg-type]
        return np.ascontiguousarray(values)

    return decode


def _ignore_stop_signals() -> None:
    """Leave Ctrl-C, and signals to the whole process group, to the parent, whose end is the end of standard input."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the streams of requests and answers; what a native library reads or prints goes nowhere."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    if sys.platform == "linux":
        import fcntl

        for stream in streams:
            with contextlib.suppress(OSError):  # the pipes of a user share a limit; small ones only take longer
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return streams


def _read_requests(stream: BinaryIO, requests: queue.SimpleQueue[tuple[Request, bytes]]) -> None:
    """Queue the requests, and end the process at the end of the stream, also while a request is decoded."""
    try:
        while len(header := stream.read(REQUEST.size)) == REQUEST.size:
            n_json, n_data = REQUEST.unpack(header)
            requests.put((json.loads(stream.read(n_json)), stream.read(n_data)))
    finally:
        os._exit(0)


def _decode_within_limits(decode: Decode, request: Request, data: bytes) -> NDArray[np.generic]:
    """Decode with a limit on memory and, for a worker whose parent has ended, on time."""
    faulthandler.dump_traceback_later(request["limit_s"] + _GRACE_S, exit=True, file=2)
    _limit_memory(request["options"]["rows"] * request["options"]["columns"] * _BYTES_PER_PIXEL + _SPARE_BYTES)
    try:
        return decode(request, data)
    finally:
        _limit_memory(None)
        faulthandler.cancel_dump_traceback_later()


def _limit_memory(n_bytes: int | None) -> None:
    """Limit how many bytes more than now this process may allocate; None removes the limit. Linux only."""
    if sys.platform == "linux" and _MEMORY_IN_USE.is_file():
        import resource

        _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
        limit = hard_limit
        if n_bytes is not None:
            n_pages = int(_MEMORY_IN_USE.read_text(encoding="ascii").split()[5])
            limit = n_pages * resource.getpagesize() + n_bytes
            limit = limit if hard_limit == resource.RLIM_INFINITY else min(limit, hard_limit)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard_limit))


def _forbid_core_dumps() -> None:
    """A crash writes no file: it would contain the pixels of a patient."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _write_answer(stream: BinaryIO, code: bytes, content: bytes | memoryview) -> None:
    stream.write(ANSWER.pack(code, len(content)))
    stream.write(content)
    stream.flush()


if __name__ == "__main__":
    main()

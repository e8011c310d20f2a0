"""What an engine is: it runs batches of images through an extractor in other processes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from synthcxr.data.images import Float32, UInt8

Outputs = dict[str, Float32]
RunAll = Callable[[Iterable[UInt8]], Iterator[Outputs]]
Worker = Callable[[UInt8], Iterable[Outputs]]


class WorkerSpec(Protocol):
    """What another process needs to make a worker: call it there. The worker runs on a device of this type."""

    @property
    def device_type(self) -> str: ...
    def __call__(self) -> Worker: ...


Engine = Callable[[WorkerSpec], AbstractContextManager[RunAll]]
"""Opens processes, each with a worker of its own, and gives the function that runs batches of images in them."""


@contextlib.contextmanager
def open_on_first_use(engine: Engine, spec: WorkerSpec) -> Iterator[RunAll]:
    """Give the function of an engine, whose processes start when it is first called."""
    with contextlib.ExitStack() as stack:
        start = functools.cache(lambda: stack.enter_context(engine(spec)))
        yield lambda batches: start()(batches)

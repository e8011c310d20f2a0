"""A limit on the pixels that threads decode at the same time, so that many large images do not fill the memory.

A thread also reserves the pixels of a film that it has a worker process decode.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

MAX_DECODED_PIXELS = 100_000_000
"""Decoding and reducing a film takes about 16 bytes per pixel, so this is about 1.6 GB."""


class PixelBudget:
    """Counts the pixels of the images that tasks, one per thread, are decoding.

    `reserve` waits until the image fits; an image above the whole limit waits until no other is being decoded. The
    reservation ends with the task, because the decoded pixels are used until then.
    """

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self.n_reserved = 0
        self._changed = threading.Condition()
        self._task = threading.local()

    @contextlib.contextmanager
    def open_task(self) -> Iterator[None]:
        """Give back at the end of the block what this thread reserves in it."""
        self._task.n_pixels = 0
        try:
            yield
        finally:
            self._release()
            del self._task.n_pixels

    def reserve(self, n_pixels: int) -> None:
        """Wait until `n_pixels` fit, and reserve them instead of what this task had reserved before.

        Outside a task nothing is reserved: a caller that reads one image at a time needs no limit.
        """
        if not hasattr(self._task, "n_pixels"):
            return
        self._release()
        with self._changed:
            self._changed.wait_for(lambda: self.n_reserved == 0 or self.n_reserved + n_pixels <= self.max_pixels)
            self.n_reserved += n_pixels
        self._task.n_pixels = n_pixels

    def _release(self) -> None:
        with self._changed:
            self.n_reserved -= self._task.n_pixels
            self._changed.notify_all()
        self._task.n_pixels = 0


DECODING = PixelBudget(MAX_DECODED_PIXELS)
"""The budget of this process."""

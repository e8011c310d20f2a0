"""A dataset while it grows: images are encoded and written behind the back of the inference, a journal line a block."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_reader
from synthcxr.data.records import Record
from synthcxr.storage import digests
from synthcxr.writers.formats.store import PER_FOLDER, Store
from synthcxr.writers.journal import Journal, Line, packed

_MAX_PENDING = 4


class Growing:
    """Adds images to a store in order. `found` images and `draws` candidates are counted as they are handed over.

    One thread writes, so that order and journal hold; a few encode. At most four blocks wait, which bounds memory.
    """

    def __init__(self, store: Store, journal: Journal) -> None:
        self.store, self.journal = store, journal
        self.found, self.draws = 0, 0
        self._encoders = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "encode")
        self._writer = ThreadPoolExecutor(1, "write")
        self._pending: deque[Future[None]] = deque()
        self._broken = False
        self._since = time.perf_counter()

    def __enter__(self) -> Growing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown(cancel_futures=True)
        self._encoders.shutdown(cancel_futures=True)
        self.store.close()

    def resume(self) -> None:
        """Stand after the last block whose images are all still what the journal says; drop what lies beyond."""
        n_lines = 0
        lines, checked = itertools.tee(self.journal.lines())
        sound = self.store.read(record for line in checked for record in line.records)
        for line in lines:
            names = [self.store.file_name(at) for at in range(self.found, self.found + len(line.records))]
            whole = all(png is not None for png in itertools.islice(sound, len(line.records)))
            if not whole or names != [record.file_name for record in line.records]:
                break
            self.found, self.draws, n_lines = self.found + len(line.records), line.draws, n_lines + 1
        self.journal.cut(n_lines)
        self.store.cut(self.found)

    def copy(
        self,
        source: Store,
        held: Sequence[Record],
        draws: int,
        *,
        runs: int = 0,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Take over the images of a finished dataset beyond those already here, up to the first that is harmed.

        `draws` is the first candidate that the finished dataset did not look at, and `runs` the images that its
        generator made; `latents` are those of all of `held` where a search came to them.
        """
        rest, kept = held[self.found :], list[Record]()
        for record, png in zip(rest, source.read(rest), strict=True):
            if png is None:
                break
            at = self.found + len(kept)
            data = png if source.suffix == self.store.suffix else self.store.encode(image_reader.pixels(png), record)
            kept.append(self._named(at, data, record))
            self.store.write(at, data, kept[-1])
            if len(kept) == PER_FOLDER:
                self._note(kept[-1].index + 1, kept, 0, latents)
                kept = []
        whole = self.found + len(kept) == len(held)
        if kept or (whole and draws > self.draws):
            self._note(draws if whole else kept[-1].index + 1, kept, runs, latents)

    def add(
        self,
        *,
        draws: int,
        pixels: NDArray[np.uint8],
        described: Sequence[Record],
        runs: int = 0,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Hand over a block: `pixels` [k, H, W] and k records that still lack `file_name` and `sha256`.

        Returns before they are written; an error of an earlier block is raised here or in `flush`.
        """
        while len(self._pending) >= _MAX_PENDING:
            self._pending.popleft().result()
        encoded = [self._encoders.submit(self.store.encode, *each) for each in zip(pixels, described, strict=True)]
        also = runs, packed(latents)
        self._pending.append(self._writer.submit(self._commit, self.found, draws, encoded, described, also))
        self.found, self.draws = self.found + len(described), draws

    def flush(self) -> None:
        """Wait until everything handed over is written."""
        while self._pending:
            self._pending.popleft().result()

    def _commit(
        self,
        first: int,
        draws: int,
        encoded: Sequence[Future[bytes]],
        described: Sequence[Record],
        also: tuple[int, str],
    ) -> None:
        if self._broken:
            return  # a block after one that failed would leave a gap
        self._broken = True
        made = []
        for at, (future, record) in enumerate(zip(encoded, described, strict=True), first):
            data = future.result()
            made.append(self._named(at, data, record))
            self.store.write(at, data, made[-1])
        self._journal(draws, made, *also)
        self._broken = False

    def _named(self, at: int, data: bytes, record: Record) -> Record:
        return dataclasses.replace(record, file_name=self.store.file_name(at), sha256=digests.sha256_bytes(data))

    def _note(self, draws: int, made: Sequence[Record], runs: int, latents: NDArray[np.float32] | None) -> None:
        rows = None if latents is None else latents[self.found : self.found + len(made)]
        self._journal(draws, made, runs, packed(rows))
        self.found, self.draws = self.found + len(made), draws

    def _journal(self, draws: int, made: Sequence[Record], runs: int, latents: str) -> None:
        now = time.perf_counter()
        self.journal.append(Line(draws, round(now - self._since, 3), tuple(made), runs, latents))
        self._since = now

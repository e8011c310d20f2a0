"""Writes images in background threads while the caller generates the next ones, with a journal line per block."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_reader
from synthcxr.data.image_formats import ImageStore
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.storage import digests
from synthcxr.storage.cores import count_usable_cores
from synthcxr.storage.progress import open_progress, track
from synthcxr.writers.journal import Journal, JournalLine, encode_latents

_MAX_PENDING_BLOCKS = 4  # bounds the memory
_MAX_ENCODERS = 4
_COPIES_PER_LINE = 1000


class BackgroundWriter:
    """Adds images to a store in order. One thread writes, so that order and journal agree; several encode.

    `n_images` images and `draws` candidates are those that were added, written or not.
    """

    def __init__(self, store: ImageStore, journal: Journal) -> None:
        self.store, self.journal = store, journal
        self.n_images, self.draws = 0, 0
        self._encoders = ThreadPoolExecutor(min(_MAX_ENCODERS, count_usable_cores()), "encode")
        self._writer = ThreadPoolExecutor(1, "write")
        self._pending_blocks: deque[Future[None]] = deque()
        self._failed = False
        self._block_start = time.perf_counter()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the blocks that wait, and close the store."""
        self._writer.shutdown(cancel_futures=True)
        self._encoders.shutdown(cancel_futures=True)
        self.store.close()

    def resume(self) -> None:
        """Continue after the last block whose images all agree with the journal; delete everything after it."""
        n_lines = 0
        lines, lines_to_read = itertools.tee(self.journal.lines())
        stored_images = self.store.read(record for line in lines_to_read for record in line.records)
        n_recorded, _ = self.journal.count_images_and_draws()
        with open_progress(
            "verifying existing images", total=n_recorded, unit="images", enabled=n_recorded > 0
        ) as progress:
            for line in lines:
                if not self._is_intact(line, stored_images):
                    break
                self.n_images, self.draws, n_lines = self.n_images + len(line.records), line.draws, n_lines + 1
                progress.update(len(line.records))
        self.journal.truncate(n_lines)
        self.store.truncate(self.n_images)

    def copy(
        self,
        source: ImageStore,
        records: Sequence[ImageRecord],
        *,
        draws: int,
        runs: int = 0,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Copy the images of a finished dataset that are not here yet, up to the first that is damaged.

        `records` are all records of that dataset, and `latents` [n, Z] all its latents if they are not those of the
        candidates. It was made from `draws` candidates and `runs` images of the generator.
        """
        missing, copied = records[self.n_images :], list[ImageRecord]()
        for record, stored in zip(track(missing, "copying", unit="images"), source.read(missing), strict=True):
            if stored is None:
                break
            ordinal = self.n_images + len(copied)
            same_bytes = source.suffix == self.store.suffix
            data = stored if same_bytes else self._encode_again(stored, record)
            copied.append(self._write(ordinal, data, record))
            if len(copied) == _COPIES_PER_LINE:
                self._append_copies(copied[-1].index + 1, copied, 0, latents)
                copied = []
        complete = self.n_images + len(copied) == len(records)
        if copied or (complete and draws > self.draws):
            self._append_copies(draws if complete else copied[-1].index + 1, copied, runs, latents)

    def _encode_again(self, stored: bytes, record: ImageRecord) -> bytes:
        """Encode an image of another format in the format of this dataset."""
        return self.store.encode(image_reader.decode_pixels(stored, name=record.file_name), record)

    def add(
        self,
        *,
        draws: int,
        pixels: NDArray[np.uint8],
        records: Sequence[ImageRecord],
        runs: int = 0,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Add a block: `pixels` [k, H, W] and k records without `file_name` and `sha256`.

        Returns before the images are written. An error of an earlier block is raised here or in `flush`.
        """
        while len(self._pending_blocks) >= _MAX_PENDING_BLOCKS:
            self._pending_blocks.popleft().result()
        encoded = [
            self._encoders.submit(self.store.encode, image, record)
            for image, record in zip(pixels, records, strict=True)
        ]
        block = self._writer.submit(
            self._write_block, self.n_images, draws, encoded, records, runs, encode_latents(latents)
        )
        self._pending_blocks.append(block)
        self.n_images, self.draws = self.n_images + len(records), draws

    def flush(self) -> None:
        """Wait until all blocks are written."""
        while self._pending_blocks:
            self._pending_blocks.popleft().result()

    def _is_intact(self, line: JournalLine, stored_images: Iterator[bytes | None]) -> bool:
        """Whether the store has the images of the next line under the expected names."""
        ordinals = range(self.n_images, self.n_images + len(line.records))
        complete = all(data is not None for data in itertools.islice(stored_images, len(line.records)))
        return complete and all(
            record.file_name == self.store.file_name(ordinal)
            for ordinal, record in zip(ordinals, line.records, strict=True)
        )

    def _write_block(
        self,
        first: int,
        draws: int,
        encoded: Sequence[Future[bytes]],
        records: Sequence[ImageRecord],
        runs: int,
        latents: str,
    ) -> None:
        if self._failed:
            return  # a block after one that failed would leave a gap
        self._failed = True
        written = [
            self._write(ordinal, future.result(), record)
            for ordinal, (future, record) in enumerate(zip(encoded, records, strict=True), first)
        ]
        self._append_line(draws, written, runs, latents)
        self._failed = False

    def _write(self, ordinal: int, data: bytes, record: ImageRecord) -> ImageRecord:
        """Write one image and return its complete record."""
        complete = dataclasses.replace(
            record, file_name=self.store.file_name(ordinal), sha256=digests.sha256_bytes(data)
        )
        self.store.write(ordinal, data, complete)
        return complete

    def _append_copies(
        self, draws: int, records: Sequence[ImageRecord], runs: int, latents: NDArray[np.float32] | None
    ) -> None:
        rows = None if latents is None else latents[self.n_images : self.n_images + len(records)]
        self._append_line(draws, records, runs, encode_latents(rows))
        self.n_images, self.draws = self.n_images + len(records), draws

    def _append_line(self, draws: int, records: Sequence[ImageRecord], runs: int, latents: str) -> None:
        now = time.perf_counter()
        self.journal.append(JournalLine(draws, round(now - self._block_start, 3), tuple(records), runs, latents))
        self._block_start = now

"""How a film becomes squares on disk: its halvings, the files that they stream into, the threads that decode them."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8

SMALLEST = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def packed_sides(resolution: int) -> tuple[int, ...]:
    """The packed sides in pixels: 4, doubled up to `resolution`."""
    return tuple(SMALLEST << k for k in range((resolution // SMALLEST).bit_length()))


def array_name(kind: str, side: int) -> str:
    """The file of `kind` "images" or "rows" at one side, such as images_0064.npy."""
    return f"{kind}_{side:04d}.npy"


def top(size: int, resolution: int) -> int:
    """The largest packed side, `resolution` at most, that a film of `size` px fills without being enlarged."""
    return min(resolution, 1 << (size.bit_length() - 1))


def pyramid(film: Float32, top: int) -> list[UInt8]:
    """A film float32 [H, W] in [0, 1] as uint8 squares of `top` px and every halving down to 4.

    Halving in float32 is the box filter of `images.resize`; every level is rounded by itself.
    """
    unit = images.resize(images.square(film), top)
    levels = [images.quantise(unit)]
    while unit.shape[0] > SMALLEST:
        pairs = unit[0::2] + unit[1::2]
        unit = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25)
        levels.append(images.quantise(unit))
    return levels


class Stack:
    """The images of one side, streamed into a .npy file that is complete once the `with` block ends.

    Streamed, not mapped: on a full disk a write raises OSError, where touching a mapped page kills the process.
    """

    def __init__(self, out: Path, side: int) -> None:
        self.rows: list[int] = []
        self._side = side
        self._rows_path = out / array_name("rows", side)
        self._file = (out / array_name("images", side)).open("wb")

    def __enter__(self) -> Stack:
        self._write_header()
        return self

    def append(self, image: UInt8, row: int) -> None:
        """Add one image [side, side] and its row in the manifest."""
        self._file.write(image.tobytes())
        self.rows.append(row)

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                self._file.flush()
                os.fsync(self._file.fileno())
                np.save(self._rows_path, np.array(self.rows, dtype=np.int64))

    def _write_header(self) -> None:
        """Write the .npy header; its length never changes, numpy pads it for growth along the first axis."""
        shape = (len(self.rows), self._side, self._side)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], *, title: str) -> Generator[Future[Result]]:
    """The calls of `function` in order of items, computed on all cores, few of them ahead of the one that is read.

    Threads, because Pillow and numpy release the interpreter's lock where the time goes: they keep up with processes,
    start at once, and neither pickle nor need a main module that can be imported again.
    """
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: collections.deque[Future[Result]] = collections.deque()
    with ThreadPoolExecutor(n_threads) as pool, tqdm(total=len(items), desc=title, unit="film", disable=None) as bar:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 4 * n_threads:
                    yield waiting.popleft()
                    bar.update()
            while waiting:
                yield waiting.popleft()
                bar.update()
        finally:
            for future in waiting:
                future.cancel()

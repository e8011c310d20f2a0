"""The resolution pyramid of a film, the files that the packed images are written to, and decoding in threads."""

from __future__ import annotations

import collections
import io
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from synthcxr.data import images, pixel_budget
from synthcxr.data.images import Float32, UInt8
from synthcxr.storage.cores import count_usable_cores
from synthcxr.storage.progress import open_progress

SMALLEST_SIDE = 4
_WAITING_PER_THREAD = 4
_HEADER_BYTES = 128
"""The length of the header of a .npy file."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def list_packed_sides(resolution: int) -> tuple[int, ...]:
    """List the packed sides in pixels: 4 and its doublings up to `resolution`."""
    return tuple(SMALLEST_SIDE << k for k in range((resolution // SMALLEST_SIDE).bit_length()))


def name_array_file(kind: str, side: int) -> str:
    """Name the file of `kind` "images" or "rows" at one side, such as images_0064.npy."""
    return f"{kind}_{side:04d}.npy"


def remove_array_files(folder: Path) -> None:
    """Remove the files of all sides, those of other resolutions too."""
    for kind in ("images", "rows"):
        for path in folder.glob(f"{kind}_[0-9]*.npy"):
            path.unlink()


def fit_side(size: int, resolution: int) -> int:
    """Return the largest packed side up to `resolution` that a film of `size` px fills without being enlarged."""
    return min(resolution, 1 << (size.bit_length() - 1))


def build_pyramid(film: Float32, largest_side: int) -> list[UInt8]:
    """Reduce a film float32 [H, W] in [0, 1] to uint8 squares of `largest_side` px and every halving down to 4 px.

    Halving in float32 equals the box filter of `images.resize`; each level is rounded on its own.
    """
    unit = images.resize(images.crop_square(film), largest_side)
    levels = [images.quantise(unit)]
    while unit.shape[0] > SMALLEST_SIDE:
        pairs = unit[0::2] + unit[1::2]
        unit = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25)
        levels.append(images.quantise(unit))
    return levels


class ImageStack:
    """Writes the images of one side to a .npy file, which is complete once the `with` block ends.

    Images are appended, not written to a memory map: on a full disk a write raises OSError, but touching a mapped page
    kills the process. `kept_rows` are the manifest rows of images that an earlier process wrote, which stay.
    """

    def __init__(self, folder: Path, side: int, kept_rows: Sequence[int] = ()) -> None:
        self.rows: list[int] = list(kept_rows)
        self._side = side
        self._rows_path = folder / name_array_file("rows", side)
        self._file = (folder / name_array_file("images", side)).open("r+b" if kept_rows else "wb")

    def __enter__(self) -> ImageStack:
        self._write_header()
        self._file.seek(len(self.rows) * self._side**2, os.SEEK_CUR)
        self._file.truncate()
        return self

    @staticmethod
    def has_images(folder: Path, side: int, n: int) -> bool:
        """Whether the file of this side is long enough for `n` images; it need not be complete."""
        path = folder / name_array_file("images", side)
        return not n or (path.is_file() and path.stat().st_size >= _HEADER_BYTES + n * side**2)

    def append(self, image: UInt8, row: int) -> None:
        """Append one image [side, side] and its row in the manifest."""
        self._file.write(image.tobytes())
        self.rows.append(row)

    def flush(self) -> None:
        """Bring the images to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def __exit__(self, error_type: object, *_: object) -> None:
        with self._file:
            if error_type is None:
                self._file.seek(0)
                self._write_header()
                self.flush()
                rows = io.BytesIO()  # np.save hides the reason when it cannot write to a file
                np.save(rows, np.array(self.rows, dtype=np.int64))
                self._rows_path.write_bytes(rows.getvalue())

    def _write_header(self) -> None:
        """Write the .npy header. Its length is constant: numpy pads it for growth along the first axis."""
        shape = (len(self.rows), self._side, self._side)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, title: str
) -> Generator[Future[Result]]:
    """Yield the call of `function` for each item in order, made on all cores a few items ahead; reports progress.

    Threads are as fast as processes here, because Pillow and numpy release the interpreter lock. They start at once,
    and need neither pickling nor a main module that can be imported. The images that they decode at the same time are
    limited by `pixel_budget`.
    """

    def call(item: Item) -> Result:
        with pixel_budget.DECODING.open_task():
            return function(item)

    if not items:
        return
    n_threads = count_usable_cores()
    waiting: collections.deque[Future[Result]] = collections.deque()
    with (
        ThreadPoolExecutor(n_threads) as pool,
        open_progress(title, total=len(items), unit="films") as progress,
    ):
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) > _WAITING_PER_THREAD * n_threads:
                    yield waiting.popleft()
                    progress.update()
            while waiting:
                yield waiting.popleft()
                progress.update()
        finally:
            for future in waiting:
                future.cancel()

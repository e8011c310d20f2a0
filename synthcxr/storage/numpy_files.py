"""npy and npz files: read without pickle; header and declared size are checked before anything is allocated."""

from __future__ import annotations

import dataclasses
import math
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from synthcxr.errors import DataError
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import ErrorType, RefusedContentError

MAX_NPY_BYTES = 2**43
MAX_NPZ_BYTES, MAX_MEMBERS = 2**32, 1000
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MAX_HEADER = 10_000
_LOCAL_HEADER_BYTES, _LENGTHS_IN_LOCAL_HEADER = 30, "<26xHH"
"""The header of a member of a zip file; it ends with the lengths of the name and of the extra field."""
_ALIGNMENT = 64
_FIELD_HEADER_BYTES, _ZIP64_FIELD_BYTES = 4, 20
_PADDING_FIELD = 0xD935
"""The extra field in which other tools that align the members of zip files put a padding."""
_PLAIN_KINDS = "biufU"


@dataclasses.dataclass(frozen=True)
class ArrayType:
    """The expected array: the letters of numpy's dtype kinds that it may have, and its shape; None is any length.

    Floats must be finite.
    """

    kinds: str
    shape: tuple[int | None, ...]

    def refuse_other(self, name: str, kind: str, shape: tuple[int, ...]) -> None:
        """Raise RefusedContentError for an array of another kind or shape."""
        fits = len(shape) == len(self.shape) and all(
            expected in (None, size) for expected, size in zip(self.shape, shape, strict=True)
        )
        if kind not in self.kinds or not fits:
            expected_shape = ", ".join("n" if size is None else str(size) for size in self.shape)
            raise RefusedContentError(
                f"{name} has the shape {list(shape)} and the kind {kind!r}, expected [{expected_shape}] and"
                f" {' or '.join(map(repr, self.kinds))}"
            )


def read_npy(
    path: Path, expected: ArrayType, *, memory_map: bool = False, error: ErrorType = DataError, advice: str = ""
) -> NDArray[Any]:
    """Read an npy file, or map it read-only; `error` where it is absent, damaged, truncated or of another type.

    Floats of a mapped file are not checked.
    """
    with (
        guarded_files.report_failure(path, "npy", error=error, advice=advice),
        guarded_files.open_regular(path, MAX_NPY_BYTES) as file,
    ):
        shape, dtype = _read_header(file)
        expected.refuse_other("the array", dtype.kind, shape)
        n_bytes = _count_bytes(shape, dtype)
        if n_bytes != path.stat().st_size - file.tell():
            raise RefusedContentError(f"declares {n_bytes:,} bytes, but has {path.stat().st_size - file.tell():,}")
        if not n_bytes:
            return np.empty(shape, dtype)
        mapped: NDArray[Any] = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
        if not memory_map:
            _require_valid("the array", mapped)
        return mapped


def read_npz(
    path: Path,
    expected: Mapping[str, ArrayType] | None = None,
    *,
    error: ErrorType = DataError,
    advice: str = "",
) -> dict[str, NDArray[Any]]:
    """Read the `expected` arrays of an npz file by name, or all arrays; others are not read.

    `error` where the file is absent or damaged, or where an array is absent, of another type, or too large.
    """
    with (
        guarded_files.report_failure(path, "npz", error=error, advice=advice),
        guarded_files.open_regular(path, MAX_NPZ_BYTES) as file,
        zipfile.ZipFile(file) as archive,
    ):
        sizes = {name: info.file_size for name, info in _list_members(archive).items()}
        names = list(sizes if expected is None else expected)
        missing = [name for name in names if name not in sizes]
        if missing:
            raise RefusedContentError(f"lacks the arrays {', '.join(missing)}")
        if sum(sizes[name] for name in names) > MAX_NPZ_BYTES:
            raise RefusedContentError(f"declares more than {MAX_NPZ_BYTES:,} bytes")
        return {name: _read_member(archive, name, sizes[name], expected) for name in names}


def map_npz(path: Path, *, error: ErrorType = DataError, advice: str = "") -> dict[str, NDArray[Any]]:
    """Map the arrays of an uncompressed npz file read-only, after a check of their bytes.

    `error` where the file is absent or damaged, or where an array is compressed or not aligned.
    """
    with (
        guarded_files.report_failure(path, "npz", error=error, advice=advice),
        guarded_files.open_regular(path, MAX_NPY_BYTES) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = _list_members(archive)
        return {name: _map_member(archive, info, file) for name, info in members.items()}


class NpzWriter:
    """Writes an uncompressed npz file whose arrays begin at multiples of 64 bytes, so that they can be mapped.

    numpy copies an array that is not aligned in every product.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._archive = file, zipfile.ZipFile(file, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def add(self, name: str, n: int, blocks: Iterable[NDArray[Any]]) -> None:
        """Write an array of `n` rows, which come in blocks; ValueError for blocks that differ in type or row shape."""
        with self._archive.open(self._align(name), "w", force_zip64=True) as member:
            row: tuple[object, ...] = ()
            for block in blocks:
                if not row:
                    row = (block.dtype, block.shape[1:])
                    header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(block))
                    np.lib.format.write_array_header_1_0(member, header | {"shape": (n, *block.shape[1:])})
                if row != (block.dtype, block.shape[1:]):
                    raise ValueError(f"{name}: rows of {row} are followed by rows of {(block.dtype, block.shape[1:])}")
                member.write(np.ascontiguousarray(block).data)

    def _align(self, name: str) -> zipfile.ZipInfo:
        """Describe a member with an extra field of such a length that its content begins at a multiple of 64 bytes."""
        info = zipfile.ZipInfo(f"{name}.npy")
        start = self._file.tell() + _LOCAL_HEADER_BYTES + len(info.filename) + _ZIP64_FIELD_BYTES
        padding = bytes(-(start + _FIELD_HEADER_BYTES) % _ALIGNMENT)
        info.extra = struct.pack("<HH", _PADDING_FIELD, len(padding)) + padding
        return info


def list_arrays(path: Path, *, error: ErrorType = DataError, advice: str = "") -> set[str]:
    """Return the names of the arrays of an npz file; `error` where it is absent or damaged."""
    with (
        guarded_files.report_failure(path, "npz", error=error, advice=advice),
        guarded_files.open_regular(path, MAX_NPZ_BYTES) as file,
        zipfile.ZipFile(file) as archive,
    ):
        return {name.removesuffix(".npy") for name in archive.namelist()}


def _list_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members of an npz file by the names of their arrays."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise RefusedContentError(f"declares more than {MAX_MEMBERS:,} arrays")
    if any(info.comment for info in members):  # a wrong length of a comment hides the members after it
        raise RefusedContentError("has a comment on an array, which numpy does not write")
    return {info.filename.removesuffix(".npy"): info for info in members}


def _read_member(
    archive: zipfile.ZipFile, name: str, size: int, expected: Mapping[str, ArrayType] | None
) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        shape, dtype = _read_header(member)
        n_header = member.tell()
    if expected is not None:
        expected[name].refuse_other(name, dtype.kind, shape)
    n_bytes = _count_bytes(shape, dtype)
    if n_bytes != size - n_header:
        raise RefusedContentError(f"{name} declares {n_bytes:,} bytes, but has {size - n_header:,}")
    with archive.open(f"{name}.npy") as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        member.read()  # checks the CRC at the end
    if expected is not None:
        _require_valid(name, array)
    return array


def _map_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise RefusedContentError(f"{info.filename} is compressed, so it cannot be mapped")
    with archive.open(info) as member:
        shape, dtype, is_fortran = _read_whole_header(member)
        n_header = member.tell()
        while member.read(guarded_files.MIB):  # checks the CRC at the end
            pass
    if _count_bytes(shape, dtype) != info.file_size - n_header:
        raise RefusedContentError(f"{info.filename} declares other sizes than it has")
    if not info.file_size - n_header:
        return np.empty(shape, dtype)
    file.seek(info.header_offset)
    n_name, n_extra = struct.unpack(_LENGTHS_IN_LOCAL_HEADER, file.read(_LOCAL_HEADER_BYTES))
    offset = info.header_offset + _LOCAL_HEADER_BYTES + n_name + n_extra + n_header
    if offset % dtype.alignment:
        raise RefusedContentError(f"{info.filename} is not aligned, so it is not mapped")
    mapped = np.memmap(file, dtype, "r", offset, shape, "F" if is_fortran else "C")
    return np.asarray(mapped)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and the dtype, and leave the file at its data."""
    shape, dtype, _ = _read_whole_header(file)
    return shape, dtype


def _read_whole_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Read the shape, the dtype and whether columns are contiguous, and leave the file at its data."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise RefusedContentError(f"has the npy version {'.'.join(map(str, version))}, which is not read")
    shape, is_fortran, dtype = _HEADER_READERS[version](file, max_header_size=_MAX_HEADER)
    if dtype.kind not in _PLAIN_KINDS or dtype.shape:
        raise RefusedContentError(f"holds values of the type {dtype}, which is not read")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise RefusedContentError(f"has the impossible shape {shape}")
    return shape, dtype, is_fortran


def _count_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _require_valid(name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RefusedContentError(f"{name} contains numbers that are not finite")
    if array.dtype.kind == "U":
        guarded_files.require_encodable("".join(array.ravel().tolist()))

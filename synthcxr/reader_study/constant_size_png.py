"""A grey PNG whose length and chunks depend on its size alone, so that a file says nothing of what it shows."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from synthcxr.data.images import UInt8

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode(pixels: UInt8) -> bytes:
    """One uint8 [H, W] image: IHDR, one IDAT of stored deflate blocks without filters, IEND; no metadata.

    Source: PNG, ISO/IEC 15948; RFC 1951, section 3.2.4.
    """
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    held = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 0)), (b"IEND", b"")
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in held)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

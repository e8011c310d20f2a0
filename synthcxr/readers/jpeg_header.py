"""The size that a compressed film's own stream states, so that no decoder is asked for a size that nobody expects.

Sources: ITU-T T.81 (JPEG, frame header), T.87 (JPEG-LS), T.800 (JPEG 2000, SIZ).
"""

from __future__ import annotations

import struct

_START, _SIZ, _SCAN = b"\xff\xd8", b"\xff\x4f\xff\x51", 0xDA
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
_JP2 = b"\x00\x00\x00\x0cjP  "


def size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream states; None where it states none."""
    if data.startswith(_START):
        return _jpeg(data)
    if data.startswith((_SIZ, _JP2)):
        return _jpeg_2000(data)
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _FRAMES:
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return rows, columns
        if marker == _SCAN:
            return None
        at += 2 + length
    return None


def _jpeg_2000(data: bytes) -> tuple[int, int] | None:
    at = data.find(_SIZ)
    if at < 0 or len(data) < at + 24:
        return None
    width, height, left, top = struct.unpack_from(">IIII", data, at + 8)
    return height - top, width - left

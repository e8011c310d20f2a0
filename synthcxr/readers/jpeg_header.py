"""Read the image size from the header of a compressed stream, to check it before a decoder allocates memory.

Sources: ITU-T T.81 (JPEG, frame header), T.87 (JPEG-LS), T.800 (JPEG 2000, SIZ).
"""

from __future__ import annotations

import struct

_START_OF_IMAGE, _SIZ, _START_OF_SCAN = b"\xff\xd8", b"\xff\x4f\xff\x51", 0xDA
_FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
_JP2 = b"\x00\x00\x00\x0cjP  "


def read_size(data: bytes) -> tuple[int, int] | None:
    """Read rows and columns of a JPEG, JPEG-LS or JPEG 2000 stream; None if the header does not contain them."""
    if data.startswith(_START_OF_IMAGE):
        return _read_jpeg_size(data)
    if data.startswith((_SIZ, _JP2)):
        return _read_jpeg_2000_size(data)
    return None


def _read_jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _FRAME_MARKERS:
            rows, columns = struct.unpack_from(">HH", data, position + 5)
            return rows, columns
        if marker == _START_OF_SCAN:
            return None
        position += 2 + length
    return None


def _read_jpeg_2000_size(data: bytes) -> tuple[int, int] | None:
    position = data.find(_SIZ)
    if position < 0 or len(data) < position + 24:
        return None
    width, height, left, top = struct.unpack_from(">IIII", data, position + 8)
    return height - top, width - left

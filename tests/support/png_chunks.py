"""The chunks of a PNG file."""

from __future__ import annotations

import struct


def list_png_chunks(png: bytes) -> list[tuple[bytes, int]]:
    """The kind and length of each chunk."""
    offset, chunks = 8, []
    while offset < len(png):
        length, kind = struct.unpack(">I4s", png[offset : offset + 8])
        chunks.append((kind, length))
        offset += 12 + length
    return chunks

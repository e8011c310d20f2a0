"""Short inputs of the kinds that broke some parser in the past. They are tried on every parser."""

from __future__ import annotations

import gzip
import json
import struct
import zlib

_NPY_START = b"\x93NUMPY\x01\x00v\x00"


def _make_npy(header: str) -> bytes:
    return _NPY_START + header.ljust(117).encode("latin-1") + b"\n" + bytes(64)


def _make_png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (header, *chunks)
    )


_JOURNAL_LINE = {"draws": 4, "wall_s": 0.1, "records": [1, 2, 3], "runs": 0, "latents": ""}
KNOWN_INPUTS = (
    *(
        b"",
        b"\xda",
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04" + bytes(40),
        b"\x1f\x8b\x08",
    ),
    *(b"null", b"[]", b"{}", b"0", b'""', b"NaN", b"1e400", b"9" * 5000, b'"\\ud800"', b'{"a": 1, "a": 2}'),
    *(b"[" * 50_000, b'{"a":' * 5000, b"x: " + b"[" * 500, b"- " * 500, b"a: &a [*a]", b"{? a", b"--- 1\n--- 2\n"),
    *(b",", b"a,a,a\n1,2\n", b"\n\n", b'"', b'a\n"b', b"Finding Labels,films,Finding Labels\nEdema,5,Edema\n,\n"),
    json.dumps(_JOURNAL_LINE).encode() + b"\n",
    _make_npy("{'descr': '<i8', 'fortran_order': False, 'shape': (3300000000,), }"),
    _make_npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
    _make_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,"),
    _make_npy("(" * 100),
    _make_png(2**31 - 1, 2**31 - 1),
    _make_png(60_000, 60_000, (b"IDAT", zlib.compress(bytes(10_000)))),
    _make_png(8, 8, (b"IDAT", b"x"), (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff")),
    b"ustar".join((bytes(257), bytes(250))),
    (2**40).to_bytes(8, "little") + b"{}",
    gzip.compress(b"a" * 1_000_000, mtime=0),
    b"%!PS-Adobe-3.0\n{} loop\n",
    b"SQLite format 3\0" + bytes(100),
    bytes(128) + b"DICM" + b"\xff" * 40,
)

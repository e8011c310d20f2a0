"""Changes of binary formats behind their checksums and lengths: PNG, npy, npz, tar, gzip, safetensors and DICOM."""

from __future__ import annotations

import ast
import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib

from fuzz import structures, tokens

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"IDAT", b"IEND")
_DESCRIPTIONS = (
    *(
        "'<f4'",
        "'<f8'",
        "'<f2'",
        "'|u1'",
        "'<i8'",
        "'>i4'",
        "'|O'",
        "'<U9'",
        "'|S0'",
        "'<U100000000'",
        "'V8'",
        "'<c16'",
    ),
    *("'<M8[ns]'", "[('a', '<f4')]", "'x'", "None", "'|b1'", "'<f4,<f4'"),
)
_SHAPES = (
    "()",
    "(0,)",
    "(1,)",
    "(3, 0)",
    "(-1,)",
    "(2**40,)",
    "(9223372036854775807, 2)",
    "(1,) * 70",
    "(True,)",
    "4",
    "(1.5,)",
)
_LONG_VRS = {b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"UC", b"UR", b"OL"}
_VRS = (
    b"US",
    b"UL",
    b"SS",
    b"DS",
    b"IS",
    b"LO",
    b"UI",
    b"CS",
    b"OB",
    b"OW",
    b"SQ",
    b"AT",
    b"PN",
    b"UN",
    b"ZZ",
    b"\0\0",
    b"FD",
)
_DICOM_START = 132


def change_png(rng: random.Random, data: bytes) -> bytes:
    """Change one chunk of a PNG and correct its checksum; the pixels are changed before compression."""
    chunks = _split_png(data)
    position = rng.randrange(len(chunks))
    kind, body = chunks[position]
    match rng.randrange(7):
        case 0:
            del chunks[position]
        case 1:
            chunks.insert(rng.randrange(len(chunks) + 1), (kind, body))
        case 2:
            chunks[position] = rng.choice(_CHUNKS), body
        case 3:
            size = rng.choice((0, 1, 100, 5_000_000))
            body = rng.choice(
                (rng.randbytes(min(size, 100)), b"a\0\0" + zlib.compress(bytes(size)), b"MM\0*" + bytes(30))
            )
            chunks.insert(1, (rng.choice(_CHUNKS), body))
        case 4 if kind == b"IDAT":
            try:
                pixels = zlib.decompress(body)
            except zlib.error as error:
                raise ValueError("not compressed") from error
            chunks[position] = kind, zlib.compress(_overwrite(rng, pixels)[: rng.choice((None, -1, 7))])
        case 4 | 5:
            width, height = (rng.choice(tokens.INTEGERS) % 2**32 for _ in range(2))
            body = struct.pack(">IIBBBBB", width, height, *(rng.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5)))
            chunks[0] = b"IHDR", body
        case _:
            chunks[position] = kind, _overwrite(rng, body)
    return _PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def change_npy(rng: random.Random, data: bytes) -> bytes:
    """Write another element type, shape or order into the header of an array."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError("not an array")
    n_header = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + n_header].decode("latin-1"), data[10 + n_header :]
    try:
        fields = {key: repr(value) for key, value in ast.literal_eval(header.strip()).items()}
    except (SyntaxError, TypeError, AttributeError, MemoryError, RecursionError) as error:
        raise ValueError("not a header") from error
    match rng.randrange(6):
        case 0:
            fields["descr"] = rng.choice(_DESCRIPTIONS)
        case 1:
            fields["shape"] = rng.choice(_SHAPES)
        case 2:
            fields["fortran_order"] = rng.choice(("True", "None", "2"))
        case 3:
            fields.pop(rng.choice(list(fields)), None)
        case 4:
            body = rng.choice((body[: rng.randrange(len(body) + 1)], body + b"\0" * 99, _overwrite(rng, body)))
        case _:
            body = (struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e38, -1.0))) * len(body))[: len(body)]
    text = "{" + ", ".join(f"{key!r}: {value}" for key, value in fields.items()) + "}"
    text += " " * (-(11 + len(text)) % 64) + "\n"
    return data[:8] + (len(text) % 65536).to_bytes(2, "little") + text.encode("latin-1") + body


def change_npz(rng: random.Random, data: bytes) -> bytes:
    """Change, rename, drop or repeat one array of a zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error) as error:
        raise ValueError("not an archive") from error
    if not members:
        raise ValueError("an empty archive")
    position = rng.randrange(len(members))
    name, content = members[position]
    match rng.randrange(8):
        case 0:
            del members[position]
        case 1:
            other = members[rng.randrange(len(members))][0]
            members[position] = rng.choice((other, "../x.npy", "/x.npy", "", "x", "é.npy", "a" * 300)), content
        case 2:
            members[position] = name, members[rng.randrange(len(members))][1]
        case 3:
            members[position] = name, _overwrite(rng, content)
        case _:
            members[position] = name, change_npy(rng, content)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, body in dict(members).items():
            archive.writestr(zipfile.ZipInfo(member), body)
    return stream.getvalue()


def change_tar(rng: random.Random, data: bytes) -> bytes:
    """Change a field of one header of a tar archive and correct its checksum."""
    blocks = [block for block in range(0, len(data) - 511, 512) if data[block + 257 : block + 262] == b"ustar"]
    if not blocks:
        raise ValueError("no header")
    start = rng.choice(blocks)
    header = bytearray(data[start : start + 512])
    octal = rng.choice(
        (b"00000000000\0", b"77777777777\0", b"-0000000001\0", b"\x80" + bytes(7) + b"\xff" * 4, b"\xff" * 12)
    )
    match rng.randrange(6):
        case 0:
            header[124:136] = octal
        case 1:
            header[156] = rng.choice(b"0123456xgLKSDVM\0z")
        case 2:
            name = rng.choice(tokens.TEXTS).encode("utf-8", "surrogatepass")[:100]
            header[0:100] = name.ljust(100, b"\0")
        case 3:
            header[100:124] = rng.randbytes(24)
        case 4:
            header[136:148] = octal
        case _:
            header[rng.randrange(512)] = rng.randrange(256)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % (sum(header) & 0o777777)
    extra = rng.choice((b"", b"", data[start : start + tarfile.BLOCKSIZE]))
    return data[:start] + bytes(header) + extra + data[start + 512 :]


def change_gzip(rng: random.Random, data: bytes) -> bytes:
    """Change the table behind the compression."""
    try:
        text = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError("not compressed") from error
    return gzip.compress(structures.change_csv(rng, text), mtime=0)


def change_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Change the header of a file of tensors and correct its length."""
    n_header = int.from_bytes(data[:8], "little")
    header = structures.change_json(rng, data[8 : 8 + n_header])
    return len(header).to_bytes(8, "little") + header + data[8 + n_header :]


def change_dicom(rng: random.Random, data: bytes) -> bytes:
    """Change the value, the type or the length of one element of a DICOM file, or repeat or drop the element."""
    elements = _split_dicom(data)
    start, value, end = rng.choice(elements)
    head, body = bytearray(data[start:value]), data[value:end]
    n_length = 4 if bytes(head[4:6]) in _LONG_VRS else 2
    match rng.randrange(7):
        case 0:
            return data[:start] + data[end:]
        case 1:
            other_start, _, other_end = rng.choice(elements)
            return data[:start] + data[other_start:other_end] + data[start:]
        case 2:
            head[4:6] = rng.choice(_VRS)
            return data[:start] + bytes(head) + data[value:]
        case 3:
            head[-n_length:] = (rng.choice(tokens.INTEGERS) % 256**n_length).to_bytes(n_length, "little")
            return data[:start] + bytes(head) + data[value:]
        case 4:
            body = _overwrite(rng, body)
        case 5:
            body = (rng.choice(tokens.INTEGERS) % 65536).to_bytes(2, "little") * rng.choice((0, 1, 2))
        case _:
            body = rng.choice((*tokens.TEXTS, "NaN\\inf", "1\\2\\3", "a^b")).encode("utf-8", "surrogatepass")
    body += b"\0" * (len(body) % 2)
    head[-n_length:] = (len(body) % 256**n_length).to_bytes(n_length, "little")
    return data[:start] + bytes(head) + body + data[end:]


def _split_png(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + size]))
        position += 12 + size
    if not chunks:
        raise ValueError("no chunk")
    return chunks


def _split_dicom(data: bytes) -> list[tuple[int, int, int]]:
    """The start, the start of the value, and the end of each element in explicit little-endian encoding."""
    elements, start = [], _DICOM_START
    while start + 8 <= len(data):
        is_long = data[start + 4 : start + 6] in _LONG_VRS
        value = start + (12 if is_long else 8)
        size = int.from_bytes(data[start + 8 : value] if is_long else data[start + 6 : value], "little")
        end = min(len(data), value + size)
        elements.append((start, value, end))
        start = end
    if not elements:
        raise ValueError("no element")
    return elements


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return rng.randbytes(4)
    start = rng.randrange(len(data))
    new = rng.choice((rng.randbytes(1), rng.randbytes(4), *rng.choices(tokens.BYTES, k=2)))
    return (data[:start] + new + data[start + len(new) :])[: len(data)]

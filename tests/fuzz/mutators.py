"""Make invalid inputs from valid ones: changes of bytes that suit any format, and changes of the structure of some."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from fuzz import containers, structures, tokens

MAX_BYTES = 1_000_000
_STRUCTURE_SHARE = 0.7
_N_CHANGES = (1, 1, 1, 2, 3, 8)

STRUCTURES: Mapping[str, Callable[[random.Random, bytes], bytes]] = {
    "json": structures.change_json,
    "json lines": structures.change_json_lines,
    "yaml": structures.change_yaml,
    "csv": structures.change_csv,
    "text": structures.change_text,
    "png": containers.change_png,
    "npy": containers.change_npy,
    "npz": containers.change_npz,
    "tar": containers.change_tar,
    "gzip": containers.change_gzip,
    "safetensors": containers.change_safetensors,
    "dicom": containers.change_dicom,
}
"""The changes of structure by format; they fail on an input that has lost its structure."""


def generate_input(rng: random.Random, format: str, examples: Sequence[bytes]) -> bytes:
    """Make one input from the examples of a parser; the same generator state gives the same bytes."""
    data = rng.choice(examples)
    change = STRUCTURES.get(format)
    if change is not None and rng.random() < _STRUCTURE_SHARE:
        for _ in range(rng.choice(_N_CHANGES[:-1])):
            try:
                data = change(rng, data)
            except Exception:  # noqa: BLE001  earlier changes may have broken the structure in any way
                break
        if rng.random() < _STRUCTURE_SHARE:
            return data[:MAX_BYTES]
    for _ in range(rng.choice(_N_CHANGES)):
        data = rng.choice(_BYTE_CHANGES)(rng, data, examples)
    return data[:MAX_BYTES]


def _flip_bits(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_bytes(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.choice((1, 2, 4, 16))) + data[start + rng.choice((0, 1, 2, 4, 16)) :]


def _truncate(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _delete(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _choose_range(rng, data)
    return data[:start] + data[end:]


def _duplicate(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _choose_range(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[end:]


def _move(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _choose_range(rng, data)
    rest = data[:start] + data[end:]
    position = rng.randrange(len(rest) + 1)
    return rest[:position] + data[start:end] + rest[position:]


def _splice(rng: random.Random, data: bytes, examples: Sequence[bytes]) -> bytes:
    other = rng.choice(examples)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _insert_token(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    token = rng.choice((rng.choice(tokens.BYTES), rng.choice(tokens.TEXTS).encode("utf-8", "surrogatepass")))
    start = rng.randrange(len(data) + 1)
    return data[:start] + token + data[start + rng.choice((0, len(token))) :]


def _declare_size(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Overwrite some bytes with an integer, as a length or a count in a header."""
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(tokens.INTEGERS) % (1 << 8 * size)
    start = rng.randrange(min(len(data), rng.choice((64, 1024, MAX_BYTES))) + 1)
    return data[:start] + value.to_bytes(size, rng.choice(("little", "big"))) + data[start + size :]


def _choose_range(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 16, 64, 1000, len(data))))


_BYTE_CHANGES = (
    *(_flip_bits, _flip_bits, _set_bytes, _truncate, _delete, _duplicate, _move, _splice, _insert_token, _declare_size),
)

"""From chosen images to a study's folder: files that tell nothing, what is served, and the key beside it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data import random_streams
from synthcxr.data.images import UInt8
from synthcxr.reader_study import access_codes, answer_key, constant_size_png, public_files
from synthcxr.reader_study import design as plan
from synthcxr.reader_study.answer_key import Key, Place, Truth
from synthcxr.reader_study.design import Candidate, Cases, Design, Showing
from synthcxr.reader_study.public_files import Reader, Served, Shown

_WRITTEN_S = 946_684_800  # 2000-01-01: all files say the same time
_CHOICE, _ORDER = 0, 1

Read = Callable[[Candidate], UInt8]


def choose(candidates: Sequence[Candidate], design: Design, seed: int) -> Cases:
    """The cases of a study of this seed: half real, or for teaching alone where there are no films."""
    rng = random_streams.open_stream(seed, _CHOICE)
    if any(candidate.origin == "real" for candidate in candidates):
        return plan.choose(candidates, design, rng)
    return plan.choose_alone(candidates, design, rng)


def write(
    study: Path,
    cases: Cases,
    design: Design,
    *,
    seed: int,
    title: str,
    read: Read,
    truth: Callable[[Candidate], Truth],
    about: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write the study into an empty folder and return its readers' codes.

    Names and codes are random whatever the seed, which decides only what is shown and in which order.
    """
    orders = [
        plan.order(cases, design.repeats, random_streams.open_stream(seed, _ORDER + at)) for at in range(design.readers)
    ]
    files: dict[tuple[str, str, bool], str] = {}
    shown: dict[str, Candidate] = {}
    for showing in (showing for order in orders for showing in order):
        for candidate in showing.images:
            name = files.setdefault(_file(candidate, showing), f"{secrets.token_hex(16)}.png")
            shown[name] = candidate
    side = _write_images(study / public_files.FOLDER / public_files.IMAGES, shown, read)
    given = [access_codes.make() for _ in orders]
    named = secrets.token_hex(16)
    readers = tuple(
        Reader(number, access_codes.digest(code), tuple(_screen(showing, files) for showing in order))
        for number, (code, order) in enumerate(zip(given, orders, strict=True), start=1)
    )
    only_teaches = all(candidate.origin == "synthetic" for candidate in cases.images)
    public_files.write(study, Served(named, title, side, readers, only_teaches))
    places = {number: tuple(_place(showing, files) for showing in order) for number, order in enumerate(orders, 1)}
    truths = {name: truth(candidate) for name, candidate in sorted(shown.items())}
    answer_key.write(study / answer_key.FOLDER, Key(named, dict(about) | {"seed": seed}, truths, places), given)
    return tuple(given)


def _file(candidate: Candidate, showing: Showing) -> tuple[str, str, bool]:
    """What has a file of its own: an image, and again where it is shown a second time."""
    return candidate.origin, candidate.name, showing.role == "repeat"


def _write_images(folder: Path, shown: Mapping[str, Candidate], read: Read) -> int:
    """Write the files in the order of their random names, all dated alike; gives the side of the images in pixels."""
    folder.mkdir(parents=True)
    side = 0
    for name in sorted(shown):
        pixels = read(shown[name])
        side = pixels.shape[0]
        (folder / name).write_bytes(constant_size_png.encode(np.ascontiguousarray(pixels)))
        os.utime(folder / name, (_WRITTEN_S, _WRITTEN_S))
    return side


def _screen(showing: Showing, files: Mapping[tuple[str, str, bool], str]) -> Shown:
    place = _place(showing, files)
    return Shown(place.images, practice=place.role == "practice", finding=place.finding)


def _place(showing: Showing, files: Mapping[tuple[str, str, bool], str]) -> Place:
    names = tuple(files[_file(candidate, showing)] for candidate in showing.images)
    return Place(showing.role, names, showing.finding)

"""What stands beside the images of a dataset: metadata.csv, latents.npy, croissant.json, run.json."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr import records, seeds
from synthcxr.writers import croissant, journal, run
from synthcxr.writers.journal import Journal
from synthcxr.writers.request import Request
from synthcxr.writers.run import Origin
from synthcxr.writers.store import LATENTS

_CHUNK = 4096


def finish(folder: Path, request: Request, origin: Origin) -> dict[str, Any]:
    """Write all four for the images that the journal in `folder` lists, and return what run.json says."""
    lines, indices = Journal(folder / journal.NAME), array("q")
    records.write_metadata(folder / records.METADATA, _rows(lines, indices))
    write_latents(folder, indices, seed=request.seed, size=origin.generator.latent)
    croissant.write(folder, request, origin)
    _, draws = lines.totals()
    wall_s = sum(line.wall_s for line in lines.lines())
    return run.write(folder, request, origin, found=len(indices), draws=draws, wall_s=wall_s)


def _rows(lines: Journal, indices: array[int]) -> Iterator[dict[str, Any]]:
    """The rows of metadata.csv, one in memory at a time; the candidates' numbers are added to `indices` on the way."""
    for record in lines.records():
        indices.append(record.index)
        yield records.to_row(record)


def write_latents(folder: Path, indices: Sequence[int], *, seed: int, size: int) -> None:
    """Write latents.npy, float32 [n, size]: the latent of each image, a few thousand rows at a time."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(indices), size)}
    with (folder / LATENTS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for at in range(0, len(indices), _CHUNK):
            rows = [seeds.latents(seed, index, 1, size) for index in indices[at : at + _CHUNK]]
            file.write(np.concatenate(rows).astype("<f4").tobytes())

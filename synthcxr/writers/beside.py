"""What stands beside the images of a dataset: metadata.csv, latents.npy, croissant.json, run.json."""

from __future__ import annotations

from collections.abc import Sequence
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
    lines = list(Journal(folder / journal.NAME).lines())
    made = [record for line in lines for record in line.records]
    records.write_metadata(folder / records.METADATA, map(records.to_row, made))
    write_latents(folder, [record.index for record in made], seed=request.seed, size=origin.generator.latent)
    croissant.write(folder, request, origin)
    wall_s = sum(line.wall_s for line in lines)
    return run.write(folder, request, origin, found=len(made), draws=lines[-1].draws, wall_s=wall_s)


def write_latents(folder: Path, indices: Sequence[int], *, seed: int, size: int) -> None:
    """Write latents.npy, float32 [n, size]: the latent of each image, a few thousand rows at a time."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(indices), size)}
    with (folder / LATENTS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for at in range(0, len(indices), _CHUNK):
            rows = [seeds.latents(seed, index, 1, size) for index in indices[at : at + _CHUNK]]
            file.write(np.concatenate(rows).astype("<f4").tobytes())

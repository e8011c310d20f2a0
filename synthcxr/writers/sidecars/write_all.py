"""What stands beside the images of a dataset: metadata.csv, Data_Entry.csv, latents.npy, croissant.json, run.json."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import random_streams, records
from synthcxr.writers import journal
from synthcxr.writers.formats.store import LATENTS
from synthcxr.writers.generation_request import Request
from synthcxr.writers.journal import Journal, Line
from synthcxr.writers.sidecars import croissant, data_entry_csv, run_json
from synthcxr.writers.sidecars.run_json import Origin

_CHUNK = 4096


def finish(folder: Path, request: Request, origin: Origin) -> dict[str, Any]:
    """Write all of it for the images that the journal in `folder` lists, and return what run.json says."""
    lines = Journal(folder / journal.NAME)
    records.write_metadata(folder / records.METADATA, (records.to_row(record) for record in lines.records()))
    data_entry_csv.write(folder, lines.records(), side=origin.generator.resolution)
    write_latents(folder, lines, seed=request.seed, size=origin.generator.latent)
    croissant.write(folder, request, origin)
    found, draws = lines.totals()
    wall_s = sum(line.wall_s for line in lines.lines())
    return run_json.write(folder, request, origin, found=found, draws=draws, runs=lines.runs(), wall_s=wall_s)


def write_latents(folder: Path, lines: Journal, *, seed: int, size: int) -> None:
    """Write latents.npy, float32 [n, size]: the latent of each image, a few thousand rows at a time."""
    found, _ = lines.totals()
    header = {"descr": "<f4", "fortran_order": False, "shape": (found, size)}
    with (folder / LATENTS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in _latents(lines.lines(), seed, size):
            file.write(rows.astype("<f4").tobytes())


def _latents(lines: Iterable[Line], seed: int, size: int) -> Iterator[NDArray[np.float32]]:
    """The latents that a search came to, or the candidates' own."""
    for line in lines:
        if line.latents:
            yield journal.unpacked(line.latents, size)
            continue
        indices = array("q", (record.index for record in line.records))
        for at in range(0, len(indices), _CHUNK):
            yield np.concatenate([random_streams.latents(seed, index, 1, size) for index in indices[at : at + _CHUNK]])

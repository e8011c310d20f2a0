"""The files beside the images of a dataset: metadata.csv, Data_Entry.csv, latents.npy, croissant.json and run.json."""

from __future__ import annotations

import dataclasses
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data.synthetic_dataset import METADATA_FILE, open_metadata, to_metadata_row
from synthcxr.storage.progress import open_progress
from synthcxr.writers.generation_request import GenerationRequest, Origin
from synthcxr.writers.journal import JOURNAL_FILE, Journal, JournalLine
from synthcxr.writers.sidecars.croissant import write_croissant
from synthcxr.writers.sidecars.data_entry_csv import open_data_entry
from synthcxr.writers.sidecars.latents_npy import open_latents
from synthcxr.writers.sidecars.readme_md import write_readme
from synthcxr.writers.sidecars.run_json import write_run


def write_sidecars(folder: Path, request: GenerationRequest, origin: Origin) -> dict[str, Any]:
    """Write all files for the images in the journal of `folder`, and return the content of run.json.

    The journal is read once: reading it is most of the work.
    """
    totals = _Totals()
    with (
        open_metadata(folder / METADATA_FILE) as add_row,
        open_data_entry(folder, side=origin.generator.resolution) as add_entry,
        open_latents(folder, seed=request.seed, size=origin.generator.latent) as add_latents,
        open_progress("writing metadata and latents", total=request.n, unit="images") as progress,
    ):
        for line in Journal(folder / JOURNAL_FILE).lines():
            totals.add(line)
            add_latents(line)
            for record in line.records:
                add_row(to_metadata_row(record))
                add_entry(record)
            progress.update(len(line.records))
    write_croissant(folder, request, origin)
    write_readme(folder, request.format)
    return write_run(
        folder,
        request,
        origin,
        counts=request.count_found(totals.candidates),
        draws=request.count_draws(totals.draws),
        runs=totals.runs,
        weights=np.array(totals.weights),
        wall_s=totals.wall_s,
    )


@dataclasses.dataclass
class _Totals:
    """What run.json needs of all lines of the journal."""

    candidates: array[int] = dataclasses.field(default_factory=lambda: array("q"))
    draws: list[int] = dataclasses.field(default_factory=list)
    weights: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    runs: int = 0
    wall_s: float = 0.0

    def add(self, line: JournalLine) -> None:
        """Add one line."""
        self.candidates.extend(record.index for record in line.records)
        self.weights.extend(record.weight for record in line.records)
        self.draws.append(line.draws)
        self.runs += line.runs
        self.wall_s += line.wall_s

"""The files beside the images of a dataset: metadata.csv, Data_Entry.csv, latents.npy, croissant.json and run.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data.synthetic_dataset import METADATA_FILE, to_metadata_row, write_metadata
from synthcxr.storage.progress import track
from synthcxr.writers.generation_request import GenerationRequest, Origin
from synthcxr.writers.journal import JOURNAL_FILE, Journal
from synthcxr.writers.sidecars.croissant import write_croissant
from synthcxr.writers.sidecars.data_entry_csv import DATA_ENTRY_FILE, write_data_entry
from synthcxr.writers.sidecars.latents_npy import write_latents
from synthcxr.writers.sidecars.readme_md import write_readme
from synthcxr.writers.sidecars.run_json import write_run


def write_sidecars(folder: Path, request: GenerationRequest, origin: Origin) -> dict[str, Any]:
    """Write all files for the images in the journal of `folder`, and return the content of run.json."""
    journal = Journal(folder / JOURNAL_FILE)
    records = track(journal.records(), METADATA_FILE, unit="rows", total=request.n)
    write_metadata(folder / METADATA_FILE, map(to_metadata_row, records))
    records = track(journal.records(), DATA_ENTRY_FILE, unit="rows", total=request.n)
    write_data_entry(folder, records, side=origin.generator.resolution)
    write_latents(folder, journal, seed=request.seed, size=origin.generator.latent)
    write_croissant(folder, request, origin)
    write_readme(folder, request.format)
    return write_run(
        folder,
        request,
        origin,
        counts=request.count_found(record.index for record in journal.records()),
        draws=request.count_draws(line.draws for line in journal.lines()),
        runs=journal.count_runs(),
        weights=np.array([record.weight for record in journal.records()]),
        wall_s=sum(line.wall_s for line in journal.lines()),
    )

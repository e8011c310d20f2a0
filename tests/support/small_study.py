"""A small reader study of phantoms: packed films, a dataset in the format of `generate`, and the study itself."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
from support.run_json import build_run

from synthcxr.data import images
from synthcxr.data.film_dataset import build_film_dataset
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, to_metadata_row, write_metadata
from synthcxr.reader_study.design import Design
from synthcxr.readers import phantom
from synthcxr.stages import reader_study_create
from synthcxr.storage import digests, json_files

SIDE = 64
DESIGN = Design(n=20, readers=2, repeats=4, practice=2, pairs=4, findings=())


def write_films(out: Path, n: int, side: int = SIDE) -> Path:
    """Write packed phantoms, all of test patients."""
    films = list(phantom.read_films(n_films=n, resolution=side, seed=1))
    splits = {film.image_index: "test" for film in films}
    out.mkdir(parents=True)
    build_film_dataset(films, out=out, resolution=side, splits=splits, on_bad="error")
    return out


def write_dataset(out: Path, n: int, side: int = SIDE) -> Path:
    """Write a synthetic dataset of other phantoms, with the file names and labels of generated images."""
    rng = np.random.default_rng(7)
    records = []
    for index in range(n):
        findings = phantom.sample_findings_and_view(2, index)[0] or (NO_FINDING,)
        name = f"images/00000/{index:08d}.png"
        png = images.encode_png(images.quantise(phantom.draw_film(2, index, side)))
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        probabilities = tuple(
            float(rng.uniform(0.6, 0.95) if finding in findings else rng.uniform(0.01, 0.4)) for finding in FINDINGS
        )
        records.append(ImageRecord(name, index, 2, "", findings, probabilities, 1.0, digests.sha256_bytes(png)))
    write_metadata(out / METADATA_FILE, map(to_metadata_row, records))
    model = {"name": "phantoms", "digests": {"classifier": "c", "generator": "g"}, "resolution": side, "phantom": True}
    json_files.write_json(out / RUN_FILE, build_run(n, model=model, request={"seed": 2}))
    return out


@dataclasses.dataclass(frozen=True)
class StudyInputs:
    """The packed films and the synthetic dataset of a study."""

    films: Path
    dataset: Path


def create_study(
    inputs: StudyInputs, out: Path, design: Design = DESIGN, seed: int = 5
) -> reader_study_create.CreatedStudy:
    """Create a study in the folder `out`."""
    return reader_study_create.run(
        design, films=inputs.films, dataset=inputs.dataset, models=None, title="Study", seed=seed, out=out
    )


def read_codes(study: Path) -> list[str]:
    """The access codes of the readers."""
    with (study / "key" / "codes.csv").open(encoding="utf-8") as file:
        return [row["code"] for row in csv.DictReader(file)]

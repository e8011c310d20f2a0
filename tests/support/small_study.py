"""A study of drawn phantoms: films packed as real ones are, and a dataset as `generate` leaves it, in a second."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

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
    """Packed phantoms, all of test patients."""
    films = list(phantom.read(n_films=n, resolution=side, seed=1))
    sides = {film.image_index: "test" for film in films}
    out.mkdir(parents=True)
    build_film_dataset(films, out=out, resolution=side, splits=sides, on_bad="error")
    return out


def write_synthetic(out: Path, n: int, side: int = SIDE) -> Path:
    """A dataset of other phantoms, named and labelled as a generator's images are."""
    rng = np.random.default_rng(7)
    held = []
    for index in range(n):
        findings = phantom.plan(2, index)[0] or (NO_FINDING,)
        name = f"images/00000/{index:08d}.png"
        png = images.encode_png(images.quantise(phantom.draw(2, index, side)))
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        p = tuple(float(rng.uniform(0.6, 0.95) if f in findings else rng.uniform(0.01, 0.4)) for f in FINDINGS)
        held.append(ImageRecord(name, index, 2, "", findings, p, 1.0, digests.sha256_bytes(png)))
    write_metadata(out / METADATA_FILE, map(to_metadata_row, held))
    model = {"name": "phantoms", "digests": {"classifier": "c", "generator": "g"}, "resolution": side, "phantom": True}
    json_files.write_json(out / RUN_FILE, {"model": model})
    return out


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a study is made from."""

    real: Path
    synthetic: Path


def make(inputs: Inputs, out: Path, design: Design = DESIGN, seed: int = 5) -> reader_study_create.Made:
    """A study in the folder `out`."""
    return reader_study_create.create(
        design, real=inputs.real, synthetic=inputs.synthetic, models=None, title="Study", seed=seed, out=out
    )


def codes(study: Path) -> list[str]:
    """The codes of its readers."""
    with (study / "key" / "codes.csv").open(encoding="utf-8") as file:
        return [row["code"] for row in csv.DictReader(file)]

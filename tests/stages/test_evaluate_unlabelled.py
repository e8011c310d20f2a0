"""Films without labels in the test split: they count in the search for near copies, and nowhere else."""

from __future__ import annotations

import dataclasses
import shutil
from typing import Any

from support.evaluation_project import EvaluationProject, pack_films

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.synthetic_dataset import RUN_FILE
from synthcxr.storage import json_files

N_TRAIN, N_TEST = 60, 60


def evaluate(project: EvaluationProject, name: str, **n_unlabelled_by_split: int) -> dict[str, Any]:
    root = project.root / name
    films = pack_films(root / "films", n_unlabelled_by_split=n_unlabelled_by_split)
    synthetic = shutil.copytree(project.synthetic, root / "synthetic")
    run = json_files.read_json(synthetic / RUN_FILE)
    run["model"]["training_data"] = open_film_dataset(films).fingerprint
    json_files.write_json(synthetic / RUN_FILE, run)
    changed = dataclasses.replace(project, films=films, synthetic=synthetic, root=root)
    changed.evaluate()
    return changed.read_json()


def test_held_out_films_without_labels_are_compared_in_the_search_for_copies_only(project: EvaluationProject) -> None:
    """Distances and labels do not change. The null of near copies grows by these films, and needs no training film."""
    without = evaluate(project, "without", train=N_TRAIN)
    held_out = evaluate(project, "held_out", train=N_TRAIN, test=N_TEST)
    for section in ("distance", "coverage", "labels", "cofindings"):
        assert held_out[section] == without[section], section
    spaces = {
        space: row for space, row in held_out["privacy"].items() if "n_null" in (row if isinstance(row, dict) else ())
    }
    assert spaces
    for space, row in spaces.items():
        assert row["n_null"] >= without["privacy"][space]["n_null"], space
        assert row["held_out_only"] is None, "every kind of film is held out"
        assert without["privacy"][space]["held_out_only"] is not None, "training films stand in"
    assert held_out["privacy"] != without["privacy"]

"""Time and memory of both check suites on 112,120 rows (the size of NIH ChestX-ray14), with and without Data Docs.

The manifests are random, with 5 % of each finding. No image is read.

    python benchmarks/checks.py [--n 112120] [--out benchmarks/results/checks.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import great_expectations
import numpy as np
import pandas as pd

from synthcxr.checks import films, gx_runner, runner, synthetic
from synthcxr.checks.expectation import Check, Expectation
from synthcxr.data.films import MANIFEST_COLUMNS, SPLITS
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS

PATIENTS = 30_805


def build_manifest(n: int) -> pd.DataFrame:
    """Build a valid film manifest."""
    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, PATIENTS, n))
    frame = pd.DataFrame(
        {
            "image_index": [f"{index:08d}.png" for index in range(n)],
            "patient_id": patient.astype(str),
            "source": "nih",
            "view": rng.choice(["PA", "AP"], n),
            "split": np.array(SPLITS)[patient % len(SPLITS)],
            "size": 1024,
            "sha256": "0a" * 32,
        }
    )
    for finding in FINDINGS:
        frame[finding] = (rng.random(n) < 0.05).astype(np.float32)
    return frame.loc[:, list(MANIFEST_COLUMNS)]


def build_dataset(n: int) -> pd.DataFrame:
    """Build the table of a valid synthetic dataset, as the suite checks it."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"file_name": [f"shards/00000.tar/{index:08d}.png" for index in range(n)], "index": range(n)})
    frame["Finding Labels"] = rng.choice(["No Finding", "Edema", "Edema|Mass", "Hernia"], n, p=[0.5, 0.3, 0.15, 0.05])
    frame = frame.assign(seed=1, requested="", weight=1.0, sha256="0a" * 32)
    for column in PROBABILITY_COLUMNS:
        frame[column] = rng.random(n)
    return frame.assign(**{"request met": True, "probable": True, "latent": True, "file": True, "side": 256})


def measure(n: int) -> dict[str, dict[str, float]]:
    """Measure the seconds of each suite and the peak memory of the process after it, in MB."""
    manifest_table, dataset_table = films.build_table(build_manifest(n)), build_dataset(n)
    reference = {"No Finding": 0.5, "Edema": 0.3, "Edema|Mass": 0.15, "Hernia": 0.05}
    sets = Expectation(
        "expect_label_sets_to_be_distributed_as",
        {"column": "Finding Labels", "reference": reference, "max_value": 0.05},
    )
    checks = [*synthetic.list_checks(n, 256), Check("label sets", "label sets have the expected shares", sets)]
    with tempfile.TemporaryDirectory() as folder:
        tasks = {
            "the tables alone": lambda: None,
            "films, directly": lambda: runner.run_checks(
                manifest_table, films.list_checks(1024), label=films.LABEL_COLUMN, name="films", is_direct=True
            ),
            "dataset, directly": lambda: runner.run_checks(
                dataset_table, synthetic.list_checks(n, 256), label=synthetic.LABEL_COLUMN, name="", is_direct=True
            ),
            "films": lambda: gx_runner.run_checks(manifest_table, films.list_checks(1024), label=films.LABEL_COLUMN),
            "dataset": lambda: gx_runner.run_checks(dataset_table, checks, label=synthetic.LABEL_COLUMN),
            "films, all rows failing": lambda: gx_runner.run_checks(
                manifest_table.assign(view="LL"), films.list_checks(1024), label=films.LABEL_COLUMN
            ),
            "films with Data Docs": lambda: _check_with_docs(manifest_table, Path(folder)),
        }
        return {name: _measure_task(task) for name, task in tasks.items()}


def _check_with_docs(manifest_table: pd.DataFrame, folder: Path) -> None:
    docs = gx_runner.DataDocs(folder)
    gx_runner.run_checks(manifest_table, films.list_checks(1024), label=films.LABEL_COLUMN, name="films", docs=docs)
    docs.build()


def _measure_task(task: object) -> dict[str, float]:
    started = time.perf_counter()
    task()  # type: ignore[operator]
    wall_s = time.perf_counter() - started
    return {"wall_s": round(wall_s, 2), "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def main() -> None:
    """Print the result and write it as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=112_120)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/checks.json"))
    arguments = parser.parse_args()
    result = {
        "n": arguments.n,
        "machine": {"cpu": platform.processor() or platform.machine(), "n_cores": os.cpu_count()},
        "versions": {"great-expectations": great_expectations.__version__, "pandas": pd.__version__},
        "checks": measure(arguments.n),
    }
    print(json.dumps(result, indent=2))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

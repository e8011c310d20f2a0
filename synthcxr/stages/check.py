"""Check packed films and synthetic datasets with their suites, and write Data Docs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from synthcxr.checks import films, gx_runner, suite_file, synthetic
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.gx_runner import DataDocs
from synthcxr.data.dataset_kind import Kind, detect_kind
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.errors import DataError
from synthcxr.storage import output_lock

SUITE_FOLDER = Path("expectations")
_DATASET_SPECIFIC_CHECKS = {"films": {"resolution"}, "synthetic": {"rows", "sizes"}}


@output_lock.fills_folder(argument="docs")
def run(paths: Sequence[Path], *, docs: Path | None, suite: Path | None = None) -> dict[str, CheckResult]:
    """Check each folder and return the results by path. `docs` is a folder for Data Docs with a page for each suite.

    Packed films are checked by their manifest, a synthetic dataset by its manifest and all its files. `suite` is a
    suite file to run instead of the shipped suite. Raises DataError for a folder that is neither kind, and for two
    folders of one kind with `docs`.
    """
    own_checks = None if suite is None else suite_file.read_suite(suite)
    kinds = {path: detect_kind(path) for path in paths}
    if docs is not None and len(set(kinds.values())) < len(kinds):
        raise DataError(
            "Data Docs can hold one folder of films and one synthetic dataset; check the other folders separately"
        )
    data_docs = None if docs is None else DataDocs(docs)
    results = {}
    for path, kind in kinds.items():
        if own_checks is not None:
            table, label = _build_table(path, kind)
            results[str(path)] = gx_runner.run_checks(table, own_checks, label=label, name=kind, docs=data_docs)
        elif kind == "films":
            dataset = open_film_dataset(path)
            results[str(path)] = films.check_films(dataset.manifest, resolution=dataset.resolution, docs=data_docs)
        else:
            results[str(path)] = synthetic.check_dataset(
                path, images=True, reference=None, max_label_kl=None, docs=data_docs
            )
    if data_docs is not None:
        data_docs.build()
    return results


def render_suites() -> dict[Path, str]:
    """Render the shipped suites as project files, without the checks that hold for one dataset only."""
    shipped = {"films": films.list_checks(1), "synthetic": synthetic.list_checks(1, 1)}
    reusable = {
        name: [check for check in checks if check.name not in _DATASET_SPECIFIC_CHECKS[name]]
        for name, checks in shipped.items()
    }
    return {SUITE_FOLDER / f"{name}.json": suite_file.render_suite(name, checks) for name, checks in reusable.items()}


def _build_table(path: Path, kind: Kind) -> tuple[pd.DataFrame, str]:
    if kind == "films":
        return films.build_table(open_film_dataset(path).manifest), films.LABEL_COLUMN
    return synthetic.build_table(path), synthetic.LABEL_COLUMN

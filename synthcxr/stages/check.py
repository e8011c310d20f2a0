"""Check packed films and synthetic datasets by their suites, with pages that a person opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from synthcxr.checks import films, gx_runner, suite_file, synthetic
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.gx_runner import Docs
from synthcxr.data.film_dataset import ABOUT_FILE, open_film_dataset
from synthcxr.data.synthetic_dataset import RUN_FILE
from synthcxr.errors import DataError

FOLDER = Path("expectations")
_OF_ONE_DATASET = {"films": {"resolution"}, "synthetic": {"rows", "sizes"}}


def run(paths: Sequence[Path], *, docs: Path | None, own: Path | None = None) -> dict[str, CheckResult]:
    """What each folder's suite found, by its path; `docs` gets Data Docs, with a page for each suite.

    A packed dataset is checked by its manifest, a synthetic one by its manifest and all its files; `own` is the file
    of a suite to run instead of the one that ships. DataError for a folder that is neither kind, and for two of one
    kind where `docs` are asked for.
    """
    asked = None if own is None else suite_file.read(own)
    kinds = {path: _kind(path) for path in paths}
    if docs is not None and len(set(kinds.values())) < len(kinds):
        raise DataError("Data Docs hold one folder of films and one synthetic dataset; check the others on their own")
    pages = None if docs is None else Docs(docs)
    found = {}
    for path, kind in kinds.items():
        if asked is not None:
            table, label = _table(path, kind)
            found[str(path)] = gx_runner.run(table, asked, label=label, name=kind, docs=pages)
        elif kind == "films":
            packed = open_film_dataset(path)
            found[str(path)] = films.check(packed.manifest, resolution=packed.resolution, docs=pages)
        else:
            found[str(path)] = synthetic.check(path, images=True, reference=None, max_label_kl=None, docs=pages)
    if pages is not None:
        pages.build()
    return found


def texts() -> dict[Path, str]:
    """The suites that ship as files of a project, without what one dataset alone can keep to."""
    shipped = {"films": films.expected(1), "synthetic": synthetic.expected(1, 1)}
    lasting = {
        name: [item for item in expected if item.name not in _OF_ONE_DATASET[name]]
        for name, expected in shipped.items()
    }
    return {FOLDER / f"{name}.json": suite_file.text(name, expected) for name, expected in lasting.items()}


def _table(path: Path, kind: str) -> tuple[pd.DataFrame, str]:
    if kind == "films":
        return films.table(open_film_dataset(path).manifest), films.LABEL
    return synthetic.table(path), synthetic.LABEL


def _kind(path: Path) -> str:
    if (path / ABOUT_FILE).is_file():
        return "films"
    if (path / RUN_FILE).is_file():
        return "synthetic"
    raise DataError(f"{path}: holds neither packed films nor a synthetic dataset")

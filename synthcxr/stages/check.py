"""Check packed films and synthetic datasets by their suites, with pages that a person opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthcxr import dataset as datasets
from synthcxr import records
from synthcxr.checks import films, synthetic
from synthcxr.checks.result import CheckResult
from synthcxr.checks.suite import Docs
from synthcxr.errors import DataError


def run(paths: Sequence[Path], *, docs: Path | None) -> dict[str, CheckResult]:
    """What each folder's suite found, by its path; `docs` gets Data Docs, with a page for each suite.

    A packed dataset is checked by its manifest, a synthetic one by its manifest and all its files. DataError for a
    folder that is neither, or for two of one kind where `docs` are asked for.
    """
    kinds = {path: _kind(path) for path in paths}
    if docs is not None and len(set(kinds.values())) < len(kinds):
        raise DataError("Data Docs hold one folder of films and one synthetic dataset; check the others on their own")
    pages = None if docs is None else Docs(docs)
    found = {}
    for path, kind in kinds.items():
        if kind == "films":
            packed = datasets.open_dataset(path)
            found[str(path)] = films.check(packed.films, resolution=packed.resolution, docs=pages)
        else:
            found[str(path)] = synthetic.check(path, images=True, reference=None, max_label_kl=None, docs=pages)
    if pages is not None:
        pages.build()
    return found


def _kind(path: Path) -> str:
    if (path / datasets.ABOUT).is_file():
        return "films"
    if (path / records.RUN).is_file():
        return "synthetic"
    raise DataError(f"{path}: holds neither packed films nor a synthetic dataset")

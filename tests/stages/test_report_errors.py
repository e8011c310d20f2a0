"""The report without results, or with results of another version."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.report_project import CONFIG, write_dataset, write_results

from synthcxr.errors import DataError
from synthcxr.stages import report


@pytest.mark.parametrize("name", ["metrics.json", "verdict.json"])
def test_missing_results_are_an_error_that_says_what_to_run(tmp_path: Path, name: str) -> None:
    """Without an evaluation there is one line of error, and nothing is written."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    (results / name).unlink()
    with pytest.raises(DataError, match=rf"no {re.escape(name)}; run `synthcxr evaluate` first"):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=None)
    assert not (results / "report.html").exists()


def test_results_of_another_version_are_an_error(tmp_path: Path) -> None:
    """JSON without the keys of this version is a DataError, not a KeyError."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    (results / "metrics.json").write_text(json.dumps({"phantom": True}))
    with pytest.raises(DataError, match="different versions of synthcxr"):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=None)

"""The checks of the film manifest."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from synthcxr.checks import check_line, gx_runner
from synthcxr.checks import films as film_checks
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.expectation import Check, expect_in
from synthcxr.data.films import MANIFEST_COLUMNS
from synthcxr.data.findings import FINDINGS


def _manifest(n: int = 12) -> pd.DataFrame:
    """A valid manifest: two films per patient, a few findings unknown."""
    frame = pd.DataFrame(
        {
            "image_index": [f"{row:02d}.png" for row in range(n)],
            "patient_id": [str(row // 2) for row in range(n)],
            "source": "nih",
            "view": ["PA", ""] * (n // 2),
            "split": [("train", "judge", "val", "test")[row // 2 % 4] for row in range(n)],
            "size": 64,
            "sha256": "0a" * 32,
        }
    )
    for finding in FINDINGS:
        frame[finding] = pd.Series([0.0, 1.0, float("nan")] * (n // 3), dtype="float32")
    return frame.loc[:, list(MANIFEST_COLUMNS)]


def check_films(manifest: pd.DataFrame, *, resolution: int) -> CheckResult:
    """Run the checks with great-expectations and directly, which give the same lines."""
    result = film_checks.check_films(manifest, resolution=resolution)
    assert film_checks.check_films(manifest, resolution=resolution, is_direct=True) == result
    return result


def test_a_valid_manifest_passes() -> None:
    """Every line passes and names no row; unknown findings and views are allowed."""
    result = check_films(_manifest(), resolution=64)
    assert result.passed
    assert result.as_dict()["failed"] == 0
    assert {line.name for line in result.lines} >= {
        "columns",
        "unique names",
        "patients on one side",
        "split",
        "Hernia",
    }
    assert not any(line.rows for line in result.lines)


FAULTS: list[tuple[int, str, Any]] = [
    (0, "image_index", "01.png"),
    (2, "image_index", None),
    (4, "patient_id", ""),
    (6, "patient_id", None),
    (9, "split", "val"),
    (10, "split", "holdout"),
    (12, "split", None),
    (14, "view", "LL"),
    (16, "size", 3),
    (18, "sha256", "0a"),
    (20, "Mass", 0.5),
    (22, "Hernia", -1.0),
]


def test_faults_name_their_rows() -> None:
    """Each invalid cell fails its own check, which names the image index of the rows."""
    manifest = _manifest(24)
    for row, column, value in FAULTS:
        manifest.loc[row, column] = value
    failed = {line.name: line.rows for line in check_films(manifest, resolution=64).failed}
    assert failed == {
        "unique names": ("01.png", "01.png"),
        "names": ("",),
        "patients": ("04.png", "06.png"),
        "patients on one side": ("04.png", "06.png", "08.png", "09.png", "10.png", "11.png", "12.png", "13.png"),
        "split": ("10.png", "12.png"),
        "view": ("14.png",),
        "sizes": ("16.png",),
        "digests": ("18.png",),
        "Mass": ("20.png",),
        "Hernia": ("22.png",),
    }


def test_missing_columns_are_the_one_line() -> None:
    """Missing columns are named, and no other check runs."""
    (line,) = check_films(_manifest().drop(columns=["view", "Mass"]), resolution=64).lines
    assert (line.name, line.passed, line.rows) == ("columns", False, ("Mass", "view"))


def test_an_empty_manifest_and_one_below_its_resolution_fail() -> None:
    """A dataset packed at 128 px must contain a film of at least 128 px."""
    assert "films" in {line.name for line in check_films(_manifest().head(0), resolution=64).failed}
    (line,) = check_films(_manifest(), resolution=128).failed
    assert line.sentence == "at least one film has 128 px or more: found 64"


def test_at_most_twenty_rows_are_named_and_all_are_counted() -> None:
    """A failure of all rows names 20 of them and counts all."""
    (line,) = check_films(_manifest(60).assign(view="LL"), resolution=64).failed
    assert len(line.rows) == check_line.MAX_ROWS
    assert line.sentence.endswith("fails for 60 of 60 rows")


def test_an_expectation_that_cannot_be_computed_fails_with_the_reason() -> None:
    """An absent column gives a failed line with the message of the library, never a pass."""
    check = Check("colour", "colour is red", expect_in("colour", ["red"]))
    (line,) = gx_runner.run_checks(_manifest(), [check], label="image_index").lines
    assert not line.passed
    assert 'could not be checked (Error: The column "colour" in BatchData does not exist.)' in line.sentence


@pytest.mark.slow
def test_the_suite_prints_and_writes_nothing(tmp_path: Any) -> None:
    """In a fresh process the suite prints nothing, warns of nothing and writes no file."""
    code = (
        "import pandas as pd\n"
        "from synthcxr.checks import films\n"
        "from synthcxr.data.films import MANIFEST_COLUMNS\n"
        "films.check_films(pd.DataFrame({column: ['x'] for column in MANIFEST_COLUMNS}), resolution=8)\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []

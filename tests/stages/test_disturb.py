"""`synthcxr disturb` on drawn films and a judge trained on others of them."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from synthcxr.cli.main import main
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.disturbance import DISTURBANCES
from synthcxr.stages import disturb, prepare

pytestmark = pytest.mark.slow


def run(trained: Any, out: Path, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "data": trained.data,
        "models": trained.onnx,
        "out": out,
        "names": ("judge",),
        "resolution": None,
        "n": 80,
        "n_bootstrap": 5,
        "seed": 1,
        "device": "cpu",
        "features_cache": out.parent / "cache",
    }
    return disturb.run(**(given | changes))


def test_table_figure_and_verdict(trained: Any, tmp_path: Path) -> None:
    """Every extractor, disturbance and level in the table, the same numbers in the JSON, a figure, and a line each."""
    made = run(trained, tmp_path / "out")
    held = json.loads((tmp_path / "out/disturb.json").read_text())
    table = pd.read_csv(tmp_path / "out/disturb.csv")
    assert len(table) == 4 * len(DISTURBANCES)
    for name, rule in DISTURBANCES.items():
        rows = table[table["disturbance"] == name]
        assert tuple(rows["level"]) == rule.levels
        levels = held["extractors"]["judge"]["disturbances"][name]["levels"]
        assert rows["distance"].tolist() == pytest.approx([at["value"] for at in levels], rel=1e-4)
        assert rows["distance"].iloc[0] == table["distance"].iloc[0]
    assert held["n"] == {"reference": 80, "disturbed": 80, "n_bootstrap": 5, "seed": 1}
    assert (held["films"]["resolution"], held["films"]["split"], held["films"]["phantom"]) == (16, "train", True)
    assert len(held["extractors"]["judge"]["digest"]) == 64
    svg = (tmp_path / "out/disturb.svg").read_text()
    ET.fromstring(svg)
    assert all(name in svg for name in (*DISTURBANCES, "judge"))
    assert "#fff" in svg.partition(">")[0]
    (line,) = disturb.lines(made)
    assert line.startswith("judge: grows at every step" if made["extractors"]["judge"]["passed"] else "judge: does not")


def test_the_same_bytes_each_time(trained: Any, tmp_path: Path) -> None:
    """Features from the cache or anew, the files are the same."""
    for name in ("one", "two"):
        run(trained, tmp_path / name)
    for file in (disturb.JSON, disturb.CSV, disturb.FIGURE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_halves_share_no_patient(trained: Any) -> None:
    """What is compared at level 0 are films of different train patients, as many on either side."""
    films = disturb.datasets.open_dataset(trained.data)
    one, other = disturb._halves(films, 16, n=80, seed=1)
    rows = films.rows(16)
    assert len(one) == len(other) == 80
    assert not set(films.patients(rows[one])) & set(films.patients(rows[other]))
    assert set(films.films["split"].to_numpy()[rows[one]]) == {"train"}


def test_a_missing_extractor_is_one_line(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine lacks is said and left out; the others are tried."""
    monkeypatch.setattr("synthcxr.evaluation.features.inception_weights.find", lambda: None)
    made = run(trained, tmp_path / "out", names=("judge", "inception"))
    lines = disturb.lines(made)
    assert lines[1].startswith("inception: not computed: download https://nvlabs")
    assert "disturbances" in made["extractors"]["judge"]


def test_what_cannot_be_tried_is_named(trained: Any, tmp_path: Path) -> None:
    """An unknown extractor, another size than the judge's, too few films: one line each, and nothing is written."""
    with pytest.raises(ConfigError, match="unknown extractor 'fid'"):
        run(trained, tmp_path / "out", names=("fid",))
    with pytest.raises(ConfigError, match=r"--resolution 8: .* sees 16 px"):
        run(trained, tmp_path / "out", resolution=8)
    with pytest.raises(ConfigError, match="must be at least 1"):
        run(trained, tmp_path / "out", n=0)
    with pytest.raises(DataError, match="20 films a side are too few"):
        run(trained, tmp_path / "out", n=20)
    assert not (tmp_path / "out").exists()


def test_films_that_the_judge_saw_do_not_try_it(trained: Any, tmp_path: Path) -> None:
    """Another split of the judge's own films is refused."""
    other = tmp_path / "other"
    prepare.run(dataclasses.replace(trained.config.prepare, seed=9), out=other)
    with pytest.raises(DataError, match="the models have seen .* of its train films"):
        run(trained, tmp_path / "out", data=other)


def test_by_command(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb prints a line for each extractor and where the files are, with the time that it took."""
    monkeypatch.chdir(tmp_path)
    options = ["--extractor", "judge", "--n", "60", "--n-bootstrap", "5", "--out", "out"]
    result = CliRunner().invoke(
        main, ["disturb", "--data", str(trained.data), "--models", str(trained.onnx), *options], catch_exceptions=False
    )
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first.startswith("judge: ")
    assert last.startswith("out: ")

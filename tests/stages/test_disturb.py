"""`synthcxr disturb` on phantom films with a judge that was trained on another split of them."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.cli_runner import invoke

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.disturbance import DISTURBANCES
from synthcxr.stages import disturb, prepare

pytestmark = pytest.mark.slow


def run(trained: Any, out: Path, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "films": trained.data,
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
    return disturb.run(**(arguments | changes))


def test_the_json_the_table_and_the_figure_agree(trained: Any, tmp_path: Path) -> None:
    """The table has every disturbance and level, with the numbers of the JSON; the figure has every curve."""
    result = run(trained, tmp_path / "out")
    written = json.loads((tmp_path / "out/disturb.json").read_text())
    table = pd.read_csv(tmp_path / "out/disturb.csv")
    assert len(table) == 4 * len(DISTURBANCES)
    for name, rule in DISTURBANCES.items():
        rows = table[table["disturbance"] == name]
        assert tuple(rows["level"]) == rule.levels
        levels = written["extractors"]["judge"]["disturbances"][name]["levels"]
        assert rows["distance"].tolist() == pytest.approx([point["value"] for point in levels], rel=1e-4)
        assert rows["distance"].iloc[0] == table["distance"].iloc[0]
    assert written["n"] == {"reference": 80, "disturbed": 80, "n_bootstrap": 5, "seed": 1}
    films = written["films"]
    assert (films["resolution"], films["split"], films["phantom"]) == (16, "train", True)
    assert len(written["extractors"]["judge"]["digest"]) == 64
    svg = (tmp_path / "out/disturb.svg").read_text()
    ET.fromstring(svg)
    assert all(name in svg for name in (*DISTURBANCES, "judge"))
    assert "#fff" in svg.partition(">")[0]
    (line,) = disturb.format_lines(result)
    passed = result["extractors"]["judge"]["passed"]
    assert line.startswith("judge: grows at every step" if passed else "judge: does not grow")


def test_files_are_reproducible(trained: Any, tmp_path: Path) -> None:
    """The files are the same with and without cached features."""
    for name in ("first", "second"):
        run(trained, tmp_path / name)
    for file in (disturb.JSON, disturb.CSV, disturb.FIGURE):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_the_halves_share_no_patient(trained: Any) -> None:
    """Both halves have as many films of the train split, and no patient is in both."""
    films = open_film_dataset(trained.data)
    first, second = disturb._split_in_halves(films, 16, n=80, seed=1)
    rows = films.rows(16)
    assert len(first) == len(second) == 80
    assert not set(films.patients(rows[first])) & set(films.patients(rows[second]))
    assert set(films.manifest["split"].to_numpy()[rows[first]]) == {"train"}


def test_an_unavailable_extractor_is_reported(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor that cannot be opened is one line with advice; the others are measured."""
    monkeypatch.setattr("synthcxr.evaluation.features.inception_weights.find_weights", lambda: None)
    result = run(trained, tmp_path / "out", names=("judge", "inception"))
    lines = disturb.format_lines(result)
    assert lines[1].startswith("inception: not computed: download https://nvlabs")
    assert "disturbances" in result["extractors"]["judge"]


def test_invalid_input_is_an_error_and_writes_nothing(trained: Any, tmp_path: Path) -> None:
    """An unknown extractor, another resolution than the judge's, n = 0 and too few films are errors."""
    with pytest.raises(ConfigError, match="unknown extractor 'fid'"):
        run(trained, tmp_path / "out", names=("fid",))
    with pytest.raises(ConfigError, match=r"--resolution 8: .* needs 16 px"):
        run(trained, tmp_path / "out", resolution=8)
    with pytest.raises(ConfigError, match="must be at least 1"):
        run(trained, tmp_path / "out", n=0)
    with pytest.raises(DataError, match="20 films on each side are too few"):
        run(trained, tmp_path / "out", n=20)
    assert not (tmp_path / "out").exists()


def test_films_that_the_judge_has_seen_are_an_error(trained: Any, tmp_path: Path) -> None:
    """Films of the judge in another split raise DataError."""
    other_split = tmp_path / "other"
    prepare.run(dataclasses.replace(trained.config.prepare, seed=9), out=other_split)
    with pytest.raises(DataError, match="the models have seen .* of its train films"):
        run(trained, tmp_path / "out", films=other_split)


def test_the_command_prints_the_result(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints a line for each extractor, then the folder of the files and the time."""
    monkeypatch.chdir(tmp_path)
    options = ["--extractor", "judge", "--n", "60", "--n-bootstrap", "5", "--out", "out"]
    result = invoke("disturb", "--films", trained.data, "--models", trained.onnx, *options)
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first.startswith("judge: ")
    assert last.startswith("out: ")

"""`prepare` and films that show the same picture, films without labels, and the table at its end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthcxr.config.schema import PrepareConfig, SplitShares
from synthcxr.data import images
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.readers import phantom
from synthcxr.stages import prepare

SIDE = 64
N_PAIRS = 20


def make_config(*sources: dict[str, Any], on_bad: Literal["error", "skip"] = "error") -> PrepareConfig:
    shares = SplitShares(train=0.50, judge=0.20, val=0.12, test=0.18)
    return PrepareConfig(sources=sources, resolution=SIDE, view="both", shares=shares, seed=1, on_bad=on_bad)


def write_source(folder: Path, names: Sequence[str], labels: Sequence[str], *, quality: int = 0) -> dict[str, Any]:
    """Write film i of the drawn films under the i-th name, as PNG or JPEG, with labels in labels.csv."""
    folder.mkdir()
    for index, name in enumerate(names):
        film = Image.fromarray(images.quantise(phantom.draw_film(1, index, SIDE)))
        film.save(folder / name, **({"quality": quality} if quality else {}))
    rows = {"image": names, "label": labels, "patient_id": [f"{folder.name}-{name}" for name in names]}
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return {"reader": "folder", "path": str(folder), "source": folder.name}


def write_pairs(tmp_path: Path, labels: Sequence[str], other_labels: Sequence[str]) -> list[dict[str, Any]]:
    """Two sources with the same films, as PNG and as JPEG, of other names and patients."""
    first = write_source(tmp_path / "first", [f"a{index:02}.png" for index in range(len(labels))], labels)
    names = [f"person{index}.jpg" for index in range(len(other_labels))]
    return [first, write_source(tmp_path / "second", names, other_labels, quality=85)]


LABELS = ["Mass" if index % 3 else "No Finding" for index in range(N_PAIRS)]


def test_films_with_the_same_picture_are_in_one_split(tmp_path: Path) -> None:
    """Copies in another format and source count as one patient, are counted in dataset.json and named."""
    lines: list[str] = []
    sources = write_pairs(tmp_path, LABELS, LABELS)
    summary = prepare.run(make_config(*sources), out=tmp_path / "cxr", report=lines.append)
    films = open_film_dataset(tmp_path / "cxr").manifest.set_index("image_index")
    for index in range(N_PAIRS):
        pair = films.loc[[f"a{index:02}.png", f"person{index}.jpg"]]
        assert pair["split"].nunique() == pair["patient_id"].nunique() == 1
    assert films["patient_id"].nunique() == N_PAIRS
    assert set(summary.same_films) == {(f"a{index:02}.png", f"person{index}.jpg") for index in range(N_PAIRS)}
    assert json.loads((tmp_path / "cxr" / "dataset.json").read_text())["counts"]["same_films"] == 2 * N_PAIRS
    assert any("the same picture in 40 films, in 20 groups" in line for line in lines)
    assert any(line.startswith("the same picture: ") and "a00.png" in line and "person0.jpg" in line for line in lines)


def test_contradictory_labels_of_one_picture_stop_or_become_unknown(tmp_path: Path) -> None:
    """Both films and the finding are named; `on_bad: error` stops, and `skip` makes the finding unknown."""
    other = ["Mass" if index == 3 else label for index, label in enumerate(LABELS)]
    sources = write_pairs(tmp_path, LABELS, other)
    named = r"a03\.png and .*person3\.jpg show the same picture, but their labels contradict: Mass"
    with pytest.raises(DataError, match=named):
        prepare.run(make_config(*sources), out=tmp_path / "cxr", report=lambda line: None)
    assert not (tmp_path / "cxr").exists()
    lines: list[str] = []
    prepare.run(make_config(*sources, on_bad="skip"), out=tmp_path / "cxr", report=lines.append)
    assert [line for line in lines if "a03.png" in line and "labels contradict: Mass" in line]
    films = open_film_dataset(tmp_path / "cxr").manifest.set_index("image_index")
    assert films.loc[["a03.png", "person3.jpg"], "Mass"].isna().all()
    assert (films.loc[["a03.png", "person3.jpg"], "Edema"] == 0).all()
    assert films["Mass"].isna().sum() == 2


def test_films_without_labels_are_unknown_and_never_no_finding(tmp_path: Path) -> None:
    """Films with an empty label, and of a folder without a table, have unknown findings, are counted and split."""
    labels = ["" if index % 2 else "No Finding" for index in range(N_PAIRS)]
    labelled = write_source(tmp_path / "labelled", [f"a{index:02}.png" for index in range(N_PAIRS)], labels)
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    for index in range(100, 110):
        film = Image.fromarray(images.quantise(phantom.draw_film(2, index, SIDE)))
        film.save(folder / f"u{index}.png")
    source = {"reader": "folder", "path": str(folder), "source": "unlabelled"}
    summary = prepare.run(make_config(labelled, source), out=tmp_path / "cxr", report=lambda line: None)
    assert summary.counts["unlabelled"] == len(summary.unlabelled) == N_PAIRS // 2 + 10
    films = open_film_dataset(tmp_path / "cxr").manifest.set_index("image_index")
    findings = films[list(FINDINGS)]
    assert findings.loc[list(summary.unlabelled)].isna().all(axis=None)
    assert (findings.drop(list(summary.unlabelled)) == 0).all(axis=None)
    assert "packed: no label, findings unknown 20 first: a01.png" in [" ".join(row.split()) for row in _rows(summary)]


def test_table_has_every_reason_with_its_first_film(tmp_path: Path) -> None:
    """Read = packed + left out; each reason has its number and its first film, in the text and for --json."""
    source = write_source(tmp_path / "films", [f"a{index:02}.png" for index in range(N_PAIRS)], LABELS)
    films = tmp_path / "films"
    (films / "a00.png").write_bytes(b"broken")
    Image.fromarray(np.full((SIDE, SIDE), 7, dtype=np.uint8)).save(films / "a01.png")
    Image.fromarray(np.full((SIDE, SIDE), 255, dtype=np.uint8)).save(films / "a02_mask.png")
    Image.fromarray(np.full((SIDE, SIDE), 255, dtype=np.uint8)).save(films / "unlisted.png")
    with (films / "labels.csv").open("a") as table:
        table.write("gone.png,Mass,99\n")
    summary = prepare.run(make_config(source, on_bad="skip"), out=tmp_path / "cxr", report=lambda line: None)
    rows = [" ".join(row.split()) for row in _rows(summary)]
    assert rows == [
        "read 22",
        "packed 18",
        "left out: listed in a table, but there is no file 1 first: gone.png",
        "left out: not listed in the table of labels 1 first: unlisted.png",
        "left out: mask of another image 1 first: a02_mask.png",
        f"left out: cannot be read 1 first: {films / 'a00.png'}",
        f"left out: blank, or without contrast 1 first: {films / 'a01.png'}",
    ]
    counts = json.loads((tmp_path / "cxr" / "dataset.json").read_text())["counts"]
    assert counts["left_out"] == {"absent": 1, "not_listed": 1, "mask": 1, "unreadable": 1, "implausible": 1}
    fields = json.loads(json.dumps(dataclasses.asdict(summary), default=str))
    assert ["mask", 1, "a02_mask.png"] in [[part["reason"], part["n"], part["first"]] for part in fields["left_out"]]


def test_summary_says_what_training_will_refuse(tmp_path: Path) -> None:
    """The warnings are lines of the run and fields of the summary."""
    source = write_source(tmp_path / "films", [f"a{index:02}.png" for index in range(N_PAIRS)], LABELS)
    lines: list[str] = []
    summary = prepare.run(make_config(source), out=tmp_path / "cxr", report=lines.append)
    assert any("val films of 64 px are fewer than 50" in warning for warning in summary.warnings)
    assert set(summary.warnings) <= set(lines)


def _rows(summary: prepare.Summary) -> list[str]:
    """The table below the first line of the result."""
    return prepare.format_lines(summary)[1:]

"""A study read by made-up readers and analysed: known results, plain claims, files that stand alone."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support.small_study import DESIGN, Inputs, make

from synthcxr.cli.main import main
from synthcxr.errors import DataError
from synthcxr.reader_study import answer_key, conclusions, public_files
from synthcxr.reader_study.answer import Answer, Save
from synthcxr.reader_study.answer_key import Key, Place
from synthcxr.reader_study.answer_store import Answers
from synthcxr.stages import reader_study_analyse as stage

Say = Callable[[Key, Place, int], Answer]


def read(study: Path, say: Say, readers: tuple[int, ...] = (1, 2), until: int | None = None) -> None:
    """Let readers answer every screen, or those before `until`, as `say` has it."""
    shown, held = public_files.read(study), answer_key.read(study / "key")
    answers = Answers(study / "answers.sqlite", shown.study)
    for reader in readers:
        for position, place in enumerate(held.readers[reader][:until]):
            save = Save(say(held, place, reader), 0, secrets.token_hex(8), 10.0 + reader)
            answers.save(reader, position, save)


def knowing(held: Key, place: Place, reader: int) -> Answer:
    """Always right, and marks what the classifier says."""
    truths = [held.truths[name] for name in place.images]
    if len(truths) == 2:
        return Answer(5 if truths[1].origin == "real" else 1, None, (), "")
    found = tuple(name for name in truths[0].present if name != "No Finding")
    return Answer(5 if truths[0].origin == "synthetic" else 1, 3, found, "<b>sharp</b> & clear")


def guessing(held: Key, place: Place, reader: int) -> Answer:
    """A coin for each image, the same for the same image."""
    rng = np.random.default_rng([reader, *held.truths[place.images[0]].same.encode()])
    return Answer(int(rng.choice([1, 2, 4, 5])), None if len(place.images) == 2 else 3, (), "")


@pytest.fixture
def study(inputs: Inputs, tmp_path: Path) -> Path:
    """A study that nobody has read."""
    make(inputs, tmp_path / "study")
    return tmp_path / "study"


def analyse(study: Path) -> stage.Analysed:
    return stage.run(study, key=study / "key", out=study / "analysis", seed=0)


def test_readers_who_know(study: Path) -> None:
    """Readers who are always right: all shares are 1, kappas 1, AUC 1, and the sentence says better than by chance."""
    read(study, knowing)
    found = analyse(study)
    result = found.result
    assert result["n_readings"] == 2 * (DESIGN.n + DESIGN.repeats + DESIGN.pairs)
    assert (result["n_real"], result["n_synthetic"], result["n_pairs"]) == (10, 10, 4)
    for reader in result["readers"].values():
        assert reader["complete"]
        assert [reader[name]["value"] for name in ("accuracy", "sensitivity", "auc")] == [1.0, 1.0, 1.0]
        assert reader["false_alarms"]["value"] == 0.0
        assert reader["pairs"]["value"] == 1.0
        assert reader["repeats"]["n"] == 4
        assert reader["repeats"]["same_call"]["value"] == 1.0
    assert result["readers"]["1"]["seconds"]["median"] == 11.0
    assert result["between_readers"]["fleiss"]["value"] == pytest.approx(1.0)
    assert result["classifier"]["synthetic"]["kappa"]["value"] == pytest.approx(1.0)
    assert result["classifier"]["real"]["status"].startswith("not computed")
    assert "better than by chance" in found.sentences[0]
    assert any("phantoms" in sentence for sentence in found.sentences)


def test_readers_who_guess(study: Path) -> None:
    """Readers who toss a coin: no sentence claims a difference, and the first names what is still possible."""
    read(study, guessing)
    found = analyse(study)
    assert found.result["pooled"]["accuracy"]["low"] < 0.5 < found.result["pooled"]["accuracy"]["high"]
    assert "not shown" in found.sentences[0]
    assert "up to" in found.sentences[0]


def test_the_last_version_stands(study: Path) -> None:
    """An answer that was changed counts as changed, and its time is that of both visits."""
    read(study, knowing)
    answers = Answers(study / "answers.sqlite", public_files.read(study).study)
    first = DESIGN.practice
    held = answers.get(1, first)
    assert held is not None
    other = Answer(6 - held.answer.confidence, 3, (), "")
    answers.save(1, first, Save(other, 1, "token-of-another", 5.0))
    found = analyse(study).result["readers"]["1"]
    assert found["accuracy"]["value"] == pytest.approx(19 / 20)
    rows = pd.read_csv(study / "analysis" / "readings.csv")
    assert rows["seconds"].max() == 16.0


def test_a_study_that_is_not_finished_says_so(study: Path) -> None:
    """Half of one reader's screens: no claim about readers in general, and who is late."""
    read(study, knowing, readers=(2,), until=14)
    found = analyse(study)
    assert not found.result["readers"]["2"]["complete"]
    assert found.result["pooled"]["accuracy"] is None
    assert any("nothing is said about other readers" in sentence for sentence in found.sentences)
    assert any("Not finished: reader 2, 1" in sentence for sentence in found.sentences)


def test_the_files_stand_alone(study: Path) -> None:
    """JSON is strict, the tables have a row a reading and a reader, the page loads nothing and escapes comments."""
    read(study, knowing)
    analyse(study)
    out = study / "analysis"
    assert {path.name for path in out.iterdir()} == set(stage.RESULTS)
    json.loads((out / "analysis.json").read_text(), parse_constant=pytest.fail)
    assert len(pd.read_csv(out / "readings.csv")) == 56
    assert list(pd.read_csv(out / "readers.csv")["reader"]) == [1, 2]
    page = (out / "analysis.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#)|url\((?!#)|<script|@import", page.replace('xlink:href="#', ""))
    assert "<b>sharp" not in page
    assert page.count("<svg") == 2


def test_the_key_must_fit(study: Path, inputs: Inputs, tmp_path: Path) -> None:
    """Another study's key, no key, no answers: one line that says so; a key that was moved away is found by --key."""
    with pytest.raises(DataError, match="nobody has read"):
        analyse(study)
    read(study, knowing)
    make(inputs, tmp_path / "other")
    with pytest.raises(DataError, match="another study"):
        stage.run(study, key=tmp_path / "other" / "key", out=tmp_path / "out", seed=0)
    (study / "key").rename(tmp_path / "safe")
    with pytest.raises(DataError, match="no such file"):
        analyse(study)
    arguments = ["reader-study", "analyse", str(study), "--key", str(tmp_path / "safe")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "better than by chance" in done.stdout


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.51, 0.7, "better than by chance"), (0.3, 0.49, "saw a difference"), (0.45, 0.62, "up to 62%")],
)
def test_a_claim_follows_its_interval(low: float, high: float, words: str) -> None:
    """Whether the interval lies above, below or about chance decides the sentence, whatever the value."""
    estimate = {"value": (low + high) / 2, "low": low, "high": high, "n": 300}
    reader = {"accuracy": estimate, "n_unsure": 0, "complete": True}
    result = {
        "n_readings": 300,
        "about": {},
        "readers": {"1": reader, "2": reader},
        "not_begun": [],
        "pooled": {"accuracy": estimate, "auc": None},
        "pairs": None,
        "between_readers": {"fleiss": None},
        "classifier": {},
    }
    assert words in conclusions.of(result)[0]

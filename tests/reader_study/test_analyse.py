"""`analyse` of studies with simulated readers: known results, cautious conclusions, self-contained files."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.cli_runner import invoke
from support.small_study import DESIGN, StudyInputs, create_study

from synthcxr.errors import DataError
from synthcxr.reader_study.answer import Answer, SaveRequest
from synthcxr.reader_study.answer_key import AnswerKey, KeyScreen, read_answer_key
from synthcxr.reader_study.answer_store import AnswerStore
from synthcxr.reader_study.public_files import read_served_study
from synthcxr.stages import reader_study_analyse

GiveAnswer = Callable[[AnswerKey, KeyScreen, int], Answer]


def answer_screens(
    study: Path, give_answer: GiveAnswer, readers: tuple[int, ...] = (1, 2), n_screens: int | None = None
) -> None:
    """Save the answers of readers to all screens, or to the first `n_screens`."""
    key = read_answer_key(study / "key")
    answers = AnswerStore(study / "answers.sqlite", read_served_study(study).study)
    for reader in readers:
        for position, screen in enumerate(key.readers[reader][:n_screens]):
            request = SaveRequest(give_answer(key, screen, reader), 0, secrets.token_hex(8), 10.0 + reader)
            answers.save(reader, position, request)


def answer_correctly(key: AnswerKey, screen: KeyScreen, reader: int) -> Answer:
    """Always correct, and marks the findings of the classifier."""
    truths = [key.truths[name] for name in screen.images]
    if len(truths) == 2:
        return Answer(5 if truths[1].origin == "real" else 1, None, (), "")
    findings = tuple(name for name in truths[0].present if name != "No Finding")
    return Answer(5 if truths[0].origin == "synthetic" else 1, 3, findings, "<b>sharp</b> & clear")


def answer_at_random(key: AnswerKey, screen: KeyScreen, reader: int) -> Answer:
    """Random, but the same for the same image."""
    rng = np.random.default_rng([reader, *key.truths[screen.images[0]].image_id.encode()])
    return Answer(int(rng.choice([1, 2, 4, 5])), None if len(screen.images) == 2 else 3, (), "")


@pytest.fixture
def study(inputs: StudyInputs, tmp_path: Path) -> Path:
    """A study without answers."""
    create_study(inputs, tmp_path / "study")
    return tmp_path / "study"


def analyse(study: Path) -> reader_study_analyse.StudyAnalysis:
    return reader_study_analyse.run(study, key=study / "key", out=study / "analysis", seed=0)


def test_readers_who_are_always_correct(study: Path) -> None:
    """All shares, kappas and AUCs are 1, and the first sentence says better than chance."""
    answer_screens(study, answer_correctly)
    analysis = analyse(study)
    result = analysis.result
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
    assert "better than chance" in analysis.sentences[0]
    assert any("phantoms" in sentence for sentence in analysis.sentences)


def test_readers_who_guess(study: Path) -> None:
    """No sentence claims a difference, and the first one says which accuracy is still possible."""
    answer_screens(study, answer_at_random)
    analysis = analyse(study)
    assert analysis.result["pooled"]["accuracy"]["low"] < 0.5 < analysis.result["pooled"]["accuracy"]["high"]
    assert "does not show" in analysis.sentences[0]
    assert "up to" in analysis.sentences[0]


def test_the_last_version_of_an_answer_counts(study: Path) -> None:
    """A changed answer counts as changed, and its time is that of both visits."""
    answer_screens(study, answer_correctly)
    answers = AnswerStore(study / "answers.sqlite", read_served_study(study).study)
    position = DESIGN.practice
    stored = answers.get(1, position)
    assert stored is not None
    opposite = Answer(6 - stored.answer.confidence, 3, (), "")
    answers.save(1, position, SaveRequest(opposite, 1, "another-token", 5.0))
    assert analyse(study).result["readers"]["1"]["accuracy"]["value"] == pytest.approx(19 / 20)
    rows = pd.read_csv(study / "analysis" / "readings.csv")
    assert rows["seconds"].max() == 16.0


def test_an_unfinished_study_is_reported(study: Path) -> None:
    """With half of the screens of one reader, nothing is said about other readers, and unfinished readers are named."""
    answer_screens(study, answer_correctly, readers=(2,), n_screens=14)
    analysis = analyse(study)
    assert not analysis.result["readers"]["2"]["complete"]
    assert analysis.result["pooled"]["accuracy"] is None
    assert any("nothing about other readers" in sentence for sentence in analysis.sentences)
    assert any("Not finished: reader 2, 1" in sentence for sentence in analysis.sentences)


def test_output_files_are_self_contained(study: Path) -> None:
    """JSON is strict, the tables have one row per reading and reader, the page loads nothing and escapes comments."""
    answer_screens(study, answer_correctly)
    analyse(study)
    out = study / "analysis"
    assert {path.name for path in out.iterdir()} == set(reader_study_analyse.OUTPUT_FILES)
    json.loads((out / "analysis.json").read_text(), parse_constant=pytest.fail)
    assert len(pd.read_csv(out / "readings.csv")) == 56
    assert list(pd.read_csv(out / "readers.csv")["reader"]) == [1, 2]
    page = (out / "analysis.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#)|url\((?!#)|<script|@import", page.replace('xlink:href="#', ""))
    assert "<b>sharp" not in page
    assert page.count("<svg") == 2


def test_the_key_must_match(study: Path, inputs: StudyInputs, tmp_path: Path) -> None:
    """No answers, the key of another study and a missing key are errors; --key finds a key that was moved."""
    with pytest.raises(DataError, match="no reader has answered"):
        analyse(study)
    answer_screens(study, answer_correctly)
    create_study(inputs, tmp_path / "other")
    with pytest.raises(DataError, match="another study"):
        reader_study_analyse.run(study, key=tmp_path / "other" / "key", out=tmp_path / "out", seed=0)
    (study / "key").rename(tmp_path / "moved")
    with pytest.raises(DataError, match="no such file"):
        analyse(study)
    result = invoke("reader-study", "analyse", study, "--key", tmp_path / "moved")
    assert result.exit_code == 0, result.output
    assert "better than chance" in result.stdout

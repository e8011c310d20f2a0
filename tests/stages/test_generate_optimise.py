"""`--method optimise` from the stage: the same promises as any other dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support import default_request as asking
from support.exported_models import write_folder
from support.file_digests import digest_dataset

from synthcxr.data import random_streams, records
from synthcxr.errors import DataError
from synthcxr.networks import latent_gradient
from synthcxr.stages import generate
from synthcxr.storage import json_files
from synthcxr.writers.journal import Journal

pytestmark = pytest.mark.slow

CONFIG = dataclasses.replace(asking.PLAIN, n=20, labels=("Mass",), method="optimise", max_draws=400)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.02)


def make(model: Path, out: Path, *, append: bool = False, **changes: object) -> generate.GenerateReport:
    config = dataclasses.replace(CONFIG, **changes)
    return generate.run(config, model=model, out=out, model_name="exported", append=append)


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "x"
    make(model, out)
    return out


def test_a_set_that_was_searched_for(made: Path) -> None:
    """The table has the steps of each image, latents.npy what the search came to, run.json the method and torch."""
    table, run = records.read_metadata(made), json_files.read_json(made / "run.json")
    assert set(table["requested"]) == {"Mass"} and table[records.STEPS].max() > 0
    assert run["request"]["method"] == "optimise" and run["versions"]["torch"] == latent_gradient.version()
    assert run["counts"]["runs"] > run["counts"]["draws"] >= 20
    latents = np.load(made / "latents.npy", allow_pickle=False)
    own = np.concatenate([random_streams.latents(1, int(index), 1, latents.shape[1]) for index in table["index"]])
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), np.sqrt(latents.shape[1]), rtol=1e-5)
    assert (latents != own).any(axis=1).all()
    assert records.read_records(made)[0].steps == table[records.STEPS].iloc[0]


def test_stopped_and_longer(model: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was interrupted after a block goes on, what is finished gets longer, both with the bytes of one run."""
    append, calls = Journal.append, []

    def stop_after_one(journal: Journal, line: object) -> None:
        append(journal, line)  # type: ignore[arg-type]
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        make(model, tmp_path / "x")
    monkeypatch.undo()
    assert calls and (tmp_path / "x.partial").is_dir()
    make(model, tmp_path / "x")
    assert digest_dataset(tmp_path / "x") == digest_dataset(made)
    make(model, tmp_path / "x", n=40, append=True)
    make(model, tmp_path / "direct", n=40)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")


def test_another_method_is_another_command(model: Path, made: Path) -> None:
    """A set that was searched for is not gone on with by rejection."""
    with pytest.raises(DataError, match="method optimise, not reject"):
        make(model, made, method="reject")


def test_without(model: Path, tmp_path: Path) -> None:
    """What is left out shows in no image, by whatever method; the suite checks it and run.json says it."""
    make(model, tmp_path / "x", method="reject", labels=(), without=("Mass", "Edema"), n=30)
    shown = records.read_metadata(tmp_path / "x")["Finding Labels"].str.split("|")
    assert not shown.map(lambda names: {"Mass", "Edema"} & set(names)).any()
    assert json_files.read_json(tmp_path / "x" / "run.json")["request"]["without"] == ["Mass", "Edema"]

"""Datasets from Python: generate, evaluate, replay, label rates."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.default_request import DEFAULT_REQUEST
from support.stub_models import write_stub_models

from synthcxr.api import datasets
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import GateError
from synthcxr.registry import ResolvedModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stub models."""
    return write_stub_models(tmp_path_factory.mktemp("models") / "onnx")


def test_a_dataset_comes_with_its_model_and_report(model: Path, tmp_path: Path) -> None:
    """`generate_dataset` resolves the address, announces the model, writes the dataset and returns the report."""
    announced: list[ResolvedModel] = []
    result = datasets.generate_dataset(DEFAULT_REQUEST, out=tmp_path / "x", model=str(model), on_model=announced.append)
    assert announced == [result.model]
    assert result.model.path == model
    assert result.report.n_images == len(read_metadata(tmp_path / "x")) == 10


def test_a_shortfall_is_an_error_unless_allowed(model: Path, tmp_path: Path) -> None:
    """Too few candidates raise GateError; with `allow_shortfall` report and result say how many images there are."""
    config = dataclasses.replace(DEFAULT_REQUEST, n=50, labels=("Mass", "Edema"), max_draws=32)
    with pytest.raises(GateError):
        datasets.generate_dataset(config, out=tmp_path / "x", model=str(model))
    result = datasets.generate_dataset(config, out=tmp_path / "y", model=str(model), allow_shortfall=True)
    assert result.report.n_images == len(read_metadata(tmp_path / "y")) < 50
    assert "of 50" in result.shortfall


def test_replay_finds_the_model_of_the_dataset(model: Path, tmp_path: Path) -> None:
    """Without an address, `replay_image` uses the model that run.json names."""
    datasets.generate_dataset(DEFAULT_REQUEST, out=tmp_path / "x", model=str(model))
    sha256 = datasets.replay_image(dataset=tmp_path / "x", index=3, out=tmp_path / "again.png")
    metadata = read_metadata(tmp_path / "x")
    assert sha256 == metadata.loc[metadata["index"] == 3, "sha256"].item()


def test_rates_of_all_findings(model: Path) -> None:
    """`measure_label_rates` gives the rate of No Finding and of each of the 14 findings."""
    rates = datasets.measure_label_rates(model=str(model), n=64, device="cpu")
    assert len(rates) == 15
    assert all(0 <= rate.share <= 1 for rate in rates)


def test_evaluation_without_films_says_so(trained: Any, tmp_path: Path) -> None:
    """Without films, the first message says what the images are compared with."""
    config = dataclasses.replace(trained.config.evaluate, gates=())
    generated = datasets.generate_dataset(
        dataclasses.replace(DEFAULT_REQUEST, n=60, max_draws=60), out=tmp_path / "x", model=str(trained.onnx)
    )
    messages: list[str] = []
    verdict = datasets.evaluate_dataset(
        config,
        dataset=tmp_path / "x",
        films=None,
        models=generated.model.path,
        out=tmp_path / "results",
        say=messages.append,
    )
    assert verdict.passed
    assert messages[0].startswith("no films given")
    assert (tmp_path / "results" / "metrics.json").is_file()

"""`synthcxr utility` on drawn films at 16 px, with drawn films of the same kind in place of good synthetic images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support.paths import REPOSITORY

from synthcxr.cli.main import main
from synthcxr.config import schema as configs
from synthcxr.data import film_dataset as datasets
from synthcxr.data import findings as labels
from synthcxr.data import images, records
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.utility import ARMS
from synthcxr.networks import classifier
from synthcxr.stages import prepare, utility
from synthcxr.storage import json_files
from synthcxr.writers.formats.image_folder import PngFolder

pytestmark = pytest.mark.slow


def write(out: Path, data: Path, *, n: int = 60, requested: tuple[str, ...] = ()) -> Path:
    """A synthetic dataset that shows the judge's films, labelled as they are: images as good as any could be."""
    films = datasets.open_dataset(data)
    pixels, rows = films.images(16, ("judge",))
    out.mkdir()
    store, made = PngFolder(out), []
    for k, (square, findings) in enumerate(zip(pixels[:n], films.findings(rows)[:n], strict=True)):
        png = images.encode_png(square)
        row = records.Record(store.file_name(k), k, 1, "", labels.names(findings), (0.5,) * 14, 1.0, "0" * 64)
        store.write(k, png, row)
        made.append(row)
    store.close()
    records.write_metadata(out / records.METADATA, map(records.to_row, made))
    model = {"resolution": 16, "training_data": films.fingerprint, "digests": {"generator": "ab" * 32}}
    json_files.write_json(out / records.RUN, {"model": model, "request": {"labels": list(requested)}})
    return out


def run(trained: Any, dataset: Path, out: Path, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    config = dataclasses.replace(trained.config.train_classifier, n_epochs=2, n_bootstrap=20, device="cpu")
    heard: list[str] = []
    given: dict[str, Any] = {"data": trained.data, "models": trained.onnx, "n": 48, "n_seeds": 2, "say": heard.append}
    return utility.run(config, dataset=dataset, out=out, **(given | changes)), heard


def test_four_trainings_are_compared_on_test_films(trained: Any, tmp_path: Path) -> None:
    """Each arm at its count and for each seed, by finding with intervals, in the table and the JSON alike."""
    made, heard = run(trained, write(tmp_path / "synthetic", trained.data), tmp_path / "out")
    assert len(heard) == 2 * len(ARMS)
    held = json.loads((tmp_path / "out/utility.json").read_text())
    assert [held["arms"][arm]["n_images"] for arm in ARMS] == [48, 48, 96, 96]
    films = datasets.open_dataset(trained.data)
    assert held["n_test"] == len(films.indices(16, ("test",)))
    table = pd.read_csv(tmp_path / "out/utility.csv")
    assert set(table["training"]) == set(ARMS)
    assert set(table["finding"]) == {*held["over"], "mean"}
    assert ((table["low"] <= table["auroc"]) & (table["auroc"] <= table["high"])).all()
    assert all(len(seeds.split()) == 2 for seeds in table["by_seed"])
    assert len(utility.lines(made)) == len(ARMS) + 3
    assert "AUROC on real test films" in (tmp_path / "out/utility.svg").read_text()


def test_the_small_classifier_fits_any_profile() -> None:
    """A profile that trains another backbone, and so has no width, still gives a small network that can be built."""
    profile = configs.load(REPOSITORY / "params/starter.yaml").train_classifier
    assert (profile.backbone, profile.width) == ("efficientnet-lite0", 0)
    made = utility.small(profile)
    built = classifier.build(classifier.network_config(made, 128))
    assert (built.resolution, built.n_features, made.seed) == (64, 128, profile.seed)


def test_the_same_files_each_time(trained: Any, tmp_path: Path) -> None:
    """Weights, order and resamples follow the seeds; no clock is in the files."""
    synthetic = write(tmp_path / "synthetic", trained.data)
    for name in ("one", "two"):
        run(trained, synthetic, tmp_path / name, n=16, n_seeds=1)
    for file in (utility.JSON, utility.CSV):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_only_train_films_and_first_images_are_learned_from(trained: Any, tmp_path: Path) -> None:
    """The matched sides: as many films of the train split as images, the images in order with their own labels."""
    films = datasets.open_dataset(trained.data)
    made = utility._Made.open(write(tmp_path / "synthetic", trained.data))
    real, synthetic = utility._matched(films, made, 30, 1)
    rows = films.rows(16)[films.indices(16, ("train",))]
    assert set(real.patients) <= set(films.patients(rows))
    judged, judge_rows = films.images(16, ("judge",))
    np.testing.assert_array_equal(synthetic.pixels, judged[:30])
    np.testing.assert_array_equal(synthetic.findings, films.findings(judge_rows)[:30])


def test_what_cannot_be_compared_is_named(trained: Any, tmp_path: Path) -> None:
    """A set made on request, a model that saw the test films, no seeds: one line each, and nothing is written."""
    good, out = write(tmp_path / "synthetic", trained.data), tmp_path / "out"
    with pytest.raises(DataError, match=r"was made on request \(Edema\)"):
        run(trained, write(tmp_path / "asked", trained.data, requested=("Edema",)), out)
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        run(trained, good, out, n_seeds=0)
    other = tmp_path / "other"
    prepare.run(dataclasses.replace(trained.config.prepare, seed=9), out=other)
    with pytest.raises(DataError, match="the models have seen .* of its test films"):
        run(trained, good, out, data=other)
    assert not out.exists()


def test_by_command(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb takes the profile's classifier, small and short, and prints a line for each arm and difference."""
    monkeypatch.chdir(tmp_path)
    synthetic = write(tmp_path / "synthetic", trained.data)
    root = REPOSITORY
    options = ["--epochs", "1", "--seeds", "1", "--n", "16", "--out", "out"]
    paths = ["--params", str(root / "params.yaml"), "--data", str(trained.data), "--models", str(trained.onnx)]
    result = CliRunner().invoke(main, ["utility", str(synthetic), *paths, *options], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("real only (16 images): mean AUROC 0.")
    assert lines[1].startswith("synthetic only (16 images): mean AUROC 0.")
    assert lines[-1].startswith("out: ")

"""`synthcxr utility` on phantom films at 16 px, with films of the judge split as ideal synthetic images."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.cli_runner import invoke
from support.paths import REPOSITORY
from support.run_json import build_run

from synthcxr.config.schema import load_config
from synthcxr.data import images
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import to_finding_names
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, to_metadata_row, write_metadata
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.utility import ARMS
from synthcxr.networks import classifier
from synthcxr.stages import prepare, utility
from synthcxr.storage import json_files
from synthcxr.writers.formats.image_folder import PngFolder

pytestmark = pytest.mark.slow


def write_dataset(out: Path, data: Path, *, n: int = 60, requested: tuple[str, ...] = ()) -> Path:
    """A synthetic dataset whose images and labels are those of the judge films, so as good as possible."""
    films = open_film_dataset(data)
    pixels, rows = films.images(16, ("judge",))
    out.mkdir()
    store, records = PngFolder(out), []
    for k, (image, findings) in enumerate(zip(pixels[:n], films.findings(rows)[:n], strict=True)):
        png = images.encode_png(image)
        digest = hashlib.sha256(png).hexdigest()
        record = ImageRecord(store.file_name(k), k, 1, "", to_finding_names(findings), (0.5,) * 14, 1.0, digest)
        store.write(k, png, record)
        records.append(record)
    store.close()
    write_metadata(out / METADATA_FILE, map(to_metadata_row, records))
    model = {"resolution": 16, "training_data": films.fingerprint, "digests": {"generator": "ab" * 32}}
    json_files.write_json(out / RUN_FILE, build_run(model=model, request={"labels": list(requested)}))
    return out


def run(trained: Any, dataset: Path, out: Path, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """The result and the progress lines."""
    config = dataclasses.replace(trained.config.train_classifier, n_epochs=2, n_bootstrap=20, device="cpu")
    lines: list[str] = []
    arguments: dict[str, Any] = {
        "films": trained.data,
        "models": trained.onnx,
        "n": 48,
        "n_seeds": 2,
        "targets": "labels",
        "say": lines.append,
    }
    return utility.run(config, dataset=dataset, out=out, **(arguments | changes)), lines


def test_four_arms_are_compared_on_test_films(trained: Any, tmp_path: Path) -> None:
    """The JSON and the table have each arm with its number of images, every finding, intervals and each seed."""
    result, progress = run(trained, write_dataset(tmp_path / "synthetic", trained.data), tmp_path / "out")
    assert len(progress) == 2 * len(ARMS) + 1
    assert progress[-1] == "intervals: 20 resamples of the test films"
    written = json.loads((tmp_path / "out/utility.json").read_text())
    assert [written["arms"][arm]["n_images"] for arm in ARMS] == [48, 48, 96, 96]
    films = open_film_dataset(trained.data)
    assert written["n_test"] == len(films.indices(16, ("test",)))
    table = pd.read_csv(tmp_path / "out/utility.csv")
    assert set(table["training"]) == set(ARMS)
    assert set(table["finding"]) == {*written["over"], "mean"}
    assert ((table["low"] <= table["auroc"]) & (table["auroc"] <= table["high"])).all()
    assert all(len(seeds.split()) == 2 for seeds in table["by_seed"])
    assert len(utility.format_lines(result)) == len(ARMS) + 3
    assert "AUROC on real test films" in (tmp_path / "out/utility.svg").read_text()


def test_the_small_classifier_can_be_built_for_any_profile() -> None:
    """A profile with another backbone, and therefore without a width, gives a small network that can be built."""
    profile = load_config(REPOSITORY / "params/starter.yaml").train_classifier
    assert (profile.backbone, profile.width) == ("efficientnet-lite0", 0)
    config = utility.make_small_config(profile)
    network = classifier.build_classifier(classifier.build_network_config(config, 128))
    assert (network.resolution, network.n_features, config.seed) == (64, 128, profile.seed)


def test_files_are_reproducible(trained: Any, tmp_path: Path) -> None:
    """Weights, order and resamples depend on the seeds, and the files contain no time."""
    synthetic = write_dataset(tmp_path / "synthetic", trained.data)
    for name in ("first", "second"):
        run(trained, synthetic, tmp_path / name, n=16, n_seeds=1)
    for file in (utility.JSON, utility.CSV):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_training_uses_train_films_and_the_first_images(trained: Any, tmp_path: Path) -> None:
    """There are as many films of the train split as images; the images are in order, with their own labels."""
    films = open_film_dataset(trained.data)
    dataset = utility._SyntheticDataset.open(write_dataset(tmp_path / "synthetic", trained.data))
    train_films, train_images = utility._match_counts(films, dataset, 30, 1, "labels")
    rows = films.rows(16)[films.indices(16, ("train",))]
    assert set(train_films.patients) <= set(films.patients(rows))
    judge_pixels, judge_rows = films.images(16, ("judge",))
    np.testing.assert_array_equal(train_images.pixels, judge_pixels[:30])
    np.testing.assert_array_equal(train_images.findings, films.findings(judge_rows)[:30])
    np.testing.assert_array_equal(train_images.targets, train_images.findings)
    softened = utility._match_counts(films, dataset, 30, 1, "probabilities")
    np.testing.assert_array_equal(softened[0].targets, softened[0].findings)
    np.testing.assert_array_equal(softened[1].targets, np.full((30, 14), 0.5))
    np.testing.assert_array_equal(softened[1].findings, train_images.findings)


def test_invalid_input_is_an_error_and_writes_nothing(trained: Any, tmp_path: Path) -> None:
    """A dataset with requested labels, no seeds, and a model that has seen the test films are errors."""
    valid, out = write_dataset(tmp_path / "synthetic", trained.data), tmp_path / "out"
    with pytest.raises(DataError, match=r"generated for requested labels \(Edema\)"):
        run(trained, write_dataset(tmp_path / "requested", trained.data, requested=("Edema",)), out)
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        run(trained, valid, out, n_seeds=0)
    other_split = tmp_path / "other"
    prepare.run(dataclasses.replace(trained.config.prepare, seed=9), out=other_split)
    with pytest.raises(DataError, match="the models have seen .* of its test films"):
        run(trained, valid, out, films=other_split)
    assert not out.exists()


def test_the_command_prints_the_result(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command trains a small version of the profile's classifier and prints a line for each arm and difference."""
    monkeypatch.chdir(tmp_path)
    synthetic = write_dataset(tmp_path / "synthetic", trained.data)
    options = ["--epochs", "1", "--seeds", "1", "--n", "16", "--out", "out"]
    paths = ["--params", REPOSITORY / "params.yaml", "--films", trained.data, "--models", trained.onnx]
    result = invoke("utility", "--dataset", synthetic, *paths, *options)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("real only (16 images): mean AUROC 0.")
    assert lines[1].startswith("synthetic only (16 images): mean AUROC 0.")
    assert lines[-1].startswith("out: ")

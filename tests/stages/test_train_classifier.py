"""The stage that trains a classifier: its outputs, the films it uses, reproducibility, and interruption."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.paths import REPOSITORY
from support.small_classifier import CONFIG, write_films

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.films import MANIFEST_FILE
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError, DataError
from synthcxr.networks import safetensors_files
from synthcxr.networks.classifier import build_classifier
from synthcxr.stages import train_classifier
from synthcxr.storage import digests, json_files

pytestmark = pytest.mark.usefixtures("one_torch_thread")

N_FILMS = {"train": 60, "judge": 30, "val": 40, "test": 10}
FILES = ("weights.safetensors", "config.json", "metrics.json")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed dataset of 140 drawn films of 16 px."""
    return write_films(tmp_path_factory.mktemp("cxr"), [split for split, n in N_FILMS.items() for _ in range(n)])


@pytest.fixture(scope="module")
def trained(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with classifier/, judge/ and their logs."""
    folder = tmp_path_factory.mktemp("trained")
    for name, split in (("classifier", "train"), ("judge", "judge")):
        log = folder / "results" / f"{name}.csv"
        train_classifier.run(CONFIG, films=films, out=folder / name, split=split, log=log)
    return folder


def test_the_output_rebuilds_the_network(trained: Path, films: Path) -> None:
    """config.json and weights.safetensors rebuild the classifier, and config.json names the training films."""
    description = json_files.read_json(trained / "classifier" / "config.json")
    network = build_classifier(description["network"])
    network.load_state_dict(safetensors_files.load(trained / "classifier" / "weights.safetensors")[0])
    logits, _ = network.eval()(torch.zeros(1, 1, 16, 16))
    assert logits.isfinite().all()
    assert description["network"]["image_resolution"] == 16
    assert description["resolution"] == 12
    assert description["training_data"] == open_film_dataset(films).fingerprint
    assert (description["phantom"], description["split"]) == (True, "train")
    assert {path.name for path in (trained / "classifier").iterdir()} == set(FILES)


def test_the_judge_trains_on_the_films_of_its_own_split(trained: Path) -> None:
    """With split "judge" the stage trains on other films, selects on the same val films, and gives other weights."""
    metrics = {name: json_files.read_json(trained / name / "metrics.json") for name in ("classifier", "judge")}
    assert metrics["classifier"]["n_trained_on"] == 60
    assert metrics["judge"]["n_trained_on"] == 30
    assert metrics["classifier"]["n"] == metrics["judge"]["n"] == 40
    assert json_files.read_json(trained / "judge" / "config.json")["split"] == "judge"
    heads = [safetensors_files.load(trained / name / "weights.safetensors")[0]["head.weight"] for name in metrics]
    assert not torch.equal(*heads)


def test_metrics_name_their_films_and_findings(trained: Path) -> None:
    """Each value has its N, the mean AUROC lists its findings, and an undefined value is null."""
    metrics = json_files.read_json(trained / "classifier" / "metrics.json")
    assert metrics["films"] == "val"
    assert metrics["n_patients"] == 20
    assert metrics["mean_auroc"]["findings"] == ["Atelectasis", "Cardiomegaly"]
    assert metrics["findings"]["Atelectasis"]["auroc"]["value"] > 0.9
    low, high = metrics["findings"]["Cardiomegaly"]["average_precision"]["interval"]
    assert 0 <= low <= high <= 1
    hernia = metrics["findings"]["Hernia"]
    assert (hernia["n"], hernia["n_positive"]) == (36, 0)
    assert hernia["auroc"] == {"interval": [None, None], "value": None}


def test_thresholds_name_the_films_that_they_are_fitted_to(trained: Path) -> None:
    """Findings with at least 3 val positives have thresholds from val; the others are listed as weak."""
    description = json_files.read_json(trained / "classifier" / "config.json")
    assert list(FINDINGS) == sorted(description["thresholds"], key=FINDINGS.index)
    assert description["thresholds_from"]["Atelectasis"] == "val"
    assert description["weak_findings"] == list(FINDINGS[2:])
    assert json_files.read_json(trained / "classifier" / "metrics.json")["weak_findings"] == list(FINDINGS[2:])
    assert {description["thresholds_from"][finding] for finding in FINDINGS[2:]} == {"train+val"}


def test_the_log_has_one_row_per_epoch(trained: Path) -> None:
    """The CSV file has the documented columns and no missing value."""
    log = pd.read_csv(trained / "results" / "classifier.csv")
    assert list(log.columns) == ["epoch", "loss", "val_loss", "val_auroc_mean", "lr", "wall_s"]
    assert list(log["epoch"]) == [1, 2]
    assert log.notna().all(axis=None)


def test_start_logging_receives_the_rows_of_the_log(films: Path, tmp_path: Path) -> None:
    """It receives the fingerprints and parameters once, then each epoch as it is in the CSV file."""
    starts, rows = [], []

    def start_logging(
        films_fingerprint: str, training: str, parameters: Mapping[str, Any]
    ) -> Callable[[Mapping[str, str]], None]:
        starts.append((films_fingerprint, training, dict(parameters)))
        return lambda row: rows.append(dict(row))

    out, log = tmp_path / "judge", tmp_path / "log.csv"
    train_classifier.run(CONFIG, films=films, out=out, split="judge", log=log, start_logging=start_logging)
    with log.open(newline="") as file:
        assert rows == list(csv.DictReader(file))
    description = json_files.read_json(out / "config.json")
    fingerprint = open_film_dataset(films).fingerprint
    assert starts == [(fingerprint, description["fingerprint"], dataclasses.asdict(CONFIG))]


def test_the_same_run_gives_the_same_bytes(trained: Path, films: Path, tmp_path: Path) -> None:
    """Weights, config and metrics have the same bytes, also when they replace an earlier output."""
    for split in ("judge", "train"):
        train_classifier.run(CONFIG, films=films, out=tmp_path / "out", split=split, log=tmp_path / "log.csv")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (trained / "classifier" / name).read_bytes(), name
    assert not (tmp_path / "out.partial").exists()


def test_test_films_are_not_used(trained: Path, films: Path, tmp_path: Path) -> None:
    """The output is the same if the pixels and labels of all test films are replaced."""
    copy = tmp_path / "cxr"
    copy.mkdir()
    for path in films.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    dataset = open_film_dataset(copy)
    pixels = np.load(copy / "images_0016.npy")
    pixels[dataset.indices(16, ("test",))] = 0
    np.save(copy / "images_0016.npy", pixels)
    manifest = dataset.manifest.copy()
    manifest.loc[manifest["split"] == "test", list(FINDINGS)] = 1.0
    manifest.to_parquet(copy / MANIFEST_FILE, index=False)
    train_classifier.run(CONFIG, films=copy, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (trained / "classifier" / name).read_bytes(), name


def test_films_without_labels_do_not_change_the_classifier(trained: Path, films: Path, tmp_path: Path) -> None:
    """Train and val films whose findings are all unknown take no part in the batches, the epoch and the thresholds."""
    copy = tmp_path / "cxr"
    copy.mkdir()
    dataset = open_film_dataset(films)
    n = len(dataset.manifest)
    # Interleave: each film is followed by a copy of it that has no labels.
    manifest = dataset.manifest.loc[np.repeat(np.arange(n), 2)].reset_index(drop=True)
    manifest.loc[1::2, "image_index"] = [f"u{k:04d}.png" for k in range(n)]
    manifest.loc[1::2, list(FINDINGS)] = np.nan
    manifest.to_parquet(copy / MANIFEST_FILE, index=False)
    for path in films.iterdir():
        if path.name.startswith("images_"):
            np.save(copy / path.name, np.repeat(np.load(path), 2, axis=0))
        elif path.name.startswith("rows_"):
            np.save(copy / path.name, np.arange(2 * n))
        elif path.name != MANIFEST_FILE:
            (copy / path.name).write_bytes(path.read_bytes())
    metrics = train_classifier.run(CONFIG, films=copy, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")
    weights = (tmp_path / "out" / FILES[0]).read_bytes()
    assert metrics["n_trained_on"] == N_FILMS["train"]
    assert metrics["n"] == N_FILMS["val"]
    assert weights == (trained / "classifier" / FILES[0]).read_bytes()


def test_a_split_without_labels_is_an_error(films: Path, tmp_path: Path) -> None:
    """The message says that labelled films are too few, however many films there are."""
    copy = tmp_path / "cxr"
    copy.mkdir()
    for path in films.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    manifest = open_film_dataset(copy).manifest.copy()
    manifest.loc[manifest["split"] == "train", list(FINDINGS)] = np.nan
    manifest.to_parquet(copy / MANIFEST_FILE, index=False)
    with pytest.raises(DataError, match="0 labelled train films at 16 px are too few"):
        train_classifier.run(CONFIG, films=copy, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")


@pytest.mark.slow
def test_an_interruption_keeps_the_earlier_output(films: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the run at once; the earlier output is unchanged, and the log has the finished epochs."""
    out, log = tmp_path / "classifier", tmp_path / "log.csv"
    out.mkdir()
    (out / "config.json").write_text("earlier")
    config = dataclasses.replace(CONFIG, n_epochs=100_000)
    code = (
        "from pathlib import Path; import json, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores SIGINT by default
        "from synthcxr.config.schema import ClassifierConfig; from synthcxr.stages import train_classifier\n"
        "config, films, out, log = sys.argv[1:]\n"
        "train_classifier.run(ClassifierConfig(**json.loads(config)), films=Path(films), out=Path(out),"
        " split='train', log=Path(log))"
    )
    arguments = [json.dumps(dataclasses.asdict(config)), str(films), str(out), str(log)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    deadline = time.monotonic() + 120
    while not (log.is_file() and len(log.read_text().splitlines()) > 1) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in stderr
    assert (out / "config.json").read_text() == "earlier"
    assert [path.name for path in out.iterdir()] == ["config.json"]
    assert len(pd.read_csv(log)) >= 1


def write_soft_labels(path: Path, films: Path, probability: Callable[[float], float]) -> Path:
    """Write a table that gives every second train film `probability(label)` for finding 0, and nothing else."""
    manifest = open_film_dataset(films).manifest
    train = manifest[manifest["split"] == "train"].iloc[::2]
    table = pd.DataFrame(
        {"Image Index": train["image_index"], f"prob_{FINDINGS[0]}": train[FINDINGS[0]].map(probability)}
    )
    table.to_csv(path, index=False)
    return path


def test_soft_labels_change_what_is_learnt(films: Path, tmp_path: Path) -> None:
    """Probabilities that contradict the labels raise the loss on val, and the table is part of the fingerprint."""
    path = write_soft_labels(tmp_path / "soft.csv", films, lambda label: 0.001 if label == 1 else 0.999)
    losses = {}
    for name, soft_labels in (("hard", None), ("contradicted", str(path))):
        config = dataclasses.replace(CONFIG, n_epochs=20, lr=1e-2, soft_labels=soft_labels)
        metrics = train_classifier.run(
            config, films=films, out=tmp_path / name, split="train", log=tmp_path / f"{name}.csv"
        )
        losses[name] = metrics["val_loss"]
    assert losses["contradicted"] > losses["hard"] + 0.005
    descriptions = [json_files.read_json(tmp_path / name / "config.json") for name in losses]
    assert [description["sha256"] for description in descriptions] == [{}, {"soft_labels": digests.sha256_file(path)}]
    write_soft_labels(path, films, lambda label: 0.5)
    for n_epochs in (1, 2):
        config = dataclasses.replace(CONFIG, n_epochs=n_epochs, lr=1e-2, soft_labels=str(path))
        out = tmp_path / str(n_epochs)
        train_classifier.run(config, films=films, out=out, split="train", log=tmp_path / "log.csv")
        descriptions.append(json_files.read_json(out / "config.json"))
    assert len({description["fingerprint"] for description in descriptions}) == 4


def test_the_judge_does_not_take_soft_labels(films: Path, tmp_path: Path) -> None:
    """The judge must not learn from the network that taught the classifier."""
    path = write_soft_labels(tmp_path / "soft.csv", films, lambda label: label)
    config = dataclasses.replace(CONFIG, soft_labels=str(path))
    with pytest.raises(ConfigError, match=r"^train_judge\.soft_labels: leave it out"):
        train_classifier.run(config, films=films, out=tmp_path / "judge", split="judge", log=tmp_path / "log.csv")


def test_summary_is_plain() -> None:
    """The lines say how many films, the best epoch and its AUROC with interval, or why there is none."""
    auroc = {"value": 0.71, "interval": [0.645, 0.7755], "findings": ["Effusion", "Mass"]}
    metrics = {"n": 108, "n_trained_on": 450, "best_epoch": 9, "mean_auroc": auroc, "weak_findings": ["Hernia"]}
    assert list(train_classifier.format_lines(metrics)) == [
        "trained on 450 films; epoch 9 is the best",
        "mean AUROC of 2 findings on 108 val films: 0.710 (0.645 to 0.775)",
        "too few val films for a reliable threshold: Hernia",
    ]
    undefined = {"value": None, "interval": [None, None], "findings": []}
    assert list(train_classifier.format_lines(metrics | {"mean_auroc": undefined, "weak_findings": []}))[1:] == [
        "mean AUROC: not computable, because no finding has both films with it and films without it in val"
    ]

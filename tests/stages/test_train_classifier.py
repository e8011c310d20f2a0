"""The stage: what it writes, from which films, how an interruption leaves things, and what it refuses."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.paths import REPOSITORY

from synthcxr.config.schema import ClassifierConfig, load_config
from synthcxr.data.film_dataset import build_film_dataset, open_film_dataset
from synthcxr.data.films import MANIFEST_FILE, Film
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.networks import safetensors_files
from synthcxr.networks.classifier import build
from synthcxr.stages import train_classifier
from synthcxr.storage import json_files

CONFIG = ClassifierConfig(
    backbone="small",
    weights="none",
    resolution=12,
    width=4,
    n_epochs=2,
    batch=16,
    lr=2e-3,
    weight_decay=1e-2,
    n_bootstrap=20,
    seed=1,
    device="cpu",
)
SIDES = {"train": 60, "judge": 30, "val": 40, "test": 10}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small run many times faster on one thread, above all on a machine that is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The pixels of one noisy film, brighter where finding 0 is present."""

    number: int
    present: bool
    side: int = 16

    def __call__(self) -> np.ndarray:
        noise = np.random.default_rng(self.number).random((self.side, self.side), dtype=np.float32)
        return (0.5 * noise + 0.4 * self.present).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Size:
    """The shorter side of a film."""

    side: int = 16

    def __call__(self) -> int:
        return self.side


def film(number: int) -> Film:
    """A film of patient number // 2; two in five have finding 0, every tenth an unknown Hernia, the rest none."""
    findings = np.zeros(14)
    findings[0] = number % 5 < 2
    findings[1] = number % 3 == 0
    findings[13] = np.nan if number % 10 == 0 else 0
    return Film(
        image_index=f"{number:04d}.png",
        patient_id=str(number // 2),
        source="drawn",
        view="PA",
        findings=tuple(findings),
        read=Drawn(number, bool(findings[0])),
        read_size=Size(),
        origin=f"phantom:{number}",
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed dataset of 140 drawn films of 16 px."""
    sides = [side for side, n in SIDES.items() for _ in range(n)]
    films = [film(number) for number in range(len(sides))]
    out = tmp_path_factory.mktemp("cxr")
    split = {held.image_index: side for held, side in zip(films, sides, strict=True)}
    build_film_dataset(films, out=out, resolution=16, splits=split, on_bad="error")
    return out


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with classifier/, judge/ and their logs."""
    folder = tmp_path_factory.mktemp("trained")
    for name, split in (("classifier", "train"), ("judge", "judge")):
        train_classifier.run(CONFIG, data=data, out=folder / name, split=split, log=folder / "results" / f"{name}.csv")
    return folder


def test_the_folder_rebuilds_the_network(trained: Path, data: Path) -> None:
    """config.json and weights.safetensors make the classifier again, and say on what it was trained."""
    about = json_files.read_json(trained / "classifier" / "config.json")
    network = build(about["network"])
    network.load_state_dict(safetensors_files.load(trained / "classifier" / "weights.safetensors")[0])
    logits, _ = network.eval()(torch.zeros(1, 1, 16, 16))
    assert logits.isfinite().all()
    assert about["network"]["image_resolution"] == 16
    assert about["resolution"] == 12
    assert about["training_data"] == open_film_dataset(data).fingerprint
    assert (about["phantom"], about["split"]) == (True, "train")
    assert sorted(path.name for path in (trained / "classifier").iterdir()) == [
        "config.json",
        "metrics.json",
        "weights.safetensors",
    ]


def test_the_judge_learns_from_other_patients(trained: Path) -> None:
    """The same stage on the judge's side learns from its films, is chosen on the same val films, and differs."""
    metrics = {name: json_files.read_json(trained / name / "metrics.json") for name in ("classifier", "judge")}
    assert metrics["classifier"]["n_trained_on"] == 60
    assert metrics["judge"]["n_trained_on"] == 30
    assert metrics["classifier"]["n"] == metrics["judge"]["n"] == 40
    assert json_files.read_json(trained / "judge" / "config.json")["split"] == "judge"
    held = [safetensors_files.load(trained / name / "weights.safetensors")[0]["head.weight"] for name in metrics]
    assert not torch.equal(*held)


def test_metrics_name_their_films_and_findings(trained: Path) -> None:
    """Every figure states its N, and the mean AUROC the findings that it is over; what is undefined is null."""
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


def test_thresholds_say_where_they_come_from(trained: Path) -> None:
    """Findings with 3 val positives are matched on val; the others are listed as weak."""
    about = json_files.read_json(trained / "classifier" / "config.json")
    assert list(FINDINGS) == sorted(about["thresholds"], key=FINDINGS.index)
    assert about["thresholds_from"]["Atelectasis"] == "val"
    assert about["weak_findings"] == list(FINDINGS[2:])
    assert json_files.read_json(trained / "classifier" / "metrics.json")["weak_findings"] == list(FINDINGS[2:])
    assert {about["thresholds_from"][finding] for finding in FINDINGS[2:]} == {"train+val"}


def test_the_log_has_a_row_an_epoch(trained: Path) -> None:
    """The table has the agreed columns, one row an epoch."""
    log = pd.read_csv(trained / "results" / "classifier.csv")
    assert list(log.columns) == ["epoch", "loss", "val_loss", "val_auroc_mean", "lr", "wall_s"]
    assert list(log["epoch"]) == [1, 2]
    assert log.notna().all(axis=None)


def test_a_follower_hears_the_log(data: Path, tmp_path: Path) -> None:
    """Who follows is told the films and the training, then each epoch as the log has it."""
    told, heard = [], []

    def follow(films: str, training: str, parameters: Mapping[str, Any]) -> Callable[[Mapping[str, str]], None]:
        told.append((films, training, dict(parameters)))
        return lambda row: heard.append(dict(row))

    out, log = tmp_path / "judge", tmp_path / "log.csv"
    train_classifier.run(CONFIG, data=data, out=out, split="judge", log=log, follow=follow)
    with log.open(newline="") as file:
        assert heard == list(csv.DictReader(file))
    about = json_files.read_json(out / "config.json")
    assert told == [(open_film_dataset(data).fingerprint, about["fingerprint"], dataclasses.asdict(CONFIG))]


def test_the_same_run_gives_the_same_bytes(trained: Path, data: Path, tmp_path: Path) -> None:
    """Weights, config and metrics are byte for byte the same, over an older folder too."""
    train_classifier.run(CONFIG, data=data, out=tmp_path / "judge", split="judge", log=tmp_path / "log.csv")
    train_classifier.run(CONFIG, data=data, out=tmp_path / "judge", split="train", log=tmp_path / "log.csv")
    for name in ("weights.safetensors", "config.json", "metrics.json"):
        assert (tmp_path / "judge" / name).read_bytes() == (trained / "classifier" / name).read_bytes(), name
    assert not (tmp_path / "judge.partial").exists()


def test_test_films_are_never_read(trained: Path, data: Path, tmp_path: Path) -> None:
    """With every test film's pixels and labels replaced the outcome is the same, but for the dataset's name."""
    copy = tmp_path / "cxr"
    copy.mkdir()
    for path in data.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    films = open_film_dataset(copy)
    pixels = np.load(copy / "images_0016.npy")
    pixels[films.indices(16, ("test",))] = 0
    np.save(copy / "images_0016.npy", pixels)
    manifest = films.manifest.copy()
    manifest.loc[manifest["split"] == "test", list(FINDINGS)] = 1.0
    manifest.to_parquet(copy / MANIFEST_FILE, index=False)
    train_classifier.run(CONFIG, data=copy, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")
    for name in ("weights.safetensors", "config.json", "metrics.json"):
        assert (tmp_path / "out" / name).read_bytes() == (trained / "classifier" / name).read_bytes(), name


@pytest.mark.slow
def test_an_interruption_leaves_what_was_there(data: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle ends the run at once; the older folder stays whole and the log holds the epochs done."""
    out, log = tmp_path / "classifier", tmp_path / "log.csv"
    out.mkdir()
    (out / "config.json").write_text("older")
    config = dataclasses.replace(CONFIG, n_epochs=100_000)
    code = (
        "from pathlib import Path; import json, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job inherits it ignored
        "from synthcxr.config.schema import ClassifierConfig; from synthcxr.stages import train_classifier\n"
        "config, data, out, log = sys.argv[1:]\n"
        "train_classifier.run(ClassifierConfig(**json.loads(config)), data=Path(data), out=Path(out),"
        " split='train', log=Path(log))"
    )
    arguments = [json.dumps(dataclasses.asdict(config)), str(data), str(out), str(log)]
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
    _, said = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said
    assert (out / "config.json").read_text() == "older"
    assert [path.name for path in out.iterdir()] == ["config.json"]
    assert len(pd.read_csv(log)) >= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resolution": 4}, "train_judge.resolution: must be at least 8, is 4"),
        ({"batch": 1}, "train_judge.batch: must be at least 2, is 1"),
        ({"n_epochs": 0}, "train_judge.n_epochs: must be at least 1, is 0"),
        ({"backbone": "efficientnet-lite0", "resolution": 48}, "needs a multiple of 32, is 48"),
        ({"weights": "imagenet"}, "train_judge.weights: there are no imagenet weights of backbone small"),
        ({"backbone": "densenet121", "resolution": 16}, "train_judge.resolution: densenet121 needs at least 32"),
    ],
)
def test_values_that_cannot_be_trained_with_are_named(
    data: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """A value out of range is one line that names its place in params.yaml, before anything is written."""
    config = dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=said):
        train_classifier.run(config, data=data, out=tmp_path / "out", split="judge", log=tmp_path / "log.csv")
    assert not list(tmp_path.iterdir())


def test_imagenet_weights_that_are_not_there_say_what_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the weight file the run ends before the first epoch, and nothing is written."""
    monkeypatch.setenv("SYNTHCXR_DENSENET121", str(tmp_path / "absent.pth"))
    config = dataclasses.replace(CONFIG, backbone="densenet121", weights="imagenet", resolution=32)
    with pytest.raises(ArtifactError, match="SYNTHCXR_DENSENET121 names .*absent.pth, which is no file; fetch"):
        train_classifier.run(config, data=data, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_is_not_replaced(data: Path, tmp_path: Path) -> None:
    """An output folder with a stranger's file is refused by that file's name, and kept."""
    (tmp_path / "thesis.docx").write_text("mine")
    with pytest.raises(DataError, match="contains thesis.docx, which synthcxr did not write"):
        train_classifier.run(CONFIG, data=data, out=tmp_path, split="train", log=tmp_path / "log.csv")
    assert (tmp_path / "thesis.docx").read_text() == "mine"


def test_too_few_films_name_their_side(tmp_path: Path) -> None:
    """A side without films to learn from or to choose by is an error that names its share."""
    films = [film(number) for number in range(6)]
    for sides, said in ((["train"] * 6, "prepare.shares.val"), (["val"] * 6, "prepare.shares.train")):
        data = tmp_path / said
        split = {held.image_index: side for held, side in zip(films, sides, strict=True)}
        build_film_dataset(films, out=data, resolution=16, splits=split, on_bad="error")
        with pytest.raises(DataError, match=f"0 .* films at 16 px are too few; .*{said}"):
            train_classifier.run(CONFIG, data=data, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")


@pytest.mark.parametrize(
    "profile", ["params.yaml", "params/nih-64.yaml", "params/starter.yaml", "params/nih-1024.yaml"]
)
def test_every_profile_that_ships_can_be_trained_with(profile: str) -> None:
    """Its values pass the stage's own checks for classifier and judge."""
    loaded = load_config(REPOSITORY / profile)
    train_classifier._check(loaded.train_classifier, "train")
    train_classifier._check(loaded.train_judge, "judge")
    assert loaded.train_classifier.n_epochs > 0

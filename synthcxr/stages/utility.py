"""Train classifiers on real films, on synthetic images and on both, and try them on held-out real patients."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import film_dataset as datasets
from synthcxr.data import findings as labels
from synthcxr.data import image_reader, records
from synthcxr.data.film_dataset import Dataset
from synthcxr.data.images import UInt8
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import unseen, utility
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.metrics.frechet import MIN_FILMS
from synthcxr.evaluation.utility import Utility
from synthcxr.networks.classifier import initialise, network_config
from synthcxr.report import optional_experiments, plots
from synthcxr.storage import atomic, digests, json_files
from synthcxr.training.classifier import Films, predict, train

JSON, CSV, FIGURE = "utility.json", "utility.csv", "utility.svg"
_TRAIN, _VAL, _TEST = ("train",), ("val",), ("test",)
_COLUMNS = ("training", "n_images", "finding", "n_positive", "auroc", "low", "high", "by_seed")
_SMALL_PX = 64


def small(config: ClassifierConfig) -> ClassifierConfig:
    """A classifier of minutes in place of a profile's own, from nothing, whatever backbone and rate the other takes."""
    return dataclasses.replace(
        config,
        backbone="small",
        weights="none",
        resolution=min(config.resolution, _SMALL_PX),
        width=16,
        batch=32,
        lr=2e-3,
        weight_decay=5e-2,
    )


def run(
    config: ClassifierConfig,
    *,
    data: Path,
    dataset: Path,
    models: Path,
    out: Path,
    n: int | None,
    n_seeds: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write utility.json, .csv and .svg to `out` and return what the first holds; `say` hears of each training.

    At most `n` real train films, drawn by the seed, and as many of the dataset's first images; val films choose the
    epoch of all alike.
    DataError where the generator saw the test films, or where there are too few of anything.
    """
    started = time.perf_counter()
    if n_seeds < 1 or (n is not None and n < 2):
        raise ConfigError(f"--seeds must be at least 1 and --n at least 2, are {n_seeds} and {n}")
    films, made = datasets.open_dataset(data), _Made.open(dataset)
    unseen.require(films, _TEST, learned_from={made.training_data}, models=models, subject=dataset)
    learned, matched = _matched(films, made, n, config.seed)
    val, test = _Side.of(films, made.resolution, _VAL), _Side.of(films, made.resolution, _TEST)
    if len(test.pixels) < MIN_FILMS or len(val.pixels) < 2:
        raise DataError(f"{data}: {len(test.pixels)} test and {len(val.pixels)} val films are too few to judge by")
    arms = utility.arrange(len(learned.pixels))
    both = _Side.joined(learned, matched)
    scores: dict[str, list[Any]] = {arm: [] for arm in arms}
    for seed in range(config.seed, config.seed + n_seeds):
        for arm, rows in arms.items():
            say(f"{arm}, seed {seed}: {len(rows):,} images, {config.n_epochs} epochs")
            scores[arm].append(_train(dataclasses.replace(config, seed=seed), both.at(rows), val, test))
    found = utility.compare(
        scores,
        n_images={arm: len(rows) for arm, rows in arms.items()},
        findings=test.findings,
        patients=test.patients,
        n_bootstrap=config.n_bootstrap,
        seed=config.seed,
    )
    about = {
        "films": {"fingerprint": films.fingerprint, "phantom": films.phantom, "resolution": made.resolution},
        "dataset": made.digest,
        "generator": made.generator,
        "training": dataclasses.asdict(config) | {"n_seeds": n_seeds},
    }
    result = about | found.as_dict()
    _write(out, result, found)
    return result | {"wall_s": time.perf_counter() - started}


def lines(result: dict[str, Any]) -> list[str]:
    """Mean AUROC of each training, and the differences that answer the question."""
    said = []
    for arm, held in result["arms"].items():
        mean = held["ranks"][utility.MEAN]
        said.append(f"{arm} ({held['n_images']:,} images): mean AUROC {_shown(mean)}")
    return said + [f"{name}: {_shown(held, sign='+')}" for name, held in result["differences"].items()]


def _shown(held: dict[str, Any], sign: str = "") -> str:
    low, high = held["interval"]
    return f"{held['value']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


@dataclasses.dataclass(frozen=True)
class _Side:
    """Images uint8 [n, R, R], their findings [n, 14], and their patients [n] (an image has none)."""

    pixels: UInt8
    findings: NDArray[np.float32]
    patients: NDArray[np.object_]

    @classmethod
    def of(cls, films: Dataset, side: int, splits: tuple[str, ...]) -> _Side:
        pixels, rows = films.images(side, splits)
        return cls(pixels, films.findings(rows), films.patients(rows))

    @classmethod
    def joined(cls, one: _Side, other: _Side) -> _Side:
        return cls(
            *(np.concatenate([getattr(side, field.name) for side in (one, other)]) for field in dataclasses.fields(cls))
        )

    def at(self, rows: NDArray[np.int64]) -> _Side:
        return _Side(self.pixels[rows], self.findings[rows], self.patients[rows])

    @property
    def films(self) -> Films:
        return Films(read=lambda positions: self.pixels[positions], findings=self.findings)


@dataclasses.dataclass(frozen=True)
class _Made:
    """A synthetic dataset: its table, and what run.json says of its models."""

    path: Path
    held: list[records.Record]
    resolution: int
    training_data: str
    generator: str
    digest: str

    @classmethod
    def open(cls, path: Path) -> _Made:
        held, about = records.read_records(path), records.read_run(path)
        try:
            model = about["model"]
            asked, side, films = about["request"]["labels"], int(model["resolution"]), str(model["training_data"])
            generator = str(model["digests"]["generator"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path / records.RUN}: not the run.json of a dataset; generate it again") from error
        if asked:
            raise DataError(f"{path}: was made on request ({' and '.join(asked)}); give a set of all kinds")
        return cls(path, held, side, films, generator, digests.sha256_file(path / records.METADATA))

    def first(self, n: int) -> _Side:
        """The first `n` images with the labels that metadata.csv gives them."""
        held = self.held[:n]
        read = functools.partial(image_reader.read_all, self.path)
        pixels = np.stack([image_reader.pixels(png) for png in read(record.file_name for record in held)])
        findings = np.array([labels.vector(record.findings) for record in held], dtype=np.float32)
        return _Side(pixels, findings, np.full(len(held), "", dtype=object))


def _matched(films: Dataset, made: _Made, n: int | None, seed: int) -> tuple[_Side, _Side]:
    """As many real train films as synthetic images: the fewer of the two, `n` at most; films are drawn by `seed`."""
    learned = _Side.of(films, made.resolution, _TRAIN)
    size = min(len(learned.pixels), len(made.held), n or len(made.held))
    if size < 2:
        raise DataError(f"{size} images a side are too few to learn from; generate more, or pack more train films")
    chosen = np.random.default_rng(seed).permutation(len(learned.pixels))[:size]
    return learned.at(np.sort(chosen)), made.first(size)


def _train(config: ClassifierConfig, learned: _Side, val: _Side, test: _Side) -> NDArray[np.float32]:
    """Logits [n, 14] of the test films by a classifier that learned from `learned`."""
    classifier = initialise(network_config(config, learned.pixels.shape[1]), config.seed)
    train(
        classifier,
        films=learned.films,
        val=val.films,
        config=config,
        mean_auroc=auroc.mean_auroc,
        report=lambda _: None,
    )
    return predict(classifier, test.films.read, len(test.pixels), batch=config.batch)


def _write(out: Path, result: dict[str, Any], found: Utility) -> None:
    json_files.write_json(out / JSON, result)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, arm in found.arms.items():
        for finding, rank in arm.ranks.items():
            figures = [f"{value:.4f}" for value in (rank.value, *rank.interval)]
            seeds = " ".join(f"{value:.4f}" for value in rank.by_seed)
            writer.writerow((name, arm.n_images, finding, found.n_positive.get(finding, ""), *figures, seeds))
    atomic.text(out / CSV, table.getvalue())
    atomic.text(out / FIGURE, plots.standalone(plots.utility(optional_experiments.arms(result))))

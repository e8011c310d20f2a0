"""Trains classifiers on real films, on synthetic images and on both, and compares their AUROC on real test films."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import image_reader
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.findings import to_multi_hot
from synthcxr.data.images import UInt8
from synthcxr.data.leakage import require_unseen
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.data.number_format import format_interval
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, read_image_records, read_run
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import utility
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.utility import Utility
from synthcxr.networks.classifier import build_network_config, initialise_classifier
from synthcxr.report import optional_experiments, plots
from synthcxr.storage import atomic, digests, json_files, output_lock
from synthcxr.storage.progress import track
from synthcxr.training.classifier import LabelledFilms, predict_logits, train_classifier

JSON, CSV, FIGURE = "utility.json", "utility.csv", "utility.svg"
_TRAIN, _VAL, _TEST = ("train",), ("val",), ("test",)
_COLUMNS = ("training", "n_images", "finding", "n_positive", "auroc", "low", "high", "by_seed")
_SMALL_PX = 64

Targets = Literal["labels", "probabilities"]


def make_small_config(config: ClassifierConfig) -> ClassifierConfig:
    """Replace the classifier of `config` by a small one that trains from scratch in minutes."""
    return dataclasses.replace(
        config,
        backbone="small",
        weights="none",
        resolution=min(config.resolution, _SMALL_PX),
        width=16,
        batch=32,
        lr=2e-3,
        weight_decay=5e-2,
        soft_labels=None,
    )


@output_lock.fills_folder()
def run(
    config: ClassifierConfig,
    *,
    films: Path,
    dataset: Path,
    models: Path,
    out: Path,
    n: int | None,
    n_seeds: int,
    targets: Targets,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write utility.json, .csv and .svg to `out`, and return the content of utility.json with the time.

    Trains on at most `n` real train films, drawn by the seed, and on as many of the dataset's first images. The val
    films choose the epoch in every arm. From images the classifier learns their labels or, with `targets`
    "probabilities", the probabilities behind the labels. `say` receives a line before each training. Raises DataError
    if the generator has seen the test films, or if there are too few films or images.
    """
    started = time.perf_counter()
    if n_seeds < 1 or (n is not None and n < 2):
        raise ConfigError(f"--seeds must be at least 1 and --n at least 2; got {n_seeds} and {n}")
    film_dataset, synthetic = open_film_dataset(films), _SyntheticDataset.open(dataset)
    require_unseen(film_dataset, _TEST, training_data={synthetic.training_data}, models=models, subject=dataset)
    train_films, train_images = _match_counts(film_dataset, synthetic, n, config.seed, targets)
    val = _LabelledImages.from_films(film_dataset, synthetic.resolution, _VAL)
    test = _LabelledImages.from_films(film_dataset, synthetic.resolution, _TEST)
    if len(test.pixels) < MIN_FILMS_FOR_DISTANCE or len(val.pixels) < 2:
        raise DataError(
            f"{films}: {len(test.pixels)} test films and {len(val.pixels)} val films are too few; at least"
            f" {MIN_FILMS_FOR_DISTANCE} test films and 2 val films are necessary"
        )

    # Train a classifier for each arm and seed.
    arms = utility.arrange_arms(len(train_films.pixels))
    films_and_images = _LabelledImages.concatenate(train_films, train_images)
    scores: dict[str, list[Any]] = {arm: [] for arm in arms}
    trainings = [(seed, arm) for seed in range(config.seed, config.seed + n_seeds) for arm in arms]
    for number, (seed, arm) in enumerate(track(trainings, "trainings", unit="trainings"), 1):
        rows, position = arms[arm], f"{number} of {len(trainings)}"
        say(f"{arm}, seed {seed} ({position}): {len(rows):,} images, {config.n_epochs} epochs")
        seed_config = dataclasses.replace(config, seed=seed)
        scores[arm].append(_train_and_predict(seed_config, films_and_images.select(rows), val, test))

    # Compare their scores on the test films.
    say(f"intervals: {config.n_bootstrap:,} resamples of the test films")
    comparison = utility.compare_arms(
        scores,
        n_images={arm: len(rows) for arm, rows in arms.items()},
        findings=test.findings,
        patients=test.patients,
        n_bootstrap=config.n_bootstrap,
        seed=config.seed,
    )
    result = {
        "films": {
            "fingerprint": film_dataset.fingerprint,
            "phantom": film_dataset.phantom,
            "resolution": synthetic.resolution,
        },
        "dataset": synthetic.digest,
        "generator": synthetic.generator_digest,
        "training": dataclasses.asdict(config) | {"n_seeds": n_seeds, "targets": targets},
    } | comparison.as_dict()
    with atomic.fill_folder(out) as partial:
        _write(partial, result, comparison)
    return result | {"wall_s": time.perf_counter() - started}


def format_lines(result: dict[str, Any]) -> list[str]:
    """One line for the mean AUROC of each arm, and one for each difference between two arms."""
    arm_lines = [
        f"{name} ({arm['n_images']:,} images): mean AUROC {_format_estimate(arm['ranks'][utility.MEAN])}"
        for name, arm in result["arms"].items()
    ]
    return arm_lines + [
        f"{name}: {_format_estimate(difference, sign='+')}" for name, difference in result["differences"].items()
    ]


def _format_estimate(estimate: dict[str, Any], sign: str = "") -> str:
    interval = format_interval(estimate["interval"], f"{{:{sign}.3f}}".format, template="(95 % CI {} to {})")
    return f"{estimate['value']:{sign}.3f} {interval}"


@dataclasses.dataclass(frozen=True)
class _LabelledImages:
    """Images uint8 [n, R, R], their findings [n, 14], and their patients [n] (empty for synthetic images).

    `targets` [n, 14] is what a classifier learns from them: their findings, or probabilities.
    """

    pixels: UInt8
    findings: NDArray[np.float32]
    targets: NDArray[np.float32]
    patients: NDArray[np.object_]

    @classmethod
    def from_films(cls, films: FilmDataset, resolution: int, splits: tuple[str, ...]) -> _LabelledImages:
        """The films of these splits that have labels."""
        indices = films.labelled_indices(resolution, splits)
        rows = films.rows(resolution)[indices]
        findings = films.findings(rows)
        return cls(np.asarray(films.memmap(resolution)[indices]), findings, findings, films.patients(rows))

    @classmethod
    def concatenate(cls, first: _LabelledImages, second: _LabelledImages) -> _LabelledImages:
        return cls(
            pixels=np.concatenate([first.pixels, second.pixels]),
            findings=np.concatenate([first.findings, second.findings]),
            targets=np.concatenate([first.targets, second.targets]),
            patients=np.concatenate([first.patients, second.patients]),
        )

    def select(self, rows: NDArray[np.int64]) -> _LabelledImages:
        return _LabelledImages(self.pixels[rows], self.findings[rows], self.targets[rows], self.patients[rows])

    def to_labelled_films(self) -> LabelledFilms:
        return LabelledFilms(lambda rows: self.pixels[rows], findings=self.findings, targets=self.targets)


@dataclasses.dataclass(frozen=True)
class _SyntheticDataset:
    """The records of a synthetic dataset, and the facts about its models from run.json."""

    path: Path
    records: list[ImageRecord]
    resolution: int
    training_data: str
    generator_digest: str
    digest: str

    @classmethod
    def open(cls, path: Path) -> _SyntheticDataset:
        records, about = read_image_records(path), read_run(path)
        try:
            model, requested = about["model"], about["request"]["labels"]
            dataset = cls(
                path=path,
                records=records,
                resolution=int(model["resolution"]),
                training_data=str(model["training_data"]),
                generator_digest=str(model["digests"]["generator"]),
                digest=digests.sha256_file(path / METADATA_FILE),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path / RUN_FILE}: not the run.json of a dataset; generate it again") from error
        if requested:
            raise DataError(
                f"{path}: generated for requested labels ({' and '.join(requested)}); give a dataset that was"
                " generated without requested labels"
            )
        return dataset

    def take_first(self, n: int, targets: Targets) -> _LabelledImages:
        """The first `n` images with their labels, and probabilities, from metadata.csv."""
        records = self.records[:n]
        findings = np.array([to_multi_hot(record.findings) for record in records], dtype=np.float32)
        probabilities = np.array([record.probabilities for record in records], dtype=np.float32)
        names = [record.file_name for record in records]
        files = image_reader.read_all_verified(self.path, names, [record.sha256 for record in records])
        return _LabelledImages(
            pixels=np.stack(
                [
                    image_reader.decode_pixels(data, name=f"{self.path}: {name}")
                    for name, data in zip(names, files, strict=True)
                ]
            ),
            findings=findings,
            targets=findings if targets == "labels" else probabilities,
            patients=np.full(len(records), "", dtype=object),
        )


def _match_counts(
    films: FilmDataset, synthetic: _SyntheticDataset, n: int | None, seed: int, targets: Targets
) -> tuple[_LabelledImages, _LabelledImages]:
    """As many real train films, drawn by `seed`, as first synthetic images; at most `n` of each."""
    train_films = _LabelledImages.from_films(films, synthetic.resolution, _TRAIN)
    n_films, n_images = len(train_films.pixels), len(synthetic.records)
    size = min(n_films, n_images, n or n_images)
    if size < 2:
        raise DataError(
            f"{n_films} train films and {n_images} images are too few to train on; at least 2 of each are necessary"
        )
    chosen = np.random.default_rng(seed).permutation(n_films)[:size]
    return train_films.select(np.sort(chosen)), synthetic.take_first(size, targets)


def _train_and_predict(
    config: ClassifierConfig, train: _LabelledImages, val: _LabelledImages, test: _LabelledImages
) -> NDArray[np.float32]:
    """Train a classifier on `train` and return its logits [n, 14] for the test films."""
    classifier = initialise_classifier(build_network_config(config, train.pixels.shape[1]), config.seed)
    train_classifier(
        classifier,
        films=train.to_labelled_films(),
        val=val.to_labelled_films(),
        config=config,
        mean_auroc=auroc.mean_auroc,
        on_epoch=lambda _: None,
    )
    test_films = test.to_labelled_films()
    return predict_logits(classifier, test_films.read_pixels, len(test.pixels), batch=config.batch, task="test films")


def _write(out: Path, result: dict[str, Any], comparison: Utility) -> None:
    json_files.write_json(out / JSON, result)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, arm in comparison.arms.items():
        for finding, estimate in arm.ranks.items():
            n_positive = comparison.n_positive.get(finding, "")
            figures = [f"{value:.4f}" for value in (estimate.value, *estimate.interval)]
            by_seed = " ".join(f"{value:.4f}" for value in estimate.by_seed)
            writer.writerow((name, arm.n_images, finding, n_positive, *figures, by_seed))
    atomic.write_text(out / CSV, table.getvalue())
    atomic.write_text(out / FIGURE, plots.make_standalone(plots.draw_utility(optional_experiments.order_arms(result))))

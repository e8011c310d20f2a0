"""Train the classifier on the train films or the judge on the judge films; val films select epoch and thresholds."""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import pyramid
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.minimum_films import MIN_FILMS_TO_TRAIN
from synthcxr.data.number_format import format_interval, format_quantity
from synthcxr.data.soft_labels import SoftLabels, read_soft_labels
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.metrics.thresholds import Thresholds, fit_thresholds
from synthcxr.model_files import predictions
from synthcxr.networks import densenet_weights, efficientnet_lite0, efficientnet_weights, safetensors_files
from synthcxr.networks.classifier import Classifier, build_network_config, initialise_classifier
from synthcxr.storage import atomic, digests, json_files, output_lock, write_errors
from synthcxr.storage.overwrite_guard import refuse_foreign_files
from synthcxr.storage.progress import format_duration, print_line
from synthcxr.training.classifier import Epoch, LabelledFilms, predict_logits, train_classifier
from synthcxr.training.log_callbacks import RowCallback, StartLogging, ignore_rows

WEIGHTS_FILE, CONFIG_FILE, METRICS_FILE = "weights.safetensors", "config.json", "metrics.json"
COLUMNS = ("epoch", "loss", "val_loss", "val_auroc_mean", "lr", "wall_s")
_MINIMA = {"resolution": 8, "n_epochs": 1, "batch": 2, "n_bootstrap": 0}
_MIN_DENSENET_RESOLUTION = 32

Float64 = NDArray[np.float64]


@output_lock.replaces_folder(
    functools.partial(refuse_foreign_files, own_names=(WEIGHTS_FILE, CONFIG_FILE, METRICS_FILE))
)
def run(
    config: ClassifierConfig,
    *,
    films: Path,
    out: Path,
    split: str,
    log: Path,
    start_logging: StartLogging = ignore_rows,
) -> dict[str, Any]:
    """Train on the films of `split`, select epoch and thresholds on val, write `out`, and return the metrics.

    `log` (CSV) gets a row at the end of each epoch, and `start_logging` receives the same rows. `out` is replaced as a
    whole at the end, so an interruption keeps the earlier content. Test films are not used.
    """
    # Check the parameters and read the films.
    _check_parameters(config, split)
    imagenet_weights = _find_imagenet_weights(config) if config.weights == "imagenet" else None
    dataset = open_film_dataset(films)
    side = _select_side(config, dataset.resolution)
    soft_labels = None if config.soft_labels is None else read_soft_labels(Path(config.soft_labels))
    training_films, val_films = _read_films(dataset, side, split, soft_labels), _read_films(dataset, side, "val")

    # Train, and select the best epoch.
    network = build_network_config(config, side)
    taught_by = {} if config.soft_labels is None else {"soft_labels": digests.sha256_file(Path(config.soft_labels))}
    fingerprint = digests.fingerprint([dataclasses.asdict(config), dataset.fingerprint, split, *taught_by.values()])
    if atomic.finish_rename(out) == fingerprint:
        print_line(f"{out}: was trained by an earlier run; only moved there now")
        return dict(json_files.read_json(out / METRICS_FILE))
    classifier = initialise_classifier(network, config.seed)
    if imagenet_weights is not None:
        _load_imagenet_weights(config, classifier, imagenet_weights)
    best = train_classifier(
        classifier,
        films=training_films,
        val=val_films,
        config=config,
        mean_auroc=auroc.mean_auroc,
        on_epoch=_build_log_writer(
            log, config.n_epochs, start_logging(dataset.fingerprint, fingerprint, dataclasses.asdict(config))
        ),
    )

    # Measure it on val, and fit the thresholds.
    task = "best epoch, {} films"
    probabilities = _predict_probabilities(classifier, training_films, config.batch, task.format("training"))
    val_probabilities = _predict_probabilities(classifier, val_films, config.batch, task.format("val"))
    performance = auroc.measure_performance(
        scores=val_probabilities,
        findings=val_films.findings,
        patients=dataset.patients(_select_rows(dataset, side, "val")),
        n_bootstrap=config.n_bootstrap,
        rng=np.random.default_rng(config.seed),
    )
    thresholds = fit_thresholds(
        val_probabilities=val_probabilities,
        val_findings=val_films.findings,
        train_probabilities=probabilities,
        train_findings=training_films.findings,
    )

    # Write the classifier.
    metrics = _build_metrics(performance, best, n_films=len(training_films.findings))
    metrics |= {"weak_findings": list(thresholds.weak)}
    description = _describe_classifier(config, dataset, network, thresholds, split)
    description |= {"fingerprint": fingerprint, "sha256": taught_by}
    _write_outputs(out, classifier, description, metrics)
    return metrics


def format_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Format metrics.json for a reader: films, epoch, mean AUROC, and the findings without a reliable threshold."""
    mean_auroc, weak = metrics["mean_auroc"], metrics["weak_findings"]
    yield f"trained on {format_quantity(metrics['n_trained_on'], 'film')}; epoch {metrics['best_epoch']} is the best"
    if mean_auroc["value"] is None:
        yield "mean AUROC: not computable, because no finding has both films with it and films without it in val"
    else:
        interval = format_interval(mean_auroc["interval"], "{:.3f}".format)
        yield (
            f"mean AUROC of {format_quantity(len(mean_auroc['findings']), 'finding')} on"
            f" {format_quantity(metrics['n'], 'val film')}: {mean_auroc['value']:.3f} {interval}"
        )
    if weak:
        yield f"too few val films for a reliable threshold: {', '.join(weak)}"


def _check_parameters(config: ClassifierConfig, split: str) -> None:
    section = "train_judge" if split == "judge" else "train_classifier"
    for key, minimum in _MINIMA.items():
        if getattr(config, key) < minimum:
            raise ConfigError(f"{section}.{key}: must be at least {minimum}, is {getattr(config, key)}")
    if config.backbone == "small" and config.width < 1:
        raise ConfigError(f"{section}.width: must be at least 1, is {config.width}")
    if config.backbone == "densenet121" and config.resolution < _MIN_DENSENET_RESOLUTION:
        raise ConfigError(
            f"{section}.resolution: densenet121 needs at least {_MIN_DENSENET_RESOLUTION}, is {config.resolution}"
        )
    if config.backbone == "efficientnet-lite0" and config.resolution % efficientnet_lite0.STRIDE:
        raise ConfigError(
            f"{section}.resolution: efficientnet-lite0 needs a multiple of {efficientnet_lite0.STRIDE},"
            f" is {config.resolution}"
        )
    if config.backbone == "small" and config.weights == "imagenet":
        raise ConfigError(f"{section}.weights: the small backbone has no imagenet weights; set it to none")
    if config.soft_labels is not None and split == "judge":
        raise ConfigError(
            f"{section}.soft_labels: leave it out; the judge must not learn from the network that taught the classifier"
        )


def _find_imagenet_weights(config: ClassifierConfig) -> Path:
    if config.backbone == "densenet121":
        return densenet_weights.find_weights()
    return efficientnet_weights.LITE0.find()


def _load_imagenet_weights(config: ClassifierConfig, classifier: Classifier, path: Path) -> None:
    if config.backbone == "densenet121":
        densenet_weights.load_imagenet_weights(classifier, path)
    else:
        efficientnet_lite0.load_imagenet_weights(classifier.backbone, path)


def _select_side(config: ClassifierConfig, packed: int) -> int:
    """Return the smallest packed side of at least the backbone's resolution, or else the largest packed side."""
    return next((side for side in pyramid.list_packed_sides(packed) if side >= config.resolution), packed)


def _select_rows(dataset: FilmDataset, side: int, split: str) -> NDArray[np.int64]:
    return dataset.rows(side)[dataset.labelled_indices(side, (split,))]


def _read_films(dataset: FilmDataset, side: int, split: str, soft_labels: SoftLabels | None = None) -> LabelledFilms:
    """Return the films of one split that have labels; their pixels stay on disk until they are read by position."""
    pixels, indices = dataset.memmap(side), dataset.labelled_indices(side, (split,))
    if len(indices) < MIN_FILMS_TO_TRAIN:
        raise DataError(
            f"{dataset.path}: {len(indices)} labelled {split} films at {side} px are too few; "
            f"add films or raise prepare.shares.{split}, then run `synthcxr prepare` again"
        )
    rows = _select_rows(dataset, side, split)
    findings = dataset.findings(rows)
    return LabelledFilms(
        read_pixels=lambda positions: np.asarray(pixels[indices[positions]]),
        findings=findings,
        targets=findings if soft_labels is None else soft_labels.blend(findings, dataset.image_indices(rows)),
    )


def _build_log_writer(log: Path, n_epochs: int, on_row: RowCallback) -> Callable[[Epoch], None]:
    """Start the CSV file, and return a function that appends a row to it, prints it and passes it to `on_row`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with write_errors.name_path(log), log.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(COLUMNS)

    def write_row(epoch: Epoch) -> None:
        row = {column: f"{getattr(epoch, column):.6g}" for column in COLUMNS}
        with write_errors.name_path(log), log.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row.values())
        auroc_text = "" if math.isnan(epoch.val_auroc_mean) else f", mean AUROC on val {epoch.val_auroc_mean:.3f}"
        left_s = epoch.wall_s / epoch.epoch * (n_epochs - epoch.epoch)
        time_text = f", {format_duration(left_s)} left" if left_s else ""
        print_line(
            f"epoch {epoch.epoch} of {n_epochs}: loss {epoch.loss:.3f}, val loss {epoch.val_loss:.3f}{auroc_text}"
            f"{time_text}"
        )
        on_row(row)

    return write_row


def _predict_probabilities(classifier: Classifier, films: LabelledFilms, batch: int, task: str) -> Float64:
    logits = predict_logits(classifier, films.read_pixels, len(films.findings), batch=batch, task=task)
    return predictions.to_probabilities(logits)


def _build_metrics(performance: auroc.ClassifierPerformance, best: Epoch, *, n_films: int) -> dict[str, Any]:
    """Build the content of metrics.json: every value is of the val films, which also selected the epoch."""
    return {
        "films": "val",
        "n": performance.n_films,
        "n_patients": performance.n_patients,
        "n_trained_on": n_films,
        "n_bootstrap": performance.n_bootstrap,
        "best_epoch": best.epoch,
        "val_loss": best.val_loss,
        "mean_auroc": performance.mean_auroc.as_dict() | {"findings": list(performance.mean_over)},
        "findings": {
            finding: {
                "n": result.n,
                "n_positive": result.n_positive,
                "auroc": result.auroc.as_dict(),
                "average_precision": result.average_precision.as_dict(),
            }
            for finding, result in performance.findings.items()
        },
    }


def _describe_classifier(
    config: ClassifierConfig,
    dataset: FilmDataset,
    network: dict[str, Any],
    thresholds: Thresholds,
    split: str,
) -> dict[str, Any]:
    """Build the content of config.json."""
    return {
        "network": network,
        "resolution": config.resolution,
        "thresholds": thresholds.probability,
        "thresholds_from": thresholds.matched_on,
        "weak_findings": list(thresholds.weak),
        "training_data": dataset.fingerprint,
        "phantom": dataset.phantom,
        "attribution": list(dataset.attribution),
        "split": split,
        "parameters": dataclasses.asdict(config),
    }


def _write_outputs(out: Path, classifier: Classifier, description: dict[str, Any], metrics: dict[str, Any]) -> None:
    with atomic.open_folder(out, request=description["fingerprint"]) as partial:
        safetensors_files.save(partial / WEIGHTS_FILE, classifier.cpu(), {})
        json_files.write_json(partial / CONFIG_FILE, description)
        json_files.write_json(partial / METRICS_FILE, metrics)

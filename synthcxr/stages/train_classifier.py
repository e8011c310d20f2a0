"""Train a classifier on one side's patients: the classifier on "train", the judge on "judge"; val chooses for both."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import film_dataset, pyramid
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.metrics.thresholds import Thresholds, matched_all
from synthcxr.model_files import predictions
from synthcxr.networks import densenet_weights, efficientnet_lite0, efficientnet_weights, safetensors_files
from synthcxr.networks.classifier import Classifier, initialise, network_config
from synthcxr.storage import atomic, digests, json_files, overwrite_guard
from synthcxr.training.classifier import Epoch, Films, predict, train
from synthcxr.training.log_callbacks import Follow, Hear, nobody

WEIGHTS, CONFIG, METRICS = "weights.safetensors", "config.json", "metrics.json"
COLUMNS = ("epoch", "loss", "val_loss", "val_auroc_mean", "lr", "wall_s")
_LEAST = {"resolution": 8, "n_epochs": 1, "batch": 2, "n_bootstrap": 0}
_LEAST_DENSENET = 32

Float64 = NDArray[np.float64]


def run(
    config: ClassifierConfig, *, data: Path, out: Path, split: str, log: Path, follow: Follow = nobody
) -> dict[str, Any]:
    """Train on `split`, choose epoch and thresholds on val, and write the folder `out`; returns its metrics.

    `log` (CSV) gets a row an epoch as it ends. `out` is put in place whole at the end, so that an interruption
    leaves what was there. `follow` is told of the training and hears its rows. Test films are not looked at.
    """
    _check(config, split)
    overwrite_guard.refuse_strangers(out, (WEIGHTS, CONFIG, METRICS))
    start = _find_start(config) if config.weights == "imagenet" else None
    films = film_dataset.open_dataset(data)
    side = _side(config, films.resolution)
    held, val = _films(films, side, split), _films(films, side, "val")
    network = network_config(config, side)
    fingerprint = digests.fingerprint([dataclasses.asdict(config), films.fingerprint, split])
    classifier = initialise(network, config.seed)
    if start is not None:
        _start(config, classifier, start)
    best = train(
        classifier,
        films=held,
        val=val,
        config=config,
        mean_auroc=auroc.mean_auroc,
        report=_logger(log, follow(films.fingerprint, fingerprint, dataclasses.asdict(config))),
    )
    probabilities, val_probabilities = (_probabilities(classifier, of, config.batch) for of in (held, val))
    scores = auroc.score(
        scores=val_probabilities,
        findings=val.findings,
        patients=films.patients(_rows(films, side, "val")),
        n_bootstrap=config.n_bootstrap,
        rng=np.random.default_rng(config.seed),
    )
    thresholds = matched_all(
        val_probabilities=val_probabilities,
        val_findings=val.findings,
        train_probabilities=probabilities,
        train_findings=held.findings,
    )
    metrics = _metrics(scores, best, n_films=len(held.findings)) | {"weak_findings": list(thresholds.weak)}
    about = _about(config, films, network, thresholds, split) | {"fingerprint": fingerprint}
    _write(out, classifier, about, metrics)
    return metrics


def _check(config: ClassifierConfig, split: str) -> None:
    section = "train_judge" if split == "judge" else "train_classifier"
    for key, least in _LEAST.items():
        if getattr(config, key) < least:
            raise ConfigError(f"{section}.{key}: must be at least {least}, is {getattr(config, key)}")
    if config.backbone == "small" and config.width < 1:
        raise ConfigError(f"{section}.width: must be at least 1, is {config.width}")
    if config.backbone == "densenet121" and config.resolution < _LEAST_DENSENET:
        raise ConfigError(f"{section}.resolution: densenet121 needs at least {_LEAST_DENSENET}, is {config.resolution}")
    if config.backbone == "efficientnet-lite0" and config.resolution % efficientnet_lite0.STRIDE:
        raise ConfigError(
            f"{section}.resolution: efficientnet-lite0 needs a multiple of {efficientnet_lite0.STRIDE}, is {config.resolution}"
        )
    if config.backbone == "small" and config.weights == "imagenet":
        raise ConfigError(f"{section}.weights: there are no imagenet weights of backbone small; set it to none")


def _find_start(config: ClassifierConfig) -> Path:
    return densenet_weights.find() if config.backbone == "densenet121" else efficientnet_weights.LITE0.find()


def _start(config: ClassifierConfig, classifier: Classifier, path: Path) -> None:
    if config.backbone == "densenet121":
        densenet_weights.start(classifier, path)
    else:
        efficientnet_lite0.start(classifier.backbone, path)


def _side(config: ClassifierConfig, packed: int) -> int:
    """The smallest packed side that the backbone's resolution does not exceed, or the largest there is."""
    return next((side for side in pyramid.packed_sides(packed) if side >= config.resolution), packed)


def _rows(films: film_dataset.Dataset, side: int, split: str) -> NDArray[np.int64]:
    return films.rows(side)[films.indices(side, (split,))]


def _films(films: film_dataset.Dataset, side: int, split: str) -> Films:
    """One side's films, left on disk and read by position."""
    pixels, at = films.memmap(side), films.indices(side, (split,))
    if len(at) < 2:
        raise DataError(
            f"{films.path}: {len(at)} {split} films at {side} px are too few; "
            f"add films or raise prepare.shares.{split}, then run `synthcxr prepare` again"
        )
    return Films(
        read=lambda positions: np.asarray(pixels[at[positions]]), findings=films.findings(films.rows(side)[at])
    )


def _logger(log: Path, hear: Hear) -> Callable[[Epoch], None]:
    """Begin the CSV and return what adds a row to it, and tells it on."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(COLUMNS)

    def add(epoch: Epoch) -> None:
        row = {column: f"{getattr(epoch, column):.6g}" for column in COLUMNS}
        with log.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row.values())
        hear(row)

    return add


def _probabilities(classifier: Classifier, films: Films, batch: int) -> Float64:
    logits = predict(classifier, films.read, len(films.findings), batch=batch)
    return predictions.probabilities(logits)


def _metrics(scores: auroc.Scores, best: Epoch, *, n_films: int) -> dict[str, Any]:
    """What metrics.json says: every figure is of val films, those that also chose the epoch."""
    return {
        "films": "val",
        "n": scores.n_films,
        "n_patients": scores.n_patients,
        "n_trained_on": n_films,
        "n_bootstrap": scores.n_bootstrap,
        "best_epoch": best.epoch,
        "val_loss": best.val_loss,
        "mean_auroc": scores.mean_auroc.as_dict() | {"findings": list(scores.mean_over)},
        "findings": {
            finding: {
                "n": found.n,
                "n_positive": found.n_positive,
                "auroc": found.auroc.as_dict(),
                "average_precision": found.average_precision.as_dict(),
            }
            for finding, found in scores.findings.items()
        },
    }


def _about(
    config: ClassifierConfig,
    films: film_dataset.Dataset,
    network: dict[str, Any],
    thresholds: Thresholds,
    split: str,
) -> dict[str, Any]:
    return {
        "network": network,
        "resolution": config.resolution,
        "thresholds": thresholds.probability,
        "thresholds_from": thresholds.matched_on,
        "weak_findings": list(thresholds.weak),
        "training_data": films.fingerprint,
        "phantom": films.phantom,
        "attribution": list(films.attribution),
        "split": split,
        "parameters": dataclasses.asdict(config),
    }


def _write(out: Path, classifier: Classifier, about: dict[str, Any], metrics: dict[str, Any]) -> None:
    with atomic.folder(out) as partial:
        safetensors_files.save(partial / WEIGHTS, classifier.cpu(), {})
        json_files.write_json(partial / CONFIG, about)
        json_files.write_json(partial / METRICS, metrics)

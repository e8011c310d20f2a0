"""Train classifier, judge and GAN, and log their rows to MLflow while they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthcxr import registry
from synthcxr.config.schema import Config
from synthcxr.registry.training_log import log_training

Metrics = dict[str, Any]


def train_classifier(config: Config, *, films: Path, out: Path, log: Path, say: Callable[[str], None]) -> Metrics:
    """Train the classifier on the train films and return its metrics.

    `log` is a CSV file with one row per epoch; `say` gets a line if the rows do not reach MLflow.
    """
    from synthcxr.stages import train_classifier as stage

    with log_training(experiment=config.register.experiment, table=log.stem, say=say) as start_logging:
        return stage.run(
            config.train_classifier, films=films, out=out, split="train", log=log, start_logging=start_logging
        )


def train_judge(config: Config, *, films: Path, out: Path, log: Path, say: Callable[[str], None]) -> Metrics:
    """Train the judge, the same network on the judge films, and return its metrics; see `train_classifier`."""
    from synthcxr.stages import train_classifier as stage

    with log_training(experiment=config.register.experiment, table=log.stem, say=say) as start_logging:
        return stage.run(config.train_judge, films=films, out=out, split="judge", log=log, start_logging=start_logging)


def train_gan(
    config: Config,
    *,
    films: Path,
    out: Path,
    log: Path,
    snapshots: Path,
    checkpoints: Path,
    say: Callable[[str], None],
) -> Metrics:
    """Train the GAN on the train and judge films and return its metrics; the same call resumes a stopped training.

    `train_gan.start_from` of the configuration is the folder of an earlier training or a model address. The metrics are
    empty in all processes of torchrun but the first.
    """
    from synthcxr.stages import train_gan as stage

    address = config.train_gan.start_from
    initial_weights = None if address is None else _find_initial_weights(address, say)
    with log_training(experiment=config.register.experiment, table=log.stem, say=say) as start_logging:
        return stage.run(
            config.train_gan,
            films=films,
            out=out,
            log=log,
            snapshots=snapshots,
            checkpoints=checkpoints,
            initial_weights=initial_weights,
            start_logging=start_logging,
        )


def _find_initial_weights(address: str, say: Callable[[str], None]) -> Path:
    """The folder of a trained generator and discriminator: the output of `train-gan`, or a registered generator."""
    folder = Path(address)
    if (folder / "generator.safetensors").is_file():
        return folder
    resolved = registry.resolve_model(address)
    say(f"start weights: {resolved}")
    return resolved.path

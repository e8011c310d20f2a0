"""config.json of a training: what `train-gan`, `train-classifier` and `train-judge` write and later stages read."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict

from synthcxr.config import parsing
from synthcxr.config.bounds import Side, Weight
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.networks.classifier import ClassifierNetwork
from synthcxr.networks.generator import GeneratorNetwork

CONFIG_FILE = "config.json"


class TrainingConfig(TypedDict):
    """What all trainings write: the fingerprint of the films, their attribution, and whether they are phantoms."""

    training_data: str
    phantom: bool
    attribution: NotRequired[list[str]]
    fingerprint: NotRequired[str]


class GanTraining(TrainingConfig):
    """The config.json of `train-gan`; `condition` are the columns of the condition of a conditional GAN."""

    network: GeneratorNetwork
    resolution: Side
    condition: NotRequired[list[str]]


class ClassifierParameters(TypedDict):
    """The parameters of a training of a classifier that are used later."""

    weights: str


class ClassifierTraining(TrainingConfig):
    """The config.json of `train-classifier` and `train-judge`; the mappings are by finding."""

    network: ClassifierNetwork
    parameters: ClassifierParameters
    split: str
    thresholds: dict[str, Weight]
    thresholds_from: dict[str, str]


def read_training(folder: Path) -> TrainingConfig:
    """Read what all trainings write; ArtifactError where config.json is absent or something else."""
    return parsing.read_json(TrainingConfig, folder / CONFIG_FILE, error=ArtifactError, advice="train it again")


def read_gan_training(folder: Path) -> GanTraining:
    """Read the config.json of a generator; ArtifactError where it is absent or something else."""
    return parsing.read_json(GanTraining, folder / CONFIG_FILE, error=ArtifactError, advice="train it again")


def read_classifier_training(folder: Path) -> ClassifierTraining:
    """Read the config.json of a classifier; ArtifactError where it is absent or something else."""
    path = folder / CONFIG_FILE
    training = parsing.read_json(ClassifierTraining, path, error=ArtifactError, advice="train it again")
    missing = [name for name in FINDINGS if not {name} <= training["thresholds"].keys() & training["thresholds_from"]]
    if missing:
        raise ArtifactError(f"{path}: has no threshold for {', '.join(missing)}; train it again")
    return training

"""What is read of disturb.json and utility.json, which `synthcxr disturb` and `synthcxr utility` write."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class LevelRow(TypedDict):
    """The distance of real films at one level of a disturbance."""

    level: float
    value: float
    interval: tuple[float, float]


class DisturbanceJson(TypedDict):
    """The curve of one disturbance; `grows` is "yes" or names the levels between which the distance does not grow."""

    grows: str
    levels: list[LevelRow]


class DisturbEntry(TypedDict):
    """One extractor in disturb.json; only `status` where it was not measured."""

    digest: NotRequired[str]
    passed: NotRequired[bool]
    disturbances: NotRequired[dict[str, DisturbanceJson]]


class DisturbJson(TypedDict):
    """What the report reads of disturb.json, which `synthcxr disturb` writes."""

    extractors: dict[str, DisturbEntry]


class UtilityEstimate(TypedDict):
    """An AUROC, or a difference of two, and its 95 % interval."""

    value: float
    interval: tuple[float, float]


class UtilityArm(TypedDict):
    """The number of training images of one arm, and its AUROC by finding."""

    n_images: int
    ranks: dict[str, UtilityEstimate]


class UtilityTraining(TypedDict):
    """How the classifiers were trained."""

    n_seeds: int
    n_epochs: int
    targets: NotRequired[str]


class UtilityJson(TypedDict):
    """What the report reads of utility.json, which `synthcxr utility` writes."""

    generator: str
    n_test: int
    n_patients: int
    training: UtilityTraining
    arms: dict[str, UtilityArm]
    differences: dict[str, UtilityEstimate]
    n_positive: dict[str, int]
    over: list[str]

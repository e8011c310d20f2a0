"""The content of run.json, which `generate` writes beside the images of a dataset.

Keys that are not required were added after the first version, or are left out where they have their default.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from synthcxr.config.bounds import Age, Count, CountOrZero, NimgOrZero, Seed, Share, Side


class RunModel(TypedDict):
    """The models of a dataset; `digests` are by kind, `thresholds` by finding."""

    name: str
    digests: dict[str, str]
    training_data: str
    phantom: bool
    resolution: Side
    attribution: NotRequired[list[str]]
    weak: NotRequired[list[str]]
    thresholds: NotRequired[dict[str, float]]


class RunPart(TypedDict):
    """One set of findings of a request for several, with its number of images."""

    labels: list[str]
    without: list[str]
    n: Count


class RunAttributes(TypedDict):
    """The attributes that were requested of a conditional generator; ages in years, from youngest to oldest."""

    view: Literal["PA", "AP"] | None
    sex: Literal["F", "M"] | None
    age: tuple[Age, Age] | None


class RunRequest(TypedDict):
    """The request of a dataset."""

    n: Count
    seed: Seed
    labels: list[str]
    max_draws: NimgOrZero
    batch: Count
    apart: NotRequired[str]
    method: NotRequired[str]
    without: NotRequired[list[str]]
    parts: NotRequired[list[RunPart]]
    attributes: NotRequired[RunAttributes]
    min_effective_share: NotRequired[Share]


class RunCounts(TypedDict):
    """How many images were requested and accepted, from how many candidates and runs of the generator.

    `effective_size` is the effective sample size of the weights, if they differ.
    """

    requested: CountOrZero
    found: CountOrZero
    draws: NimgOrZero
    acceptance_rate: Share
    runs: NotRequired[NimgOrZero]
    effective_size: NotRequired[float]


class RunShortfall(TypedDict):
    """A part of the request that got too few images."""

    labels: list[str]
    without: list[str]
    requested: Count
    found: CountOrZero


class RunJson(TypedDict):
    """run.json."""

    model: RunModel
    request: RunRequest
    counts: RunCounts
    complete: bool
    shortfall: NotRequired[list[RunShortfall]]
    format: str
    provider: str
    threads: Count
    versions: dict[str, str]
    command: NotRequired[list[str]]
    precision: NotRequired[str]
    git_revision: NotRequired[str]
    git_dirty: NotRequired[bool]
    dvc: NotRequired[dict[str, str]]
    wall_s: NotRequired[float]

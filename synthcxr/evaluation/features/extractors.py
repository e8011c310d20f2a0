"""Feature extractors: what an extractor is, which ones exist, how to open one, and how to run it on images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Protocol

from synthcxr.config.schema import Device
from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import ConfigError
from synthcxr.evaluation.features import efficientnet_lite0, inception, row_blocks
from synthcxr.evaluation.features.engine import Outputs, RunAll
from synthcxr.evaluation.features.feature_extractor import FeatureExtractor
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.project import extensions
from synthcxr.project.extensions import Extensions

JUDGE = "judge"
FEATURE_EXTRACTORS = Extensions(
    extensions.EXTRACTORS, FeatureExtractor, (efficientnet_lite0.EXTRACTOR, inception.EXTRACTOR)
)
"""All extractors but the judge, which is a model of the project."""


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where features come from: the extractor's name, the sha256 of its weights, and how images are resized for it."""

    extractor: str
    digest: str
    resize: str


@dataclasses.dataclass(frozen=True)
class Extractor:
    """`run` maps images uint8 [n, R, R] to named arrays, among them "features", float32 [n, d].

    `run_elsewhere` does so for many batches in other processes, where there are any. `device` is the device that it
    runs on. `training_splits` are the splits of the GAN's training films that the extractor was not itself trained on.
    """

    provenance: Provenance
    device: str
    training_splits: tuple[str, ...]
    run: Callable[[UInt8], Outputs]
    run_elsewhere: RunAll | None = None

    @property
    def run_all(self) -> RunAll:
        """The function that maps batches of images to the outputs for each, in order."""
        return self.run_elsewhere or functools.partial(map, self.run)


class OnnxModel(Protocol):
    """An opened judge or classifier; `run` maps images float32 [N, 1, R, R] to its outputs by name."""

    @property
    def metadata(self) -> ModelMetadata: ...
    @property
    def digest(self) -> str: ...
    @property
    def provider(self) -> str: ...
    def run(self, array: Float32) -> Outputs: ...


def list_extractors() -> tuple[str, ...]:
    """The names of all extractors, the judge first; imports no package."""
    return (JUDGE, *FEATURE_EXTRACTORS.list_names())


def require_known(names: Iterable[str], *, source: str = "evaluate.extractors") -> None:
    """Raise ConfigError, which begins with `source`, if a name is not that of an extractor, or occurs twice."""
    known, names = list_extractors(), list(names)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{source}: {name} is named twice")
        if name not in known:
            raise ConfigError(f"{source}: unknown extractor {name!r}; known: {', '.join(known)}")


def find_unavailable(names: Iterable[str]) -> dict[str, str]:
    """The extractors among `names` that cannot be opened on this machine, each with what to do about it."""
    reasons = {name: FEATURE_EXTRACTORS.load(name).find_missing() for name in names if name != JUDGE}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def open_extractor(name: str, device: Device) -> Extractor:
    """Open any extractor except the judge, which is a session that a stage opens.

    Raises ArtifactError if the weights are missing or their sha256 is wrong.
    """
    declaration = FEATURE_EXTRACTORS.load(name)
    device_type, compute = declaration.open(device)
    return Extractor(
        provenance=Provenance(extractor=name, digest=declaration.find_digest(), resize=declaration.resize),
        device=device_type,
        training_splits=("train", "judge"),
        run=lambda pixels: {"features": compute(pixels)},
    )


def extractor_from_model(model: OnnxModel) -> Extractor:
    """The outputs of a judge or a classifier. The judge was trained on the judge split, so it compares with train."""
    metadata = model.metadata
    resize = f"none outside its graph, which takes {metadata.resolution} px"
    return Extractor(
        provenance=Provenance(extractor=metadata.kind, digest=model.digest, resize=resize),
        device=model.provider,
        training_splits=("train",),
        run=lambda pixels: model.run(images.to_float(pixels)),
    )


def compute_features(extractor: Extractor, batches: Iterable[UInt8], n: int) -> Outputs:
    """Every output of an extractor for batches of images uint8 [b, R, R], of which there are `n` in all, in memory."""
    return row_blocks.join_blocks(extractor.run_all(batches), n)

"""Feature extractors: what an extractor is, which ones exist, how to open one, and how to run it on images."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from synthcxr.config.schema import Device
from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.evaluation.features import efficientnet_lite0, inception, inception_weights
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks import efficientnet_weights

JUDGE = "judge"
KNOWN_EXTRACTORS = (JUDGE, efficientnet_lite0.NAME, inception.NAME)

Outputs = dict[str, Float32]


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where features come from: the extractor's name, the sha256 of its weights, and how images are resized for it."""

    extractor: str
    digest: str
    resize: str


@dataclasses.dataclass(frozen=True)
class Extractor:
    """`run` maps images uint8 [n, R, R] to named arrays, among them "features", float32 [n, d].

    `device` is the device that it runs on. `training_splits` are the splits of the GAN's training films that the
    extractor was not itself trained on.
    """

    provenance: Provenance
    device: str
    training_splits: tuple[str, ...]
    run: Callable[[UInt8], Outputs]


class OnnxModel(Protocol):
    """An opened judge or classifier; `run` maps images float32 [N, 1, R, R] to its outputs by name."""

    @property
    def metadata(self) -> ModelMetadata: ...
    @property
    def digest(self) -> str: ...
    @property
    def provider(self) -> str: ...
    def run(self, array: Float32) -> Outputs: ...


def require_known(names: Iterable[str]) -> None:
    """Raise ConfigError if a name is not in KNOWN_EXTRACTORS."""
    for name in names:
        if name not in KNOWN_EXTRACTORS:
            known = ", ".join(KNOWN_EXTRACTORS)
            raise ConfigError(f"evaluate.extractors: unknown extractor {name!r}; known: {known}")


def find_unavailable(names: Iterable[str]) -> dict[str, str]:
    """The extractors among `names` that cannot be opened on this machine, each with what to do about it."""
    reasons = {name: _describe_missing(name) for name in names}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def open_extractor(name: str, device: Device) -> Extractor:
    """Open any of KNOWN_EXTRACTORS except the judge, which is a session that a stage opens.

    Raises ArtifactError if the weights are missing or their sha256 is wrong.
    """
    if name == inception.NAME:
        weights = inception_weights.find_weights()
        if weights is None:
            raise ArtifactError(
                f"the original Inception is not on this machine: {inception_weights.describe_missing()}"
            )
        digest, resize, load = inception_weights.SHA256, inception.RESIZE, inception.load
    else:
        weights = efficientnet_weights.LITE0.find()
        digest, resize, load = efficientnet_weights.LITE0.sha256, efficientnet_lite0.RESIZE, efficientnet_lite0.load
    from synthcxr.networks.device import select_device  # imports torch

    device_type = select_device(device).type
    compute = load(weights, device_type)
    return Extractor(
        provenance=Provenance(extractor=name, digest=digest, resize=resize),
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


def compute_features(run: Callable[[UInt8], Outputs], batches: Iterable[UInt8]) -> Outputs:
    """Every output of `run`, concatenated over batches of images uint8 [n, R, R]."""
    outputs = [run(batch) for batch in batches]
    if not outputs:
        raise DataError("there are no images to compute features of")
    return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}


def _describe_missing(name: str) -> str | None:
    if name == efficientnet_lite0.NAME:
        return efficientnet_lite0.describe_missing()
    if name == inception.NAME:
        if importlib.util.find_spec("torch") is None:
            return "install it with `pip install 'synthcxr[train]'` (missing: torch)"
        return None if inception_weights.find_weights() else inception_weights.describe_missing()
    return None

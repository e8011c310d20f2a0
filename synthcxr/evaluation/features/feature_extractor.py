"""The declaration of a feature extractor: the network in whose features images and films are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from synthcxr.config.schema import Device
from synthcxr.data.images import Float32, UInt8

ComputeFeatures = Callable[[UInt8], Float32]


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """An extractor that users choose by its `name` in `evaluate.extractors`.

    `summary` names the network and its training data as the report does. `resize` says how images are resized and
    scaled for it, and `find_digest` returns the sha256 of its weights: results with another digest or resize are not
    compared, and its cached features are not used. `open` loads it on a device ("auto", "cuda" or "cpu") and returns
    the device that it runs on and a function from images uint8 [n, R, R] to features float32 [n, d]; it raises
    ArtifactError for missing or changed weights. `find_missing` returns what to install to run it here, or None.
    """

    name: str
    summary: str
    resize: str
    find_digest: Callable[[], str]
    open: Callable[[Device], tuple[str, ComputeFeatures]]
    find_missing: Callable[[], str | None] = lambda: None


def open_on_torch_device(load: Callable[[str], ComputeFeatures]) -> Callable[[Device], tuple[str, ComputeFeatures]]:
    """The `open` of an extractor in torch; `load` loads it on a torch device, "cpu" or "cuda"."""

    def open_on_device(device: Device) -> tuple[str, ComputeFeatures]:
        from synthcxr.networks.device import select_device  # imports torch

        device_type = select_device(device).type
        return device_type, load(device_type)

    return open_on_device

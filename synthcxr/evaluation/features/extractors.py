"""The extractors by name: which there are, what each lacks on this machine, and how to open it.

The judge is another matter: it is opened as a session, which a stage brings to `labeller`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Protocol

from synthcxr.config.schema import Device
from synthcxr.data import images
from synthcxr.data.images import Float32
from synthcxr.errors import ConfigError
from synthcxr.evaluation.features import efficientnet_lite0, inception, inception_weights
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor, Outputs
from synthcxr.evaluation.metrics.frechet import Provenance
from synthcxr.model_files.onnx_metadata import Contract

JUDGE = "judge"
KNOWN = (JUDGE, efficientnet_lite0.LITE0, inception.NAME)
_OPEN: dict[str, Callable[[Device], Extractor]] = {
    efficientnet_lite0.LITE0: efficientnet_lite0.efficientnet_lite0,
    inception.NAME: inception.open_inception,
}


class Model(Protocol):
    """An opened judge or classifier; `run` maps images float32 [N, 1, R, R] to its outputs by name."""

    @property
    def contract(self) -> Contract: ...
    @property
    def digest(self) -> str: ...
    @property
    def provider(self) -> str: ...
    def run(self, array: Float32) -> Outputs: ...


def require_known(names: Iterable[str]) -> None:
    """ConfigError for a name that is none of KNOWN."""
    for name in names:
        if name not in KNOWN:
            raise ConfigError(f"evaluate.extractors: unknown extractor {name!r}; known: {', '.join(KNOWN)}")


def labeller(model: Model) -> Extractor:
    """The outputs of a judge, which learned on the judge split and is compared on train, or of a classifier."""
    contract = model.contract
    resize = f"none outside its graph, which takes {contract.resolution} px"
    return Extractor(
        provenance=Provenance(extractor=contract.kind, digest=model.digest, resize=resize),
        device=model.provider,
        training_splits=("train",),
        run=lambda pixels: model.run(images.to_float(pixels)),
    )


def open_extractor(name: str, device: Device) -> Extractor:
    """Any of KNOWN but the judge."""
    return _OPEN[name](device)


def missing(names: Iterable[str]) -> dict[str, str]:
    """Of these names, those that cannot be opened here, and what to do about each."""
    found = {name: _missing(name) for name in names}
    return {name: what for name, what in found.items() if what is not None}


def _missing(name: str) -> str | None:
    if name == efficientnet_lite0.LITE0:
        return efficientnet_lite0.missing()
    if name == inception.NAME:
        if importlib.util.find_spec("torch") is None:
            return "install it with `pip install 'synthcxr[train]'` (absent: torch)"
        return None if inception_weights.find() else inception_weights.missing()
    return None

"""The metadata that synthcxr writes into an ONNX file and checks when it opens one: kind, sizes, thresholds, digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import onnx

from synthcxr.config import parsing
from synthcxr.config.bounds import Bounds, Side, Weight, WidthOrZero
from synthcxr.data.condition import find_parts
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic, onnx_files

Kind = Literal["generator", "classifier", "judge", "proposal"]
METADATA_KEY = "synthcxr"
_ADVICE = "export the model again"


class _CalibrationJson(TypedDict):
    temperature: Annotated[float, Bounds(above=0)]
    shift: dict[str, float]


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """The metadata of one model file; the field names are its JSON keys.

    `resolution` is the side of an image in pixels and `latent` the size of a latent, 0 for a classifier. `thresholds`
    maps findings to probabilities and is empty for a generator. `network` is the config from which `networks/` builds
    the torch module. `training_data` is the fingerprint of the training films, and `phantom` says that all of them are
    drawn. `weak` are the findings whose thresholds rest on fewer than 3 val positives; they enter no gate.
    `calibration` corrects the probabilities that are written (`predictions.calibrate`); thresholds apply to the
    uncorrected ones. `condition` names the columns of the second input of a conditional generator
    (`data/condition.py`); it is empty for all others. `digest` is that of the graph.
    """

    kind: Kind
    resolution: Side
    latent: WidthOrZero
    findings: tuple[str, ...]
    thresholds: dict[str, Weight]
    network: dict[str, Any]
    training_data: str
    phantom: bool
    licence: str
    weak: tuple[str, ...] = ()
    calibration: dict[str, Any] = dataclasses.field(default_factory=dict)
    condition: tuple[str, ...] = ()
    digest: str = ""


def compute_digest(model: onnx.ModelProto) -> str:
    """Return the hex sha256 of a model's graph and initialisers, without its metadata."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def stamp(model: onnx.ModelProto, metadata: ModelMetadata) -> ModelMetadata:
    """Replace a model's metadata, and return it with the digest."""
    del model.metadata_props[:]
    stamped = dataclasses.replace(metadata, digest=compute_digest(model))
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(dataclasses.asdict(stamped), sort_keys=True)})
    return stamped


def amend(path: Path, metadata: ModelMetadata) -> ModelMetadata:
    """Replace the metadata of a model file without changing its graph, and return it with the digest."""
    model = onnx_files.read_model(path)
    amended = stamp(model, metadata)
    with atomic.open_file(path) as file:
        onnx.save(model, file)
    return amended


def read(path: Path, *, kind: Kind | None = None) -> ModelMetadata:
    """Read the metadata of a model file; ArtifactError unless file, kind, findings and digest are as expected."""
    model = onnx_files.read_model(path)
    text = {prop.key: prop.value for prop in model.metadata_props}.get(METADATA_KEY)
    if text is None:
        raise ArtifactError(f"{path}: has no synthcxr metadata; export it with `synthcxr export`")
    metadata = parsing.parse_json(ModelMetadata, text, f"{path}: its metadata", error=ArtifactError, advice=_ADVICE)
    if metadata.calibration:
        where = f"{path}: its metadata: calibration"
        parsing.build_as(_CalibrationJson, metadata.calibration, where, error=ArtifactError, advice=_ADVICE)
    if metadata.condition:
        find_parts(metadata.condition, f"{path}: its metadata")
    if kind is not None and metadata.kind != kind:
        raise ArtifactError(f"{path}: is a {metadata.kind}, expected a {kind}")
    if metadata.findings != FINDINGS:
        raise ArtifactError(f"{path}: its findings differ from the 14 of synthcxr: {', '.join(metadata.findings)}")
    if compute_digest(model) != metadata.digest:
        raise ArtifactError(f"{path}: its digest does not match its graph; export or pull it again")
    return metadata

"""The metadata that synthcxr writes into an ONNX file and checks when it opens one: kind, sizes, thresholds, digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic

Kind = Literal["generator", "classifier", "judge", "proposal"]
METADATA_KEY = "synthcxr"


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """The metadata of one model file; the field names are its JSON keys.

    `resolution` is the side of an image in pixels and `latent` the size of a latent, 0 for a classifier. `thresholds`
    maps findings to probabilities and is empty for a generator. `network` is the config from which `networks/` builds
    the torch module. `training_data` is the fingerprint of the training films, and `phantom` says that all of them are
    drawn. `weak` are the findings whose thresholds rest on fewer than 3 val positives; they enter no gate.
    `calibration` corrects the probabilities that are written (`predictions.calibrate`); thresholds apply to the
    uncorrected ones. `digest` is that of the graph.
    """

    kind: Kind
    resolution: int
    latent: int
    findings: tuple[str, ...]
    thresholds: dict[str, float]
    network: dict[str, Any]
    training_data: str
    phantom: bool
    licence: str
    weak: tuple[str, ...] = ()
    calibration: dict[str, Any] = dataclasses.field(default_factory=dict)
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
    model = onnx.load(path)
    amended = stamp(model, metadata)
    with atomic.open_file(path) as file:
        onnx.save(model, file)
    return amended


def read(path: Path, *, kind: Kind | None = None) -> ModelMetadata:
    """Read the metadata of a model file; ArtifactError unless file, kind, findings and digest are as expected."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such model file")
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ArtifactError(f"{path}: not an ONNX file, or truncated") from error
    text = {prop.key: prop.value for prop in model.metadata_props}.get(METADATA_KEY)
    if text is None:
        raise ArtifactError(f"{path}: has no synthcxr metadata; export it with `synthcxr export`")
    try:
        fields = json.loads(text)
        metadata = ModelMetadata(
            **fields | {"findings": tuple(fields["findings"]), "weak": tuple(fields.get("weak", ()))}
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path}: its metadata is of another version ({error}); export it again") from error
    if kind is not None and metadata.kind != kind:
        raise ArtifactError(f"{path}: is a {metadata.kind}, expected a {kind}")
    if metadata.findings != FINDINGS:
        raise ArtifactError(f"{path}: its findings differ from the 14 of synthcxr: {', '.join(metadata.findings)}")
    if compute_digest(model) != metadata.digest:
        raise ArtifactError(f"{path}: its digest does not match its graph; export or pull it again")
    return metadata

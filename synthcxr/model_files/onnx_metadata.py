"""What an ONNX file of ours promises: kind, sizes, findings, thresholds, origin, digest; stamped in and checked."""

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
KEY = "synthcxr"


@dataclasses.dataclass(frozen=True)
class Contract:
    """The promises of one model file. `resolution` is the image side; `latent` is 0 for a classifier.

    `thresholds` maps finding to probability (empty for a generator); `network` is the config from which
    `networks/` rebuilds the torch module; `training_data` is the films' fingerprint; `phantom` says that no real
    film was ever seen. `weak` findings have thresholds that rest on fewer than 3 val positives; they enter no gate.
    `calibration` corrects the probabilities that are written (labelling.calibrated); thresholds are of the others.
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


def digest(model: onnx.ModelProto) -> str:
    """Hex sha256 of graph and initialisers, without the metadata."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def stamp(model: onnx.ModelProto, contract: Contract) -> Contract:
    """Write the contract into the model's metadata and return it with its digest filled in."""
    del model.metadata_props[:]
    stamped = dataclasses.replace(contract, digest=digest(model))
    onnx.helper.set_model_props(model, {KEY: json.dumps(dataclasses.asdict(stamped), sort_keys=True)})
    return stamped


def amend(path: Path, contract: Contract) -> Contract:
    """Write other promises into a model file whose graph stays as it is; returns them with the digest filled in."""
    model = onnx.load(path)
    amended = stamp(model, contract)
    with atomic.file(path) as file:
        onnx.save(model, file)
    return amended


def read(path: Path, *, kind: Kind | None = None) -> Contract:
    """The contract of a model file, checked: ours, of the wanted kind, same findings, digest unharmed."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such model file")
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ArtifactError(f"{path}: not an ONNX file, or cut short") from error
    held = {prop.key: prop.value for prop in model.metadata_props}.get(KEY)
    if held is None:
        raise ArtifactError(f"{path}: carries no synthcxr metadata; export it with `synthcxr export`")
    try:
        fields = json.loads(held)
        contract = Contract(**fields | {"findings": tuple(fields["findings"]), "weak": tuple(fields.get("weak", ()))})
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path}: its synthcxr metadata is of another version ({error})") from error
    if kind is not None and contract.kind != kind:
        raise ArtifactError(f"{path}: is a {contract.kind}, wanted a {kind}")
    if contract.findings != FINDINGS:
        raise ArtifactError(f"{path}: its findings differ from the 14 of synthcxr: {', '.join(contract.findings)}")
    if digest(model) != contract.digest:
        raise ArtifactError(f"{path}: digest does not match its contents; fetch or export it again")
    return contract

"""Saves and loads tensors in safetensors files with a digest: no pickle, atomic writes, exact bits."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic, guarded_files, json_files
from synthcxr.storage.guarded_files import RefusedContentError

METADATA_KEY, DIGEST_KEY = "synthcxr", "sha256"
MAX_BYTES, MAX_HEADER_BYTES = 2**36, 16 * guarded_files.MIB
_LENGTH = struct.Struct("<Q")  # of the header


def compute_digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the hex sha256 of the names, types, shapes and bytes of the tensors, and of the metadata."""
    sha = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}".encode())
        sha.update(tensor.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save(path: Path, module_or_tensors: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, flushed to disk, with its digest in the metadata."""
    state = module_or_tensors.state_dict() if isinstance(module_or_tensors, nn.Module) else module_or_tensors
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    stamped = json.dumps(dict(metadata) | {DIGEST_KEY: compute_digest(tensors, metadata)}, sort_keys=True)
    with atomic.open_file(path, fsync=True) as file:
        file.write(safetensors.torch.save(tensors, {METADATA_KEY: stamped}))  # one key: their order is not kept


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the tensors of a file into `network`; ArtifactError if they do not fit."""
    tensors, _ = load(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: does not fit the network in its config.json; train it again") from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and metadata of a file that `save` wrote; ArtifactError if it is damaged or not ours."""
    with guarded_files.report_failure(path, "safetensors", error=ArtifactError):
        with guarded_files.open_regular(path, MAX_BYTES) as file:
            _refuse_long_header(file.read(_LENGTH.size))
        with safetensors.safe_open(path, framework="pt") as archive:
            metadata = _parse_metadata((archive.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 - not a mapping
        if metadata.pop(DIGEST_KEY, None) != compute_digest(tensors, metadata):
            raise RefusedContentError("its contents do not match its digest")
    return tensors, metadata


def _refuse_long_header(start: bytes) -> None:
    if len(start) < _LENGTH.size or _LENGTH.unpack(start)[0] > MAX_HEADER_BYTES:
        raise RefusedContentError("truncated, or not a safetensors file")


def _parse_metadata(text: str) -> dict[str, str]:
    fields = json_files.parse_json(text, "its metadata", error=ArtifactError)
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise RefusedContentError("its metadata are not texts by name")
    return fields

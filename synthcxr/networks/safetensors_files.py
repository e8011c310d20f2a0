"""Tensors to and from safetensors files that carry their own digest: no pickle, nothing half-written, no bit lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic

KEY, DIGEST = "synthcxr", "sha256"


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Hex sha256 of names, types, shapes and bytes of the tensors, and of the metadata."""
    sha = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}".encode())
        sha.update(tensor.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save(path: Path, module_or_tensors: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all, flushed to the disk, with its digest in the metadata."""
    held = module_or_tensors.state_dict() if isinstance(module_or_tensors, nn.Module) else module_or_tensors
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in held.items()}
    stamped = json.dumps(dict(metadata) | {DIGEST: digest(tensors, metadata)}, sort_keys=True)
    with atomic.file(path, lasting=True) as file:
        file.write(safetensors.torch.save(tensors, {KEY: stamped}))  # one key: their order is not kept


def restore(network: nn.Module, path: Path) -> None:
    """Load a file's tensors into `network`; ArtifactError names a file that does not fit it."""
    tensors, _ = load(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: does not fit the network that its config.json describes") from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file that `save` wrote; ArtifactError names one that is broken or not ours."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such weight file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(json.loads((file.metadata() or {}).get(KEY, "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cut short or not a safetensors file") from error
    if metadata.pop(DIGEST, None) != digest(tensors, metadata):
        raise ArtifactError(f"{path}: contents do not match their digest")
    return tensors, metadata

"""A torch network made again from its ONNX file: the metadata holds its config, the initialisers its own names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.networks import classifier as classifiers
from synthcxr.networks import generator as generators
from synthcxr.networks import layers
from synthcxr.networks.classifier import Classifier
from synthcxr.networks.generator import Generator

_COUNTER = "num_batches_tracked"
_Network = TypeVar("_Network", bound=nn.Module)


def generator(path: Path) -> Generator:
    """The generator of a file, in fp32 and in evaluation mode, with the scales folded as they were for the file.

    It makes images of its largest size alone: the layers to grey of the smaller ones are not in the file.
    """
    contract = contracts.read(path, kind="generator")
    network = _named(path, contract, generators.build, "latent", "channels", "blocks")
    largest = str(network.resolutions[-1])
    network.to_grey = nn.ModuleDict({largest: network.to_grey[largest]})
    layers.fold_scales(network)
    return _loaded(network, path)


def classifier(path: Path) -> Classifier:
    """The classifier or judge of a file, in fp32 and in evaluation mode, its norms folded as they were for the file."""
    contract = contracts.read(path)
    if contract.kind == "generator":
        raise ArtifactError(f"{path}: is a generator, wanted a classifier")
    return _loaded(_named(path, contract, classifiers.build, "backbone", "resolution"), path)


def _named(path: Path, contract: Contract, build: Callable[[Mapping[str, Any]], _Network], *keys: str) -> _Network:
    lacking = [key for key in keys if key not in contract.network]
    if lacking:
        raise ArtifactError(
            f"{path}: its metadata does not name its network ({', '.join(lacking)} missing); export it again"
        )
    return build(contract.network)


def _loaded(network: _Network, path: Path) -> _Network:
    """`network` with the file's weights; ArtifactError where one is missing or of another shape."""
    held = _initialisers(path)
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    for name, tensor in wanted.items():
        if name not in held:
            raise ArtifactError(f"{path}: holds no weight {name!r}, which its network needs; export it again")
        if held[name].shape != tensor.shape:
            raise ArtifactError(
                f"{path}: its weight {name!r} is {tuple(held[name].shape)}, its network wants {tuple(tensor.shape)}"
            )
    network.load_state_dict({name: held[name] for name in wanted}, strict=False)
    return network.eval().requires_grad_(False)


def _initialisers(path: Path) -> dict[str, Tensor]:
    """The file's floating-point initialisers by name, in fp32 however they are stored."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    return {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items() if a.dtype.kind == "f"}

"""Rebuilds a torch network from its ONNX file: the metadata describe it, the initialisers are its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from synthcxr.config import parsing
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks.classifier import Classifier, ClassifierNetwork, build_classifier
from synthcxr.networks.generator import Generator, GeneratorNetwork, build_generator
from synthcxr.networks.layers import fold_scales
from synthcxr.storage import guarded_files, onnx_files

_COUNTER = "num_batches_tracked"
_Network = TypeVar("_Network", bound=nn.Module)
_Description = TypeVar("_Description", GeneratorNetwork, ClassifierNetwork)


def load_generator(path: Path) -> Generator:
    """Load a generator in fp32 and evaluation mode, with folded scales as in the file.

    It returns images of its largest resolution only: the file lacks the `to_grey` layers of the smaller ones.
    """
    metadata = onnx_metadata.read(path, kind="generator")
    network = _build_network(path, metadata, GeneratorNetwork, build_generator)
    if network.n_condition != len(metadata.condition):
        raise ArtifactError(
            f"{path}: its network takes a condition of {network.n_condition} values, but its metadata name"
            f" {len(metadata.condition)}; export the model again"
        )
    largest = str(network.resolutions[-1])
    network.to_grey = nn.ModuleDict({largest: network.to_grey[largest]})
    fold_scales(network)
    return _load_initialisers(network, path)


def load_classifier(path: Path) -> Classifier:
    """Load a classifier or judge in fp32 and evaluation mode, with folded norms as in the file."""
    metadata = onnx_metadata.read(path)
    if metadata.kind == "generator":
        raise ArtifactError(f"{path}: is a generator, expected a classifier")
    return _load_initialisers(_build_network(path, metadata, ClassifierNetwork, build_classifier), path)


def _build_network(
    path: Path, metadata: ModelMetadata, network_type: type[_Description], build: Callable[[_Description], _Network]
) -> _Network:
    where, advice = f"{path}: its metadata: network", "export the model again"
    description = parsing.build_as(network_type, metadata.network, where, error=ArtifactError, advice=advice)
    with guarded_files.report_failure(where, "the description of a network", error=ArtifactError, advice=advice):
        return build(description)


def _load_initialisers(network: _Network, path: Path) -> _Network:
    """Load the weights of the file into `network`; ArtifactError if one is missing or has another shape."""
    weights = _read_initialisers(path)
    parameters = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    for name, tensor in parameters.items():
        if name not in weights:
            raise ArtifactError(f"{path}: weight {name!r} of its network is missing; export it again")
        if weights[name].shape != tensor.shape:
            raise ArtifactError(
                f"{path}: weight {name!r} has shape {tuple(weights[name].shape)}, but its network needs"
                f" {tuple(tensor.shape)}; export it again"
            )
    network.load_state_dict({name: weights[name] for name in parameters}, strict=False)
    return network.eval().requires_grad_(False)


def _read_initialisers(path: Path) -> dict[str, Tensor]:
    """The floating-point initialisers of the file by name, converted to fp32."""
    model = onnx_files.read_model(path)
    with guarded_files.report_failure(path, "ONNX", error=ArtifactError, advice="export or pull the model again"):
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {
        name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items() if array.dtype.kind == "f"
    }

"""The original Inception network, whose 2048 features make a Fréchet distance an FID.

Heusel et al., arXiv 1706.08500. The TorchScript file takes pixels from 0 to 255 in three channels and resizes them
itself: bilinear to 299 px without antialiasing, corners as in TensorFlow 1, then (pixel - 128) / 128. So this module
neither resizes nor scales the pixels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from synthcxr.data import model_names
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features import inception_weights
from synthcxr.evaluation.features.feature_extractor import FeatureExtractor, open_on_torch_device

NAME = "inception"
N_FEATURES = 2048
RESIZE = "in the network's own file: bilinear to 299 px, no antialias, grey repeated to 3 channels, (pixel - 128) / 128"


def load(weights: Path, device: str) -> Callable[[UInt8], Float32]:
    """A function that maps images uint8 [n, R, R] to features float32 [n, 2048].

    Raises ArtifactError if the file is not TorchScript.
    """
    import torch

    from synthcxr.networks import torch_files

    network = torch_files.read_script(weights, device=device, advice="download it again")

    def compute(pixels: UInt8) -> Float32:
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            grey = torch.from_numpy(np.array(pixels))[:, None].to(device)
            outputs = network(grey.expand(-1, 3, -1, -1).contiguous(), return_features=True)
            features: Float32 = outputs.reshape(len(pixels), N_FEATURES).float().cpu().numpy()
            return features

    return compute


def describe_missing() -> str | None:
    """What to install to run Inception on this machine, or None if nothing is missing."""
    if importlib.util.find_spec("torch") is None:
        return "install it with `pip install 'synthcxr[train]'` (missing: torch)"
    return None if inception_weights.find_weights() else inception_weights.describe_missing()


def _load_installed(device: str) -> Callable[[UInt8], Float32]:
    weights = inception_weights.find_weights()
    if weights is None:
        raise ArtifactError(f"the original Inception is not on this machine: {inception_weights.describe_missing()}")
    return load(weights, device)


EXTRACTOR = FeatureExtractor(
    name=NAME,
    summary=model_names.name_network(NAME, {}),
    resize=RESIZE,
    find_digest=lambda: inception_weights.SHA256,
    open=open_on_torch_device(_load_installed),
    find_missing=describe_missing,
)

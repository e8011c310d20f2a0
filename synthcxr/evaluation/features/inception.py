"""The 2048 features of the original Inception, the only ones in which a Frechet distance is called FID.

Heusel et al., arXiv 1706.08500. The file takes pixels of 0 to 255 in three channels and brings them to its size
itself: bilinear to 299 px without antialias, corners as in TensorFlow 1, then (pixel - 128) / 128. So nothing is
resized or scaled on the way to it.
"""

from __future__ import annotations

import warnings

import numpy as np

from synthcxr.config.schema import Device
from synthcxr.data.images import UInt8
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features import inception_weights
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor, Outputs, place
from synthcxr.evaluation.metrics.frechet import Provenance

NAME = "inception"
N_FEATURES = 2048
_RESIZE = (
    "in the network's own file: bilinear to 299 px, no antialias, grey repeated to 3 channels, (pixel - 128) / 128"
)


def open_inception(device: Device) -> Extractor:
    """The extractor; ArtifactError where the file is absent, another one, or no network of this interface."""
    path = inception_weights.find()
    if path is None:
        raise ArtifactError(f"the original Inception is not on this machine: {inception_weights.missing()}")
    import torch

    where = place(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch has no other way to read the original's form
            network = torch.jit.load(str(path), map_location=where).eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ArtifactError(f"{path}: no TorchScript file ({str(error).splitlines()[0]}); fetch it again") from error

    def run(pixels: UInt8) -> Outputs:
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            grey = torch.from_numpy(np.array(pixels))[:, None].to(where)
            features = network(grey.expand(-1, 3, -1, -1).contiguous(), return_features=True)
            return {"features": features.reshape(len(pixels), N_FEATURES).float().cpu().numpy()}

    provenance = Provenance(extractor=NAME, digest=inception_weights.SHA256, resize=_RESIZE)
    return Extractor(provenance=provenance, device=where, training_splits=("train", "judge"), run=run)

"""ImageNet weights of DenseNet-121: finds torchvision's weight file, checks it and renames its tensors.

torchvision names its files by the first eight hex digits of their sha256. Only these digits are known here: they
detect a wrong or damaged file, not a forged one. The file is read with `weights_only`, so nothing in it is executed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from torch import Tensor

from synthcxr.errors import ArtifactError
from synthcxr.networks import torch_files
from synthcxr.networks.classifier import Classifier
from synthcxr.storage import digests

VARIABLE = "SYNTHCXR_DENSENET121"
SHA256_PREFIX = "a639ec97"
FILE = f"densenet121-{SHA256_PREFIX}.pth"
_URL = f"https://download.pytorch.org/models/{FILE}"
_LAYER = re.compile(r"^(features\.denseblock\d+\.denselayer\d+)\.(norm|conv)\.?([12])\.(\w+)$")


def find_weights() -> Path:
    """Return the file that SYNTHCXR_DENSENET121 names, or else the file in torch's cache; ArtifactError if absent."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        problem = f"{VARIABLE} names {path}, which is not a file" if named else "the file is not on this machine"
        raise ArtifactError(
            f"weights: imagenet needs torchvision's DenseNet-121 weights, but {problem}; "
            f"download {_URL} and set {VARIABLE} to its path, or set weights: none"
        )
    return path


def load_imagenet_weights(classifier: Classifier, path: Path, *, sha256_prefix: str = SHA256_PREFIX) -> None:
    """Load the convolutions and norms of the file into a DenseNet-121 classifier; its head is unchanged."""
    digest = digests.sha256_file(path)
    if not digest.startswith(sha256_prefix):
        raise ArtifactError(f"{path}: its sha256 starts with {digest[:8]}, not {sha256_prefix}; download {_URL} again")
    tensors = _rename_tensors(torch_files.read_state_dict(path, advice=f"download {_URL} again"))
    try:
        missing, unknown = classifier.backbone.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: its tensor shapes do not fit DenseNet-121; download {_URL} again") from error
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ArtifactError(
            f"{path}: not DenseNet-121: {len(missing)} tensors missing, {len(unknown)} unknown; download {_URL} again"
        )


def _rename_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Map torchvision's names, old (norm.1) and new (norm1), to MONAI's; drop the 1000-class head."""
    return {
        _LAYER.sub(r"\1.layers.\2\3.\4", name): tensor
        for name, tensor in tensors.items()
        if not name.startswith("classifier.")
    }

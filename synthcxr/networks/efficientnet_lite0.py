"""EfficientNet-Lite0 as the backbone of a classifier, and its ImageNet weights.

Tan and Le, arXiv 1905.11946; the Lite variants have no squeeze-and-excitation and use ReLU6. The weights were trained
on inputs (pixel - 127) / 128.
"""

from __future__ import annotations

from pathlib import Path

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synthcxr.errors import ArtifactError
from synthcxr.networks import torch_files

N_FEATURES = 1280
STRIDE = 32
NORMED = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)
"""The convolutions of the library's modules, each with the norm that follows it."""


class EfficientNetLite0(nn.Module):
    """Maps [N, 1, R, R] in [-1, 1] to features [N, 1280]; R is a multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        # Stochastic depth would draw from the global torch stream.
        self.network = EfficientNet.from_name("efficientnet-lite0", drop_connect_rate=0.0)
        self.network._fc = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pixel = (x + 1) * 127.5
        maps: Tensor = self.network.extract_features(((pixel - 127) / 128).expand(-1, 3, -1, -1))
        return maps.mean(dim=(2, 3))


def fold_norms(network: nn.Module) -> None:
    """Fold each batch norm of the library's modules into the convolution before it, permanently and in place."""
    for module in list(network.modules()):
        for first, second in NORMED:
            norm = getattr(module, second, None)
            if hasattr(module, first) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(getattr(module, first), norm))
                setattr(module, second, nn.Identity())


def load_imagenet_weights(backbone: nn.Module, path: Path) -> None:
    """Load the convolutions and norms of a verified file into a Lite0 or Lite1; the 1000-class head is not loaded."""
    loaded = torch_files.read_state_dict(path, advice="reinstall the weights")
    tensors = {f"network.{name}": value for name, value in loaded.items() if not name.startswith("_fc.")}
    try:
        backbone.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(
            f"{path}: its tensors do not fit {type(backbone).__name__}; reinstall the weights"
        ) from error

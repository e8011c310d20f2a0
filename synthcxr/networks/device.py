"""Selection of the torch device that a `device` parameter or `--device` names."""

from __future__ import annotations

import torch

from synthcxr.config.schema import Device
from synthcxr.errors import ConfigError


def select_device(device: Device) -> torch.device:
    """Return the torch device; "auto" prefers a GPU, "cuda" without one raises ConfigError."""
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ConfigError("device cuda: torch finds no GPU; check the CUDA installation, or use auto or cpu")
    return torch.device("cuda" if device != "cpu" and available else "cpu")

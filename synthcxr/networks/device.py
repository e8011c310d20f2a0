"""The device that a `device` parameter means."""

from __future__ import annotations

import torch

from synthcxr.config.schema import Device
from synthcxr.errors import ConfigError


def pick(name: Device) -> torch.device:
    """The torch device of a `device` parameter; "cuda" without one is a ConfigError, "auto" takes what is there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for but torch finds no GPU; set it to cpu or auto")
    return torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")

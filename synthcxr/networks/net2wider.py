"""Trained networks made wider without a change in what they compute, so that training goes on with more channels.

Source: Chen et al., Net2Net, arXiv 1511.05641. Channels are copied; what reads them shares its weights among the
copies, unevenly by a noise that cancels, so that the copies learn apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from synthcxr.errors import ArtifactError


def widen(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], seed: int) -> dict[str, Tensor]:
    """`tensors` of a PGGAN network in the `shapes` of one that is as wide or, beyond 4 px, wider by whole factors.

    Whole, since a pixelwise norm sees the same mean square only where each channel has as many copies. The equalised
    weights (layers.py) keep the spread that they were drawn with. ArtifactError names the first tensor that fits not.
    """
    noise = torch.Generator().manual_seed(seed)
    return {name: _widened(name, tensor, shapes.get(name), noise) for name, tensor in tensors.items()}


def _widened(name: str, tensor: Tensor, shape: torch.Size | None, noise: torch.Generator) -> Tensor:
    if shape == tensor.shape:
        return tensor
    if shape is None or len(shape) != tensor.ndim or name.startswith("dense"):
        raise ArtifactError(f"first at {name}")
    factors = [wide // narrow for wide, narrow in zip(shape, tensor.shape, strict=True)]
    if tensor.tile(factors).shape != shape or max(factors[2:], default=1) > 1:
        raise ArtifactError(f"first at {name}")
    if tensor.ndim == 1:
        return tensor.tile(factors)
    copies_out, copies_in = factors[:2]
    shared = torch.stack([torch.cat([tensor] * copies_out) / math.sqrt(copies_in)] * copies_in)
    if copies_in > 1:
        apart = torch.randn(shared.shape, generator=noise)
        shared += apart - apart.mean(dim=0)
    return torch.cat(list(shared), dim=1)

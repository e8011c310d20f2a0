"""Widens trained networks without changing their output, so that training can continue with more channels.

Source: Chen et al., Net2Net, arXiv 1511.05641. Channels are copied, and the weights that read them are shared among
the copies. Noise that sums to zero over the copies makes the shares uneven, so that the copies learn differently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from synthcxr.errors import ArtifactError


def widen(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], seed: int) -> dict[str, Tensor]:
    """Return the `tensors` of a PGGAN network in the `shapes` of an equally wide or wider one.

    Above 4 px, widths may grow by whole factors: the pixelwise norm keeps its mean square only if every channel has
    the same number of copies. Equalised weights (layers.py) keep their standard deviation. ArtifactError names the
    first tensor that does not fit.
    """
    noise = torch.Generator().manual_seed(seed)
    return {name: _widen_tensor(name, tensor, shapes.get(name), noise) for name, tensor in tensors.items()}


def _widen_tensor(name: str, tensor: Tensor, shape: torch.Size | None, noise: torch.Generator) -> Tensor:
    if shape == tensor.shape:
        return tensor
    if shape is None or len(shape) != tensor.ndim or name.startswith(("dense", "embed_condition")):
        raise ArtifactError(f"first at {name}")
    factors = [wide // narrow for wide, narrow in zip(shape, tensor.shape, strict=True)]
    if tensor.tile(factors).shape != shape or max(factors[2:], default=1) > 1:
        raise ArtifactError(f"first at {name}")
    if tensor.ndim == 1:
        return tensor.tile(factors)
    copies_out, copies_in = factors[:2]
    shared = torch.stack([torch.cat([tensor] * copies_out) / math.sqrt(copies_in)] * copies_in)
    if copies_in > 1:
        offsets = torch.randn(shared.shape, generator=noise)
        shared += offsets - offsets.mean(dim=0)
    return torch.cat(list(shared), dim=1)

"""The classifier's logits as a function of the latent, through the generator, and the gradient of that function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcxr.networks import onnx_import

Float32 = NDArray[np.float32]
Pullback = Callable[[Float32], Float32]
"""Maps dL/dlogits [N, 14] to dL/dz [N, Z]."""


class DifferentiableLogits(Protocol):
    """Maps latents [N, Z], and the conditions [N, C] of a conditional generator, to (logits [N, 14], pullback).

    Conditions stay fixed: the pullback has no gradient to them.
    """

    def __call__(self, latents: Float32, condition: Float32 | None = None) -> tuple[Float32, Pullback]: ...


def build_latents_to_logits(generator: Path, classifier: Path, threads: int) -> DifferentiableLogits:
    """Build, from two ONNX files, the function from latents to logits and its pullback.

    The logits are those of the uint8 image. Rounding passes the gradient through unchanged (straight-through
    estimator); pixels clipped to black or white pass none. The bits of both results may depend on `threads`.
    """
    generator_network = onnx_import.load_generator(generator)
    classifier_network = onnx_import.load_classifier(classifier)

    def differentiate(latents: Float32, condition: Float32 | None = None) -> tuple[Float32, Pullback]:
        z = torch.from_numpy(latents).requires_grad_(True)
        fixed = None if condition is None else torch.from_numpy(condition)
        with _use_threads(threads):
            images = generator_network(z, condition=fixed)
            logits, _ = classifier_network(_round_to_grey_levels(images))

        def pull(cotangent: Float32) -> Float32:
            with _use_threads(threads):
                (gradient,) = torch.autograd.grad(logits, z, torch.from_numpy(cotangent))
            return np.asarray(gradient.numpy())

        return logits.detach().numpy(), pull

    return differentiate


@contextlib.contextmanager
def _use_threads(threads: int) -> Iterator[None]:
    """Run torch operators on this number of threads inside the block, and restore the earlier number after it."""
    earlier = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(earlier)


def torch_version() -> str:
    """The version of torch, on which the bits of a gradient depend, as on the number of threads."""
    return str(torch.__version__)


def _round_to_grey_levels(image: Tensor) -> Tensor:
    """Round to the 256 grey levels of a uint8 image."""
    clipped = image.clamp(-1.0, 1.0)
    levels = torch.round((clipped.detach() + 1.0) * 127.5) / 127.5 - 1.0
    return clipped + (levels - clipped.detach())

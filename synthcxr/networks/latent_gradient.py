"""The classifier's logits as a function of the latent, through the generator, and their gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthcxr.networks import onnx_import

Float32 = NDArray[np.float32]
Pullback = Callable[[Float32], Float32]
"""From dL/dlogits [N, 14] to dL/dz [N, Z]."""


def logits_of_latents(generator: Path, classifier: Path, threads: int) -> Callable[[Float32], tuple[Float32, Pullback]]:
    """A function from latents [N, Z] to their logits [N, 14] and the pullback of these, from two ONNX files.

    The logits are those of the uint8 image. Rounding has no gradient of its own and passes on the one it gets;
    pixels beyond black and white pass on none. The bits of both may depend on how many `threads` do the work.
    """
    made, seen = onnx_import.generator(generator), onnx_import.classifier(classifier)

    def differentiate(latents: Float32) -> tuple[Float32, Pullback]:
        z = torch.from_numpy(latents).requires_grad_(True)
        with _on(threads):
            logits, _ = seen(_rounded(made(z)))

        def pull(cotangent: Float32) -> Float32:
            with _on(threads):
                (gradient,) = torch.autograd.grad(logits, z, torch.from_numpy(cotangent))
            return np.asarray(gradient.numpy())

        return logits.detach().numpy(), pull

    return differentiate


@contextlib.contextmanager
def _on(threads: int) -> Iterator[None]:
    """Let as many threads share the work of torch's operators, and as many as before at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def version() -> str:
    """What the bits of a gradient depend on, beside the number of threads."""
    return str(torch.__version__)


def _rounded(image: Tensor) -> Tensor:
    """The image as its 256 grey levels hold it."""
    clipped = image.clamp(-1.0, 1.0)
    levels = torch.round((clipped.detach() + 1.0) * 127.5) / 127.5 - 1.0
    return clipped + (levels - clipped.detach())

"""The best generator of a training, by the distance of its images to held-out films: kept, whichever came last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthcxr.data import images, random_streams
from synthcxr.data.images import UInt8
from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.networks.generator import Generator

Distance = Callable[[Iterator[UInt8]], float]
"""Batches of uint8 [n, R, R] to their distance from held-out films."""

_BATCH = 32


class Selection:
    """The averaged generator with the smallest distance, in `folder`; `n_images` are drawn for each try.

    A best one that lies ahead of the checkpoint from which a stopped run goes on will be made again: it stays.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, str], distance: Distance, n_images: int, say: Callable[[str], None]
    ) -> None:
        self.path, self.identity = folder / "best.safetensors", dict(identity)
        self.distance, self.n_images = distance, n_images
        self.value, self.nimg = math.inf, -1
        if self.path.is_file():
            try:
                _, metadata = self._read()
                self.value, self.nimg = float(metadata["distance"]), int(metadata["nimg"])
            except ArtifactError as error:
                say(f"{error}; choosing anew")

    def offer(self, generator: Generator, *, seed: int, nimg: int) -> float:
        """Measure `generator` and keep it if it is the best; returns its distance."""
        value = self.distance(_drawn(generator, seed, self.n_images))
        if value < self.value:
            self.value, self.nimg = value, nimg
            safetensors_files.save(self.path, generator, self.identity | {"distance": repr(value), "nimg": str(nimg)})
        return value

    def restore(self, generator: Generator) -> None:
        """Give `generator` the best weights, if any were kept."""
        if self.nimg >= 0:
            tensors, _ = self._read()
            generator.load_state_dict(tensors)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        tensors, metadata = safetensors_files.load(self.path)
        if any(metadata.get(key) != value for key, value in self.identity.items()):
            raise ArtifactError(f"{self.path}: is of another training")
        return tensors, metadata


def _drawn(generator: Generator, seed: int, n_images: int) -> Iterator[UInt8]:
    device = next(generator.parameters()).device
    for start in range(0, n_images, _BATCH):
        z = random_streams.latents(seed, start, min(_BATCH, n_images - start), generator.latent)
        with torch.no_grad():
            yield images.to_uint8(np.ascontiguousarray(generator(torch.from_numpy(z).to(device)).cpu().numpy()))

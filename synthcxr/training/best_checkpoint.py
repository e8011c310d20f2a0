"""Keeps the best generator of a training: the one whose images have the smallest distance to held-out films."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthcxr.data import images, random_streams
from synthcxr.data.condition_table import ConditionTable, draw_conditions
from synthcxr.data.images import UInt8
from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.networks.generator import Generator
from synthcxr.storage import guarded_files

Distance = Callable[[Iterator[UInt8]], float]
"""Maps batches of uint8 [n, R, R] to their distance from held-out films."""

_BATCH = 32


class BestCheckpoint:
    """The averaged generator with the smallest distance, in `folder`; each measurement takes `n_images` images.

    A conditional generator draws their conditions from `table`.

    A stopped run resumes from a checkpoint that may be older than the best generator. That generator stays: the
    resumed run reaches the same one again.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str],
        distance: Distance,
        n_images: int,
        on_message: Callable[[str], None],
        table: ConditionTable | None = None,
    ) -> None:
        self.table = table
        self.path, self.identity = folder / "best.safetensors", dict(identity)
        self.distance, self.n_images = distance, n_images
        self.value, self.nimg = math.inf, -1
        if self.path.is_file():
            try:
                _, metadata = self._load()
                self.value, self.nimg = self._parse(metadata)
            except ArtifactError as error:
                on_message(f"{error}; the best generator is selected again from here on")

    def measure(self, generator: Generator, *, seed: int, nimg: int) -> float:
        """Measure `generator`, keep it if it is the best, and return its distance."""
        value = self.distance(_generate_batches(generator, seed, self.n_images, self.table))
        if value < self.value:
            self.value, self.nimg = value, nimg
            safetensors_files.save(self.path, generator, self.identity | {"distance": repr(value), "nimg": str(nimg)})
        return value

    def load_into(self, generator: Generator) -> None:
        """Load the best weights into `generator`, if there are any."""
        if self.nimg >= 0:
            tensors, _ = self._load()
            advice = "delete it and run the same command again"
            with guarded_files.report_failure(self.path, "the best generator", error=ArtifactError, advice=advice):
                generator.load_state_dict(tensors)

    def _parse(self, metadata: Mapping[str, str]) -> tuple[float, int]:
        """The distance and the nimg of the best generator."""
        try:
            value, nimg = float(metadata["distance"]), int(metadata["nimg"])
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{self.path}: does not name its distance and nimg") from error
        if nimg < 0 or not math.isfinite(value):
            raise ArtifactError(f"{self.path}: has the distance {value} at nimg {nimg}")
        return value, nimg

    def _load(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        tensors, metadata = safetensors_files.load(self.path)
        if any(metadata.get(key) != value for key, value in self.identity.items()):
            raise ArtifactError(f"{self.path}: belongs to another training")
        return tensors, metadata


def _generate_batches(generator: Generator, seed: int, n_images: int, table: ConditionTable | None) -> Iterator[UInt8]:
    device = next(generator.parameters()).device
    for start in range(0, n_images, _BATCH):
        candidates = range(start, min(start + _BATCH, n_images))
        z = torch.from_numpy(random_streams.draw_latents(seed, start, len(candidates), generator.latent)).to(device)
        condition = None
        if table is not None:
            condition = torch.from_numpy(draw_conditions(table, seed, candidates)).to(device)
        with torch.no_grad():
            yield images.to_uint8(np.ascontiguousarray(generator(z, condition=condition).cpu().numpy()))

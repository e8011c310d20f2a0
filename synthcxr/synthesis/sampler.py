"""Candidates in order: latents of the per-image streams, through the generator and the classifier, chosen or not.

Candidates run in fixed blocks aligned to their index, always full, so that what comes out for candidate i does not
depend on where a run began, was stopped or ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr import images, labelling, labels, seeds
from synthcxr.errors import ArtifactError
from synthcxr.synthesis.session import Device, Session

GENERATOR, CLASSIFIER = "generator.onnx", "classifier.onnx"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What one block gave: `indices` int64 [k], `pixels` uint8 [k, R, R], `probabilities` float64 [k, 14].

    `stop` is the first candidate that has not been looked at.
    """

    stop: int
    indices: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]

    def first(self, n: int) -> Drawn:
        """At most the first `n` (> 0) images; where they are `n`, it stops right after the last of them."""
        if n > len(self.indices):
            return self
        return Drawn(int(self.indices[n - 1]) + 1, self.indices[:n], self.pixels[:n], self.probabilities[:n])


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator with the classifier that chooses and labels what it makes; `batch` candidates to a block."""

    generator: Session
    classifier: Session
    batch: int

    @classmethod
    def open(cls, folder: Path, *, batch: int, device: Device = "auto", threads: int | None = None) -> Sampler:
        """Open generator.onnx and classifier.onnx of a model folder; ArtifactError where their sizes differ."""
        generator = Session.open(folder / GENERATOR, kind="generator", device=device, threads=threads)
        classifier = Session.open(folder / CLASSIFIER, kind="classifier", device=device, threads=threads)
        made, seen = generator.contract.resolution, classifier.contract.resolution
        if made != seen:
            raise ArtifactError(
                f"{folder}: the generator makes {made} px and the classifier sees {seen} px; export again"
            )
        return cls(generator=generator, classifier=classifier, batch=batch)

    def block(self, seed: int, start: int) -> Drawn:
        """All candidates start .. start + batch - 1 of `seed`; `start` is a multiple of the batch."""
        latents = seeds.latents(seed, start, self.batch, self.generator.contract.latent)
        made = self.generator.run(latents)["image"]
        pixels = images.to_uint8(_finite(made, "generator"))
        logits = _finite(self.classifier.run(images.to_float(pixels))["logits"], "classifier")
        probabilities = labelling.probabilities(logits)
        stop = start + self.batch
        return Drawn(stop, np.arange(start, stop, dtype=np.int64), pixels, probabilities)

    def draw(self, *, seed: int, requested: tuple[str, ...], start: int, stop: int) -> Iterator[Drawn]:
        """The accepted among candidates start .. stop - 1, block by block, in candidate order."""
        for at in range(start - start % self.batch, stop if start < stop else 0, self.batch):
            block = self.block(seed, at)
            held = (block.indices >= start) & (block.indices < stop) & self.accepts(block.probabilities, requested)
            yield Drawn(min(block.stop, stop), block.indices[held], block.pixels[held], block.probabilities[held])

    def accepts(self, probabilities: NDArray[np.float64], requested: tuple[str, ...]) -> NDArray[np.bool_]:
        """Bool [n]: every requested finding passes its threshold ("No Finding": none does; nothing asked: all)."""
        present = labelling.present(probabilities, self.classifier.contract.thresholds)
        if labels.NO_FINDING in requested:
            return np.asarray(~present.any(axis=1))
        wanted = np.array([finding in requested for finding in labels.FINDINGS])
        return np.asarray(present[:, wanted].all(axis=1))

    def findings(self, probabilities: NDArray[np.float64]) -> tuple[str, ...]:
        """The names of what one image [14] shows by the thresholds, "No Finding" where nothing passes."""
        return labels.names(labelling.present(probabilities, self.classifier.contract.thresholds).astype(float))


def _finite(values: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise ArtifactError(f"the {kind} gives values that are not finite; export or fetch another one")
    return values

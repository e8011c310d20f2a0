"""Candidates in order: latents of the per-image streams, through the generator and the classifier, chosen or not.

Candidates run in fixed blocks aligned to their index, always full, so that what comes out for candidate i does not
depend on where a run began, was stopped or ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import findings as labels
from synthcxr.data import images, random_streams
from synthcxr.errors import ArtifactError
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.runtime.onnx_session import Device, Session

GENERATOR, CLASSIFIER = "generator.onnx", "classifier.onnx"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What one block gave: `indices` int64 [k], `pixels` uint8 [k, R, R], `probabilities` float64 [k, 14].

    `stop` is the first candidate that has not been looked at, and `runs` how many images the generator made for it.
    `weights` float64 [k] make up for what a guide favoured. Where candidates were led, `latents` float32 [k, Z] are
    those they came to, in `steps` int64 [k] of a search; else the candidate's own latent is meant.
    `judged` float64 [k, 14] are the judge's probabilities where it was asked.
    """

    stop: int
    runs: int
    indices: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float64]
    latents: NDArray[np.float32] | None = None
    steps: NDArray[np.int64] | None = None
    judged: NDArray[np.float64] | None = None

    def first(self, n: int) -> Drawn:
        """At most the first `n` (> 0) images; where they are `n`, it stops right after the last of them."""
        if n > len(self.indices):
            return self
        return dataclasses.replace(self.kept(slice(n)), stop=int(self.indices[n - 1]) + 1)

    def kept(self, rows: NDArray[np.bool_] | slice) -> Drawn:
        """The images of these rows alone."""
        return dataclasses.replace(
            self,
            indices=self.indices[rows],
            pixels=self.pixels[rows],
            probabilities=self.probabilities[rows],
            weights=self.weights[rows],
            latents=None if self.latents is None else self.latents[rows],
            steps=None if self.steps is None else self.steps[rows],
            judged=None if self.judged is None else self.judged[rows],
        )


def ranged(block: Callable[[int], Drawn], size: int, start: int, stop: int) -> Iterator[Drawn]:
    """What blocks of `size` candidates, each at a multiple of it, give among candidates start .. stop - 1."""
    for at in range(start - start % size, stop if start < stop else 0, size):
        held = block(at)
        within = held.kept((held.indices >= start) & (held.indices < stop))
        yield dataclasses.replace(within, stop=min(held.stop, stop))


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
        pixels, probabilities = self.seen(
            random_streams.latents(seed, start, self.batch, self.generator.contract.latent)
        )
        stop = start + self.batch
        indices = np.arange(start, stop, dtype=np.int64)
        return Drawn(stop, self.batch, indices, pixels, probabilities, np.ones(self.batch))

    def seen(self, latents: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The images uint8 [n, R, R] of latents [n, Z] and their probabilities, by the classifier, [n, 14]."""
        pixels = images.to_uint8(_finite(self.generator.run(latents)["image"], "generator"))
        logits = _finite(self.classifier.run(images.to_float(pixels))["logits"], "classifier")
        return pixels, predictions.probabilities(logits)

    def draw(self, *, seed: int, wanted: Wanted, start: int, stop: int) -> Iterator[Drawn]:
        """The accepted among candidates start .. stop - 1, block by block, in candidate order."""

        def accepted(at: int) -> Drawn:
            block = self.block(seed, at)
            return block.kept(self.accepts(block.probabilities, wanted))

        return ranged(accepted, self.batch, start, stop)

    def accepts(self, probabilities: NDArray[np.float64], wanted: Wanted) -> NDArray[np.bool_]:
        """Bool [n]: what is wanted shows, by the classifier's thresholds, and what is not does not."""
        return wanted.met(self.present(probabilities))

    def present(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Bool [n, 14]: which findings show, by the classifier's thresholds."""
        return predictions.present(probabilities, self.classifier.contract.thresholds)

    def findings(self, probabilities: NDArray[np.float64]) -> tuple[str, ...]:
        """The names of what one image [14] shows by the thresholds, "No Finding" where nothing passes."""
        return labels.names(predictions.present(probabilities, self.classifier.contract.thresholds).astype(float))


def _finite(values: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise ArtifactError(f"the {kind} gives values that are not finite; export or fetch another one")
    return values

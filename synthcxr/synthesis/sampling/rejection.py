"""Rejection sampling: generate an image for each candidate latent and accept those that meet a label condition.

Candidates run in full blocks at fixed multiples of the batch size. The result for candidate i therefore does not depend
on where a run starts, is interrupted or ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import Device
from synthcxr.data import images, random_streams
from synthcxr.data.condition_table import ConditionTable, draw_conditions
from synthcxr.data.findings import to_finding_names
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata, predictions
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, GENERATOR_FILE, read_condition_table
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session


@dataclasses.dataclass(frozen=True)
class ImageBatch:
    """Accepted images of one block: `indices` int64 [k], `pixels` uint8 [k, R, R], `probabilities` float64 [k, 14].

    `stop` is the first candidate that was not examined. `generator_runs` counts all images that the generator made for
    the block. `weights` float64 [k] correct for importance sampling. `latents` float32 [k, Z] are present where a
    method moved them; otherwise each candidate's own latent applies. `conditions` float32 [k, C] are those of a
    conditional generator. `steps` int64 [k] counts optimisation steps. `judge_probabilities` float64 [k, 14] are
    calibrated, and present where the request includes the judge.
    """

    stop: int
    generator_runs: int
    indices: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float64]
    latents: NDArray[np.float32] | None = None
    conditions: NDArray[np.float32] | None = None
    steps: NDArray[np.int64] | None = None
    judge_probabilities: NDArray[np.float64] | None = None

    def take_first(self, n: int) -> ImageBatch:
        """At most the first `n` (> 0) images. If there are `n` or more, `stop` moves to just after the last one."""
        if n > len(self.indices):
            return self
        return dataclasses.replace(self.select(slice(n)), stop=int(self.indices[n - 1]) + 1)

    def select(self, rows: NDArray[np.bool_] | slice) -> ImageBatch:
        """Only the images of these rows."""
        return dataclasses.replace(
            self,
            indices=self.indices[rows],
            pixels=self.pixels[rows],
            probabilities=self.probabilities[rows],
            weights=self.weights[rows],
            latents=None if self.latents is None else self.latents[rows],
            conditions=None if self.conditions is None else self.conditions[rows],
            steps=None if self.steps is None else self.steps[rows],
            judge_probabilities=None if self.judge_probabilities is None else self.judge_probabilities[rows],
        )


def draw_blocks(
    draw_block: Callable[[int], ImageBatch], batch_size: int, start: int, stop: int
) -> Iterator[ImageBatch]:
    """Draw candidates start .. stop - 1 in blocks; each block starts at a multiple of `batch_size`."""
    for block_start in range(start - start % batch_size, stop if start < stop else 0, batch_size):
        block = draw_block(block_start)
        in_range = block.select((block.indices >= start) & (block.indices < stop))
        yield dataclasses.replace(in_range, stop=min(block.stop, stop))


@dataclasses.dataclass(frozen=True)
class RejectionSampler:
    """A generator, and the classifier that accepts and labels its images; `batch_size` candidates per block.

    Candidates of a conditional generator draw their conditions from `table`.
    """

    generator: Session
    classifier: Session
    batch_size: int
    table: ConditionTable | None = None

    @classmethod
    def open(
        cls, folder: Path, *, batch_size: int, device: Device = "auto", threads: int | None = None
    ) -> RejectionSampler:
        """Open generator.onnx and classifier.onnx of a model folder; ArtifactError if their resolutions differ."""
        generator = Session.open(folder / GENERATOR_FILE, kind="generator", device=device, threads=threads)
        classifier = Session.open(folder / CLASSIFIER_FILE, kind="classifier", device=device, threads=threads)
        generated, classified = generator.metadata.resolution, classifier.metadata.resolution
        if generated != classified:
            raise ArtifactError(
                f"{folder}: the generator's resolution is {generated} px and the classifier's {classified} px;"
                " run `synthcxr export` again"
            )
        table = read_condition_table(folder, generator.metadata)
        return cls(generator=generator, classifier=classifier, batch_size=batch_size, table=table)

    @classmethod
    def open_with_digests(
        cls, folder: Path, *, generator: str, classifier: str, table: str, batch_size: int, device: Device
    ) -> RejectionSampler | None:
        """Open a model folder like `open`; None unless its files and its table ("" without one) have these digests."""
        for name, digest in {GENERATOR_FILE: generator, CLASSIFIER_FILE: classifier}.items():
            if not (folder / name).is_file() or onnx_metadata.read(folder / name).digest != digest:
                return None
        sampler = cls.open(folder, batch_size=batch_size, device=device)
        return sampler if table == (sampler.table.digest if sampler.table else "") else None

    def draw_block(self, seed: int, start: int) -> ImageBatch:
        """All candidates start .. start + batch_size - 1 of `seed`; `start` is a multiple of the batch size."""
        latents = random_streams.draw_latents(seed, start, self.batch_size, self.generator.metadata.latent)
        conditions = self.draw_conditions(seed, start)
        pixels, probabilities = self.generate(latents, conditions)
        stop = start + self.batch_size
        indices, weights = np.arange(start, stop, dtype=np.int64), np.ones(self.batch_size)
        return ImageBatch(stop, self.batch_size, indices, pixels, probabilities, weights, conditions=conditions)

    def draw_conditions(self, seed: int, start: int) -> NDArray[np.float32] | None:
        """The conditions [batch_size, C] of a block of candidates; None for an unconditional generator."""
        return None if self.table is None else draw_conditions(self.table, seed, range(start, start + self.batch_size))

    def generate(
        self, latents: NDArray[np.float32], conditions: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The images uint8 [n, R, R] of latents [n, Z] and conditions, and the classifier's probabilities [n, 14]."""
        pixels = images.to_uint8(self.generator.run(latents, conditions)["image"])
        logits = self.classifier.run(images.to_float(pixels))["logits"]
        return pixels, predictions.to_probabilities(logits)

    def draw(self, condition: LabelCondition, *, seed: int, start: int, stop: int) -> Iterator[ImageBatch]:
        """The accepted images among candidates start .. stop - 1, block by block, in candidate order."""

        def draw_accepted(block_start: int) -> ImageBatch:
            block = self.draw_block(seed, block_start)
            return block.select(self.accept(block.probabilities, condition))

        return draw_blocks(draw_accepted, self.batch_size, start, stop)

    def accept(self, probabilities: NDArray[np.float64], condition: LabelCondition) -> NDArray[np.bool_]:
        """Bool [n]: whether each image meets the condition by the classifier's thresholds."""
        return condition.matches(self.detect(probabilities))

    def detect(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Bool [n, 14]: which findings reach the classifier's thresholds."""
        return predictions.is_present(probabilities, self.classifier.metadata.thresholds)

    def name_findings(self, probabilities: NDArray[np.float64]) -> tuple[str, ...]:
        """The findings of one image [14] by the classifier's thresholds; "No Finding" if none reaches its threshold."""
        return to_finding_names(self.detect(probabilities).astype(float))

"""Guided rejection sampling: propose latents that a small network expects to meet a label condition.

`synthcxr distill` distils generator and classifier into proposal.onnx, which predicts the logits of a latent's image
without generating the image. Annealed importance sampling moves most candidates to where these predictions meet the
condition; a share of the candidates stays where it was drawn. Each candidate has an importance weight: the expected
weighted sum over accepted images equals that of plain rejection sampling (two proposal distributions combined by the
balance heuristic; Veach and Guibas, SIGGRAPH 1995). The classifier alone decides, on the image, what is accepted.

The further latents move, the more candidates are accepted and the less they vary. So the schedule ends before the
effective sample size of the weights falls below MIN_EFFECTIVE_SHARE of the images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.bounds import Bounds
from synthcxr.config.schema import Device
from synthcxr.data import random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.sampling.annealed_importance_sampling import AnnealingSchedule, anneal, fit_schedule
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler, draw_blocks

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

TARGET_PROBABILITY = 0.55
"""Mean predicted probability, at the end of the schedule, that a candidate meets the condition."""
MIN_EFFECTIVE_SHARE = 0.5
"""Smallest predicted effective sample size of accepted images, as a share of their number.

At 0.5, a weighted estimate from n images has the standard error of n / 2 images of plain rejection sampling.
"""
MIN_GAIN = 1.5
"""A guide that multiplies the acceptance rate by less moves no candidate: moving costs up to 0.8 generator runs."""
PROBABILITY_CAP = 0.7
"""Predicted probabilities above this count as this, so that the most certain latents gain no further advantage."""
UNGUIDED_SHARE = 0.05
"""Share of the candidates that stay where they were drawn."""
_PILOT_KEY = 2**62


class _ProposalNetwork(TypedDict):
    generator: str
    classifier: str
    spread: dict[str, Annotated[float, Bounds(above=0)]]


@dataclasses.dataclass(frozen=True)
class Proposal:
    """An opened proposal.onnx. `spread` float64 [14] is the standard deviation of the logits around the predictions.

    `min_effective_share` limits how far guides move latents. It is 0, no limit, for datasets of versions without it.
    `guides` caches one guide per condition, because fitting one takes about a second.
    """

    session: Session
    spread: Float64
    min_effective_share: float = MIN_EFFECTIVE_SHARE
    guides: dict[LabelCondition, Guide] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        path: Path,
        sampler: RejectionSampler,
        *,
        device: Device = "auto",
        threads: int | None = None,
        min_effective_share: float = MIN_EFFECTIVE_SHARE,
    ) -> Proposal:
        """Open a proposal; ArtifactError if it was distilled from another generator or classifier."""
        session = Session.open(path, kind="proposal", device=device, threads=threads)
        where = f"{path}: its metadata: network"
        network = parsing.build_as(
            _ProposalNetwork,
            session.metadata.network,
            where,
            error=ArtifactError,
            advice="run `synthcxr distill` again",
        )
        for kind, model in (("generator", sampler.generator), ("classifier", sampler.classifier)):
            if network.get(kind) != model.digest:
                raise ArtifactError(f"{path}: was distilled from another {kind}; run `synthcxr distill` again")
        missing = [finding for finding in FINDINGS if finding not in network["spread"]]
        if missing:
            raise ArtifactError(f"{where}: spread lacks {', '.join(missing)}; run `synthcxr distill` again")
        spread = np.array([network["spread"][finding] for finding in FINDINGS])
        return cls(session, spread, min_effective_share)

    def get_guide(self, condition: LabelCondition, sampler: RejectionSampler) -> Guide:
        """The guide for a condition, fitted on first use."""
        if condition not in self.guides:
            self.guides[condition] = Guide.fit(self, condition, sampler)
        return self.guides[condition]

    def log_probability(self, latents: Float32, condition: LabelCondition, threshold_logits: Float64) -> Float64:
        """Float64 [n]: log of the predicted probability that each latent's image meets the condition."""
        from scipy import special  # only a guided search pays for its import

        logits = self.session.run(latents)["logits"].astype(np.float64)
        signs = condition.signs()
        distances = signs * (logits - threshold_logits) / self.spread
        return np.asarray(special.log_ndtr(distances[:, signs != 0]).sum(axis=1))


@dataclasses.dataclass(frozen=True)
class Guide:
    """The proposal distribution for one condition: a `schedule`, and the logarithm of the schedule's mean weight.

    `acceptance_rate` and `base_rate` are the predicted shares of the guided candidates and of unguided ones that meet
    the condition, and `effective_share` the predicted effective sample size as a share of the accepted images.
    """

    proposal: Proposal
    condition: LabelCondition
    threshold_logits: Float64
    schedule: AnnealingSchedule
    log_mean_weight: float
    acceptance_rate: float = 1.0
    base_rate: float = 1.0
    effective_share: float = 1.0

    @classmethod
    def fit(cls, proposal: Proposal, condition: LabelCondition, sampler: RejectionSampler) -> Guide:
        """Fit the schedule that ends at TARGET_PROBABILITY, or before the effective share falls below its minimum.

        The schedule is empty if it would gain less than MIN_GAIN. It depends on the models and the condition alone.
        """
        threshold_logits = predictions.to_logits(predictions.stack_thresholds(sampler.classifier.metadata.thresholds))
        unguided = cls(proposal, condition, threshold_logits, AnnealingSchedule(), 0.0)
        rng = np.random.Generator(np.random.Philox(key=_PILOT_KEY))
        size = sampler.generator.metadata.latent
        floor = proposal.min_effective_share
        fitted = fit_schedule(unguided.score, size, TARGET_PROBABILITY, rng, min_effective_share=floor)
        if floor and fitted.likelihood < MIN_GAIN * fitted.base_likelihood:
            rate = fitted.base_likelihood
            return dataclasses.replace(unguided, acceptance_rate=rate, base_rate=rate)
        return dataclasses.replace(
            unguided,
            schedule=fitted.schedule,
            log_mean_weight=fitted.log_mean_weight,
            acceptance_rate=UNGUIDED_SHARE * fitted.base_likelihood + (1 - UNGUIDED_SHARE) * fitted.likelihood,
            base_rate=fitted.base_likelihood,
            effective_share=fitted.effective_share,
        )

    @property
    def moves_latents(self) -> bool:
        """Whether guided candidates differ from those of plain rejection sampling."""
        return bool(self.schedule.powers)

    @property
    def is_limited(self) -> bool:
        """Whether the minimum of the effective share keeps a guide from moving candidates that it is needed for."""
        return not self.moves_latents and self.base_rate * MIN_GAIN < TARGET_PROBABILITY

    def describe_base_cost(self) -> str:
        """How many candidates of plain rejection sampling an image is predicted to take."""
        n_candidates = min(1 / max(self.base_rate, 1e-300), 1e6)
        return f"predicted to take {'more than' if n_candidates == 1e6 else 'about'} {n_candidates:,.0f} per image"

    def score(self, latents: Float32) -> Float64:
        """Float64 [n]: log of the predicted probability that each latent meets the condition, capped."""
        log_probability = self.proposal.log_probability(latents, self.condition, self.threshold_logits)
        return np.minimum(log_probability, np.log(PROBABILITY_CAP))

    def density_ratio(self, scores: Float64) -> Float64:
        """Float64 [n]: proposal density over normal density, for latents of these scores; at least UNGUIDED_SHARE."""
        annealed = np.exp(self.schedule.final_power * scores - self.log_mean_weight)
        return np.asarray(UNGUIDED_SHARE + (1 - UNGUIDED_SHARE) * annealed)

    @property
    def max_density_ratio(self) -> float:
        """The largest density ratio of any latent."""
        return float(self.density_ratio(np.array([np.log(PROBABILITY_CAP)]))[0]) if self.schedule.powers else 1.0

    def propose(self, seed: int, start: int, n: int) -> tuple[Float32, Float64]:
        """Latents [n, Z] for candidates start .. start + n - 1, and their importance weights [n]."""
        size, n_moves = self.proposal.session.metadata.latent, self.schedule.n_moves
        latents = random_streams.draw_latents(seed, start, n, size)
        if not n_moves:
            return latents, np.ones(n)
        noise, uniforms = random_streams.draw_walk_noise(seed, start, n, n_moves, size)
        annealed = anneal(self.schedule, self.score, latents, noise, uniforms[:, 1:])
        unguided = uniforms[:, 0] < UNGUIDED_SHARE
        proposed = np.where(unguided[:, None], latents, annealed.latents)
        weights = np.where(unguided, 1.0, np.exp(annealed.log_weights - self.log_mean_weight))
        return proposed, np.asarray(weights / self.density_ratio(self.score(proposed)))


@dataclasses.dataclass(frozen=True)
class GuidedSampler:
    """Rejection sampling among the candidates that a guide proposes, with importance weights."""

    sampler: RejectionSampler
    guide: Guide

    def draw(self, *, seed: int, start: int, stop: int) -> Iterator[ImageBatch]:
        """The accepted images among candidates start .. stop - 1, block by block, in candidate order."""
        return draw_blocks(lambda block_start: self.draw_block(seed, block_start), self.sampler.batch_size, start, stop)

    def draw_block(self, seed: int, start: int) -> ImageBatch:
        """The accepted images among candidates start .. start + batch_size - 1; `start` is a multiple of it."""
        n = self.sampler.batch_size
        latents, weights = self.guide.propose(seed, start, n)
        pixels, probabilities = self.sampler.generate(latents)
        indices = np.arange(start, start + n, dtype=np.int64)
        moved_latents = latents if self.guide.moves_latents else None
        block = ImageBatch(start + n, n, indices, pixels, probabilities, weights, moved_latents)
        return block.select(self.sampler.accept(probabilities, self.guide.condition))

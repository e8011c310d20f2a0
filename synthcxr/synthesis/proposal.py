"""Which candidates are worth an image: a distilled guess at their logits, and the probability that each is tried with.

Rejection of what the guess speaks against, with every candidate keeping a chance: the weight one over that chance makes
sums over the accepted unbiased (Horvitz and Thompson, JASA 47, 1952). What is accepted, the classifier decides on the
image.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from synthcxr import labelling
from synthcxr.errors import ArtifactError
from synthcxr.labels import FINDINGS
from synthcxr.synthesis.sampler import Sampler
from synthcxr.synthesis.session import Device, Session
from synthcxr.synthesis.wanted import Wanted

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FILE, ABOUT = "proposal.onnx", "proposal.json"
RUNS = 2.0
"""Generator runs an accepted image that trying is set for, as far as the guess is right."""
EXPLORED = 0.25
"""Runs an accepted image spent on candidates that the guess speaks against."""
_N_ASKED, _KEY = 2**14, 2**62
_LEVELS = np.geomspace(1e-4, 1.0, 49)


@dataclasses.dataclass(frozen=True)
class Proposal:
    """An opened proposal.onnx. `spread` float64 [14] is the standard deviation of the logits around the guess."""

    session: Session
    spread: Float64

    @classmethod
    def open(cls, path: Path, sampler: Sampler, *, device: Device = "auto", threads: int | None = None) -> Proposal:
        """Open what was distilled from this very generator and classifier; ArtifactError where it was from others."""
        session = Session.open(path, kind="proposal", device=device, threads=threads)
        about = session.contract.network
        for kind, model in (("generator", sampler.generator), ("classifier", sampler.classifier)):
            if about.get(kind) != model.digest:
                raise ArtifactError(f"{path}: was distilled from another {kind}; run `synthcxr distill` again")
        return cls(session, np.array([about["spread"][finding] for finding in FINDINGS]))

    def likely(self, latents: Float32, wanted: Wanted, least: Float64) -> Float64:
        """Float64 [n]: how probable it is that each latent's image shows what is wanted; `least` are logits [14]."""
        guess = self.session.run(latents)["logits"].astype(np.float64)
        signs = wanted.signs()
        asked = signs != 0
        return np.asarray(special.ndtr((signs * (guess - least) / self.spread)[:, asked]).prod(axis=1))


@dataclasses.dataclass(frozen=True)
class Guide:
    """How a request is tried: with probability (likely / `level`)^2, at most 1 and at least `floor`.

    `share` of candidates are tried; `runs` and `recall` are what the guess itself expects of it.
    """

    proposal: Proposal
    wanted: Wanted
    least: Float64
    level: float
    floor: float
    share: float
    runs: float
    recall: float

    @classmethod
    def of(cls, proposal: Proposal, wanted: Wanted, sampler: Sampler) -> Guide:
        """The guide that loses least of those that spend RUNS on an image, or else the one that spends least.

        It follows from the models and the request alone.
        """
        least = labelling.logits(labelling.least(sampler.classifier.contract.thresholds))
        rng = np.random.Generator(np.random.Philox(key=_KEY))
        size = sampler.generator.contract.latent
        latents = rng.standard_normal((_N_ASKED, size), dtype=np.float32)
        likely = proposal.likely(latents, wanted, least)
        spent = np.array([_runs(_tried(likely, level, 0.0), likely) for level in _LEVELS])
        level = float(_LEVELS[np.argmax(spent <= RUNS)] if (spent <= RUNS).any() else _LEVELS[np.argmin(spent)])
        floor = float(np.clip(EXPLORED * (_tried(likely, level, 0.0) * likely).mean(), 1e-9, 1.0))
        tried = _tried(likely, level, floor)
        recall = float((tried * likely).sum() / max(likely.sum(), 1e-300))
        return cls(proposal, wanted, least, level, floor, float(tried.mean()), float(_runs(tried, likely)), recall)

    @property
    def stretch(self) -> int:
        """How many candidates there are to one that is tried."""
        return int(np.ceil(1 / self.share))

    def chances(self, latents: Float32) -> Float64:
        """Float64 [n]: the probability with which each latent is tried."""
        return _tried(self.proposal.likely(latents, self.wanted, self.least), self.level, self.floor)


def _tried(likely: Float64, level: float, floor: float) -> Float64:
    return np.asarray(np.clip((likely / level) ** 2, floor, 1.0))


def _runs(tried: Float64, likely: Float64) -> float:
    return float(tried.sum() / max((tried * likely).sum(), 1e-300))

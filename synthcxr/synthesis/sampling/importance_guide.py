"""Where to look for what is wanted: a distilled guess at the logits of a latent's image, and latents led by it.

Most candidates are led to where the guess speaks for what is wanted, some stay where they were drawn. Each has a
weight: sums over the accepted, weighted, are those of plain rejection on average (two samples combined by the balance
heuristic; Veach and Guibas, SIGGRAPH 1995). What is accepted, the classifier decides on the image.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from synthcxr.data import random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.runtime.onnx_session import Device, Session
from synthcxr.synthesis.sampling import annealed_importance_sampling
from synthcxr.synthesis.sampling.annealed_importance_sampling import Route
from synthcxr.synthesis.sampling.rejection import Sampler

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FILE, ABOUT = "proposal.onnx", "proposal.json"
LIKELY = 0.55
"""How probable it is to be, by the guess, that a candidate shows what is wanted once it is led."""
ENOUGH = 0.7
"""Latents that are more probable than this are not favoured further."""
EXPLORED = 0.05
"""Share of the candidates that stay where they were drawn."""
_KEY = 2**62


@dataclasses.dataclass(frozen=True)
class Proposal:
    """An opened proposal.onnx. `spread` float64 [14] is the standard deviation of the logits around the guess.

    `guides` are kept, since finding one takes a second.
    """

    session: Session
    spread: Float64
    guides: dict[Wanted, Guide] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path, sampler: Sampler, *, device: Device = "auto", threads: int | None = None) -> Proposal:
        """Open what was distilled from this very generator and classifier; ArtifactError where it was from others."""
        session = Session.open(path, kind="proposal", device=device, threads=threads)
        about = session.contract.network
        for kind, model in (("generator", sampler.generator), ("classifier", sampler.classifier)):
            if about.get(kind) != model.digest:
                raise ArtifactError(f"{path}: was distilled from another {kind}; run `synthcxr distill` again")
        return cls(session, np.array([about["spread"][finding] for finding in FINDINGS]))

    def guide(self, wanted: Wanted, sampler: Sampler) -> Guide:
        """The guide for a request, found once."""
        if wanted not in self.guides:
            self.guides[wanted] = Guide.of(self, wanted, sampler)
        return self.guides[wanted]

    def log_likely(self, latents: Float32, wanted: Wanted, least: Float64) -> Float64:
        """Float64 [n]: log of how probable it is that each latent's image shows what is wanted; `least` are logits."""
        guess = self.session.run(latents)["logits"].astype(np.float64)
        signs = wanted.signs()
        asked = signs != 0
        return np.asarray(special.log_ndtr((signs * (guess - least) / self.spread)[:, asked]).sum(axis=1))


@dataclasses.dataclass(frozen=True)
class Guide:
    """How candidates for a request are led: along `route`, whose mean weight has the logarithm `log_mean`."""

    proposal: Proposal
    wanted: Wanted
    least: Float64
    route: Route
    log_mean: float

    @classmethod
    def of(cls, proposal: Proposal, wanted: Wanted, sampler: Sampler) -> Guide:
        """The guide at whose end the guess finds LIKELY. It follows from the models and the request alone."""
        least = predictions.logits(predictions.least(sampler.classifier.contract.thresholds))
        here = cls(proposal, wanted, least, Route(), 0.0)
        rng = np.random.Generator(np.random.Philox(key=_KEY))
        route, log_mean = annealed_importance_sampling.find(here.score, sampler.generator.contract.latent, LIKELY, rng)
        return dataclasses.replace(here, route=route, log_mean=log_mean)

    def score(self, latents: Float32) -> Float64:
        """Float64 [n]: log of how probable each latent is to show what is wanted, at most log ENOUGH."""
        return np.minimum(self.proposal.log_likely(latents, self.wanted, self.least), np.log(ENOUGH))

    def favour(self, scores: Float64) -> Float64:
        """Float64 [n]: how much more often latents of these scores are tried than plain rejection would; never 0."""
        return np.asarray(EXPLORED + (1 - EXPLORED) * np.exp(self.route.end * scores - self.log_mean))

    @property
    def most(self) -> float:
        """The largest favour that a latent can have."""
        return float(self.favour(np.array([np.log(ENOUGH)]))[0]) if self.route.powers else 1.0

    def led(self, seed: int, start: int, n: int) -> tuple[Float32, Float64]:
        """The latents [n, Z] that candidates start .. start + n - 1 come to, and their weights [n]."""
        size, n_moves = self.proposal.session.contract.latent, self.route.n_moves
        begun = random_streams.latents(seed, start, n, size)
        if not n_moves:
            return begun, np.ones(n)
        noise, chances = random_streams.walks(seed, start, n, n_moves, size)
        came = annealed_importance_sampling.follow(self.route, self.score, begun, noise, chances[:, 1:])
        stays = chances[:, 0] < EXPLORED
        latents = np.where(stays[:, None], begun, came.latents)
        weights = np.where(stays, 1.0, np.exp(came.log_weights - self.log_mean))
        return latents, np.asarray(weights / self.favour(self.score(latents)))

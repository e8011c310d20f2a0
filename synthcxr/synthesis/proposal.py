"""Which candidates are worth an image: distilled guesses at their logits, and the probability that each is tried with.

All candidates are glanced at, those that may be what is wanted are looked at, and few of these become images. Rejection
of what the guesses speak against, with every candidate keeping a chance: the weight one over that chance makes sums
over the accepted unbiased (Horvitz and Thompson, JASA 47, 1952). What is accepted, the classifier decides on the image.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
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
Int64 = NDArray[np.int64]

FILE, ABOUT = "proposal.onnx", "proposal.json"
GLANCE, LOOK = "glance", "logits"
"""The outputs of the file."""
RUNS = 2.0
"""Generator runs an accepted image that trying is set for, as far as the look is right."""
EXPLORED = 0.25
"""Runs an accepted image spent on candidates that a guess speaks against."""
KEPT = 0.8
"""The share that a glance is to leave of what it holds for likely."""
_N_ASKED, _N_LOOKED, _KEY = 2**16, 2**12, 2**62
_LEVELS = np.geomspace(1e-4, 1.0, 49)


@dataclasses.dataclass(frozen=True)
class Guess:
    """One of a proposal's outputs. `spread` float64 [14] is the standard deviation of the logits around it."""

    session: Session
    spread: Float64

    def logits(self, latents: Float32) -> Float64:
        """Float64 [n, 14]: what it makes of each latent's image."""
        if not len(latents):
            return np.empty((0, len(FINDINGS)))
        (held,) = self.session.run(latents).values()
        return held.astype(np.float64)

    def likely(self, logits: Float64, wanted: Wanted, least: Float64) -> Float64:
        """Float64 [n]: how probable it is that each image shows what is wanted; `least` are logits [14]."""
        signs = wanted.signs()
        asked = signs != 0
        return np.asarray(special.ndtr((signs * (logits - least) / self.spread)[:, asked]).prod(axis=1))


@dataclasses.dataclass(frozen=True)
class Proposal:
    """An opened proposal.onnx: its guesses, the dearest last.

    A file that was distilled before there were glances has none, and all candidates are looked at.
    """

    guesses: tuple[Guess, ...]

    @classmethod
    def open(cls, path: Path, sampler: Sampler, *, device: Device = "auto", threads: int | None = None) -> Proposal:
        """Open what was distilled from this very generator and classifier; ArtifactError where it was from others."""

        def guess(name: str, key: str) -> Guess:
            session = Session.open(path, kind="proposal", device=device, threads=threads, outputs=(name,))
            return Guess(session, np.array([session.contract.network[key][finding] for finding in FINDINGS]))

        look = guess(LOOK, "spread")
        about = look.session.contract.network
        for kind, model in (("generator", sampler.generator), ("classifier", sampler.classifier)):
            if about.get(kind) != model.digest:
                raise ArtifactError(f"{path}: was distilled from another {kind}; run `synthcxr distill` again")
        return cls((guess(GLANCE, "glance_spread"), look) if "glance_spread" in about else (look,))

    @property
    def digest(self) -> str:
        """Of the file."""
        return self.guesses[0].session.digest

    @functools.cached_property
    def asked(self) -> tuple[Float32, Float64]:
        """Latents [n, Z] that every guide is set by, and a uniform number [n] for each."""
        rng = np.random.Generator(np.random.Philox(key=_KEY))
        latents = rng.standard_normal((_N_ASKED, self.guesses[0].session.contract.latent), dtype=np.float32)
        return latents, rng.random(_N_ASKED)

    @functools.cached_property
    def glanced(self) -> Float64:
        """Float64 [n, 14]: what the first guess makes of them."""
        return np.concatenate([self.guesses[0].logits(each) for each in np.split(self.asked[0], _N_ASKED // 2**10)])


@dataclasses.dataclass(frozen=True)
class Sieve:
    """Lets a latent pass with probability (likely / `level`)^2, at most 1 and at least `floor`."""

    guess: Guess
    level: float
    wanted: Wanted
    least: Float64
    floor: float

    def chances(self, logits: Float64) -> Float64:
        """Float64 [n]: the probability with which each passes, from what is guessed of it."""
        return _tried(self.guess.likely(logits, self.wanted, self.least), self.level, self.floor)


@dataclasses.dataclass(frozen=True)
class Guide:
    """How a request is tried: what passes every sieve, each asked only of what passed those before it.

    `share` of candidates are tried and `looked` reach the last sieve; `runs` and `recall` are what the guesses expect.
    """

    sieves: tuple[Sieve, ...]
    share: float
    looked: float
    runs: float
    recall: float

    @classmethod
    def of(cls, proposal: Proposal, wanted: Wanted, sampler: Sampler) -> Guide:
        """The guide that loses least of those that spend RUNS on an image, or else the one that spends least.

        It follows from the models and the request alone.
        """
        least = labelling.logits(labelling.least(sampler.classifier.contract.thresholds))
        (latents, uniforms), look, cheaper = proposal.asked, proposal.guesses[-1], proposal.guesses[:-1]
        passing, levels = np.ones(len(latents)), []
        for guess in cheaper:
            likely = guess.likely(proposal.glanced, wanted, least)
            levels.append(_kept(likely))
            passing = _tried(likely, levels[-1], 0.0)
        rows = np.flatnonzero(uniforms < passing)[:_N_LOOKED]
        n = int(rows[-1]) + 1 if len(rows) == _N_LOOKED else len(latents)
        passed = passing[rows]
        likely = look.likely(look.logits(latents[rows]), wanted, least)
        held = [_Expected.of(likely, passed, each, 0.0) for each in _LEVELS]
        spent = np.array([each.runs for each in held])
        at = int(np.argmax(spent <= RUNS) if (spent <= RUNS).any() else np.argmin(spent))
        floor = float(np.clip(EXPLORED * held[at].accepted / n, 1e-9, 1.0))
        levels.append(float(_LEVELS[at]))
        expected = _Expected.of(likely, passed, levels[-1], floor)
        sieves = [Sieve(*each, wanted, least, floor) for each in zip(proposal.guesses, levels, strict=True)]
        recall = expected.accepted / max(expected.there, 1e-300)
        return cls(tuple(sieves), max(expected.tried / n, floor), float(passing.mean()), expected.runs, recall)

    @property
    def wanted(self) -> Wanted:
        """What every image is to show, and not to show."""
        return self.sieves[0].wanted

    @property
    def floor(self) -> float:
        """The least probability that any latent is tried with."""
        return self.sieves[0].floor

    @property
    def stretch(self) -> int:
        """How many candidates there are to one that is tried."""
        return int(np.ceil(1 / self.share))

    def chances(self, latents: Float32) -> Float64:
        """Float64 [n]: the probability with which each latent is tried."""
        return self.chances_of([sieve.guess.logits(latents) for sieve in self.sieves])

    def chances_of(self, guessed: Sequence[Float64]) -> Float64:
        """The same from what each guess, [n, 14], makes of the latents."""
        held = [sieve.chances(each) for sieve, each in zip(self.sieves, guessed, strict=True)]
        return np.asarray(np.min(held, axis=0))

    def tried(self, latents: Float32, uniforms: Float64) -> tuple[Int64, Float64]:
        """Which rows are tried, given a uniform number [n] each, and with what probability they were."""
        rows, chances = np.arange(len(latents)), np.ones(len(latents))
        for sieve in self.sieves:
            chances = np.minimum(chances, sieve.chances(sieve.guess.logits(latents[rows])))
            kept = uniforms[rows] < chances
            rows, chances = rows[kept], chances[kept]
        return rows, chances


@dataclasses.dataclass(frozen=True)
class _Expected:
    """Of latents that `passed` with that probability: how many are tried, accepted, and what is there to accept."""

    tried: float
    accepted: float
    there: float

    @classmethod
    def of(cls, likely: Float64, passed: Float64, level: float, floor: float) -> _Expected:
        share = np.minimum(_tried(likely, level, floor), passed) / passed
        return cls(float(share.sum()), float((share * likely).sum()), float((likely / passed).sum()))

    @property
    def runs(self) -> float:
        """Generator runs an accepted image."""
        return self.tried / max(self.accepted, 1e-300)


def _kept(likely: Float64) -> float:
    """The highest level at which KEPT of what is likely passes, or the lowest of all."""
    shares = np.array([(_tried(likely, level, 0.0) * likely).sum() for level in _LEVELS])
    n_enough = int((shares >= KEPT * likely.sum()).sum())
    return float(_LEVELS[max(n_enough, 1) - 1])


def _tried(likely: Float64, level: float, floor: float) -> Float64:
    return np.asarray(np.clip((likely / level) ** 2, floor, 1.0))

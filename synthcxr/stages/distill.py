"""Distil generator and classifier into proposal.onnx, and measure what a guided search loses and saves by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr import labelling, records
from synthcxr.config import DistillConfig
from synthcxr.contract import Contract
from synthcxr.evaluation import bootstrap
from synthcxr.labels import FINDINGS, NO_FINDING
from synthcxr.networks import rebuild
from synthcxr.networks.onnx import export
from synthcxr.seeds import MAX_SEED
from synthcxr.synthesis.proposal import ABOUT, FILE, GLANCE, LOOK, Guide, Proposal
from synthcxr.synthesis.sampler import GENERATOR, Sampler
from synthcxr.synthesis.wanted import Wanted
from synthcxr.training import proposal as training

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

BATCH = 64
SEED = MAX_SEED - 1
"""Of streams that no dataset starts from by default: the pairs must not be the candidates that are judged by them."""
SPREADS = "glance_spread", "spread"
EXPLAINED = "variance_glanced", "variance_explained"


def run(config: DistillConfig, *, models: Path) -> dict[str, Any]:
    """Write proposal.onnx and proposal.json into the folder `models` of an export; returns the latter."""
    sampler = Sampler.open(models, batch=BATCH, device=config.device)
    z, logits = _pairs(sampler, 0, config.n_pairs)
    network = training.fit(config, rebuild.generator(models / GENERATOR), z, logits)
    z, logits = _pairs(sampler, config.n_pairs + BATCH, config.n_held)
    spreads = [np.sqrt(((guess - logits) ** 2).mean(axis=0)) for guess in training.guessed(network, z)]
    about: dict[str, Any] = {"glance": dataclasses.asdict(config.glance), "look": dataclasses.asdict(config.look)}
    about |= {"generator": sampler.generator.digest, "classifier": sampler.classifier.digest}
    for name, spread in zip(SPREADS, spreads, strict=True):
        about[name] = dict(zip(FINDINGS, np.maximum(spread, 1e-6).tolist(), strict=True))
    held, path = dataclasses.replace(_contract(sampler), network=about), models / FILE
    export(network, path=path, contract=held, row=z.shape[1:], input_name="z", output_names=(GLANCE, LOOK), fp16=True)
    measured = _measured(sampler, Proposal.open(path, sampler, device="cpu"), z, logits)
    records.write_json(models / ABOUT, measured)
    return measured


def lines(measured: Mapping[str, Any]) -> Iterator[str]:
    """For a reader, a line a finding."""
    for name, of in measured["findings"].items():
        cost = "never shown" if of["recall"] is None else f"{of['runs_an_image']:.1f} generator runs an image"
        kept = "" if of["recall"] is None else f", recall {of['recall']:.0%} without the weights"
        yield f"{name:<20} {of['rate']:>7.2%} of candidates: {cost}{kept}"


def _pairs(sampler: Sampler, start: int, n: int) -> tuple[Float32, Float32]:
    """Latents [n, Z] and the logits [n, 14] of their images, as the sessions give them."""
    rng = np.random.Generator(np.random.Philox(key=np.array([SEED, start], dtype=np.uint64)))
    z = rng.standard_normal((-(-n // BATCH) * BATCH, sampler.generator.contract.latent), dtype=np.float32)
    parts = [
        labelling.logits(sampler.seen(each)[1])
        for each in tqdm(_batches(z), total=len(z) // BATCH, unit="batch", disable=None)
    ]
    return z[:n], np.concatenate(parts)[:n].astype(np.float32)


def _batches(z: Float32) -> Iterator[Float32]:
    return (z[at : at + BATCH] for at in range(0, len(z), BATCH))


def _contract(sampler: Sampler) -> Contract:
    """The promises that the proposal has from the models it stands for."""
    return dataclasses.replace(
        sampler.generator.contract, kind="proposal", phantom=_phantom(sampler), thresholds={}, digest=""
    )


def _phantom(sampler: Sampler) -> bool:
    return sampler.generator.contract.phantom or sampler.classifier.contract.phantom


def _measured(sampler: Sampler, proposal: Proposal, z: Float32, logits: Float32) -> dict[str, Any]:
    """For No Finding and each finding: its rate, what trying costs, and what is lost without the weights."""
    present = labelling.present(labelling.probabilities(logits), sampler.classifier.contract.thresholds)
    guessed = [np.concatenate([guess.logits(each) for each in _batches(z)]) for guess in proposal.guesses]
    held = {
        name: _of(Guide.of(proposal, wanted, sampler), guessed, wanted.met(present))
        for name in (NO_FINDING, *FINDINGS)
        for wanted in (Wanted.of([name]),)
    }
    for key, guess in zip(EXPLAINED, guessed, strict=True):
        fit = 1 - ((guess - logits) ** 2).mean(axis=0) / np.maximum(logits.var(axis=0), 1e-12)
        for name, share in zip(FINDINGS, fit.tolist(), strict=True):
            held[name][key] = share
    return {"n_held": len(z), "digest": proposal.digest, "findings": held}


def _of(guide: Guide, guessed: Sequence[Float64], shown: NDArray[np.bool_]) -> dict[str, Any]:
    """One finding, on pairs that the proposal was not fitted to; None where no pair shows it."""
    chances, n = guide.chances_of(guessed), int(shown.sum())
    caught = float(chances[shown].sum())
    return {
        "n_shown": n,
        "rate": n / len(shown),
        "rate_interval": list(bootstrap.wilson(n, len(shown))),
        "looked_at": guide.looked,
        "tried": float(chances.mean()),
        "runs_an_image": float(chances.sum() / caught) if n else None,
        "recall": caught / n if n else None,
        "recall_interval": list(bootstrap.wilson(caught, n)) if n else None,
    }

"""Distil generator and classifier into proposal.onnx, and measure what a guided search loses and saves by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
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
from synthcxr.networks.onnx import export
from synthcxr.seeds import MAX_SEED
from synthcxr.synthesis.proposal import ABOUT, FILE, Guide, Proposal
from synthcxr.synthesis.sampler import Sampler
from synthcxr.synthesis.wanted import Wanted
from synthcxr.training import proposal as training

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

BATCH = 64
SEED = MAX_SEED - 1
"""Of streams that no dataset starts from by default: the pairs must not be the candidates that are judged by them."""


def run(config: DistillConfig, *, models: Path) -> dict[str, Any]:
    """Write proposal.onnx and proposal.json into the folder `models` of an export; returns the latter."""
    sampler = Sampler.open(models, batch=BATCH, device=config.device)
    z, logits = _pairs(sampler, 0, config.n_pairs)
    network = training.fit(config, z, logits)
    held_z, held_logits = _pairs(sampler, config.n_pairs + BATCH, config.n_held)
    path = models / FILE
    about = {"latent": z.shape[1], "width": config.width, "depth": config.depth}
    about |= {"generator": sampler.generator.digest, "classifier": sampler.classifier.digest}
    about["spread"] = dict.fromkeys(FINDINGS, 1.0)
    held = dataclasses.replace(_contract(sampler), network=about)
    export(network, path=path, contract=held, row=(z.shape[1],), input_name="z", output_names=("logits",), fp16=True)
    error = _error(Proposal.open(path, sampler, device="cpu"), held_z, held_logits)
    about["spread"] = dict(zip(FINDINGS, error.tolist(), strict=True))
    export(network, path=path, contract=held, row=(z.shape[1],), input_name="z", output_names=("logits",), fp16=True)
    measured = _measured(sampler, Proposal.open(path, sampler, device="cpu"), held_z, held_logits)
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
        labelling.logits(sampler.seen(z[at : at + BATCH])[1])
        for at in tqdm(range(0, len(z), BATCH), unit="batch", disable=None)
    ]
    return z[:n], np.concatenate(parts)[:n].astype(np.float32)


def _error(proposal: Proposal, z: Float32, logits: Float32) -> Float64:
    """The root mean square error [14] of the guess on pairs that it was not fitted to."""
    guess = proposal.session.run(z)["logits"].astype(np.float64)
    return np.asarray(np.maximum(np.sqrt(((guess - logits) ** 2).mean(axis=0)), 1e-6))


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
    guess = proposal.session.run(z)["logits"]
    fit = 1 - ((guess - logits) ** 2).mean(axis=0) / np.maximum(logits.var(axis=0), 1e-12)
    held = {name: _of(Wanted.of([name]), sampler, proposal, z, present) for name in (NO_FINDING, *FINDINGS)}
    for name, share in zip(FINDINGS, fit.tolist(), strict=True):
        held[name]["variance_explained"] = share
    return {"n_held": len(z), "digest": proposal.session.digest, "findings": held}


def _of(wanted: Wanted, sampler: Sampler, proposal: Proposal, z: Float32, present: NDArray[np.bool_]) -> dict[str, Any]:
    """One finding, on pairs that the proposal was not fitted to; None where no pair shows it."""
    guide, shown = Guide.of(proposal, wanted, sampler), wanted.met(present)
    chances, n = guide.chances(z), int(shown.sum())
    caught = float(chances[shown].sum())
    return {
        "n_shown": n,
        "rate": n / len(z),
        "rate_interval": list(bootstrap.wilson(n, len(z))),
        "tried": float(chances.mean()),
        "runs_an_image": float(chances.sum() / caught) if n else None,
        "recall": caught / n if n else None,
        "recall_interval": list(bootstrap.wilson(caught, n)) if n else None,
    }

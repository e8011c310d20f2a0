"""Distil generator and classifier into proposal.onnx, and measure what a guided search loses and saves by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr.config.schema import DistillConfig
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.random_streams import MAX_SEED
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.model_files import predictions
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.networks.onnx_export import export
from synthcxr.storage import json_files
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.sampling.guided import Guided
from synthcxr.synthesis.sampling.importance_guide import ABOUT, FILE, Guide, Proposal
from synthcxr.synthesis.sampling.rejection import Sampler
from synthcxr.training import distillation as training

Float32 = NDArray[np.float32]
Pairs = tuple[Float32, Float32]
"""Latents [n, Z] and the logits [n, 14] of their images."""

BATCH = 64
SEED = MAX_SEED - 1
"""Of streams that no dataset starts from by default: the pairs must not be the candidates that are judged by them."""
LED_FROM, MEASURED_FROM = 2**40, 2**41
ROUNDS = 2
"""How often it is led by what was learnt, and learns from where that led: a guess is worst where few latents lie."""
LEARNT = 0.8
"""Share of the pairs of each leading that are learnt from; the others say how far the guess is off there."""


def run(config: DistillConfig, *, models: Path) -> dict[str, Any]:
    """Write proposal.onnx and proposal.json into the folder `models` of an export; returns the latter."""
    sampler = Sampler.open(models, batch=BATCH, device=config.device)
    learning = [_pairs(sampler, 0, config.n_pairs)]
    held = _pairs(sampler, config.n_pairs + BATCH, config.n_held)
    proposal = _fitted(config, sampler, models, learning, {name: held for name in FINDINGS})
    kept: dict[str, list[Pairs]] = {name: [] for name in FINDINGS}
    for at in range(ROUNDS if config.n_led else 0):
        for name in FINDINGS:
            z, logits = _led(sampler, proposal, name, at * config.n_led, config.n_led)
            n = round(LEARNT * len(z))
            learning.append((z[:n], logits[:n]))
            kept[name].append((z[n:], logits[n:]))
        unseen = {name: _joined(parts) for name, parts in kept.items()}
        proposal = _fitted(config, sampler, models, learning, unseen)
    measured = _measured(config, sampler, proposal, *held)
    json_files.write_json(models / ABOUT, measured)
    return measured


def _fitted(
    config: DistillConfig, sampler: Sampler, models: Path, learning: Sequence[Pairs], unseen: Mapping[str, Pairs]
) -> Proposal:
    """What is learnt, written and opened; how far it is off for a finding shows on pairs not learnt from."""
    z, logits = _joined(learning)
    network = training.fit(config, z, logits)
    path = models / FILE
    about = {"latent": z.shape[1], "width": config.width, "depth": config.depth}
    about |= {"generator": sampler.generator.digest, "classifier": sampler.classifier.digest}
    about["spread"] = dict.fromkeys(FINDINGS, 1.0)
    held = dataclasses.replace(_contract(sampler), network=about)
    for _ in range(2):  # the spread is that of the file's own guess
        export(
            network, path=path, contract=held, row=(z.shape[1],), input_name="z", output_names=("logits",), fp16=True
        )
        proposal = Proposal.open(path, sampler, device="cpu")
        about["spread"] = {name: _error(proposal, name, *unseen[name]) for name in FINDINGS}
    return proposal


def lines(measured: Mapping[str, Any]) -> Iterator[str]:
    """For a reader, a line a finding."""
    for name, of in measured["findings"].items():
        reached = of["runs_an_image"] is not None
        cost = f"{of['runs_an_image']:.1f} generator runs an image" if reached else "never shown"
        kept = "" if of["recall"] is None else f", recall {of['recall']:.0%} without the weights"
        yield f"{name:<20} {of['rate']:>7.2%} of candidates: {cost}{kept}"


def _pairs(sampler: Sampler, start: int, n: int) -> Pairs:
    """Latents [n, Z] and the logits [n, 14] of their images, as the sessions give them."""
    rng = np.random.Generator(np.random.Philox(key=np.array([SEED, start], dtype=np.uint64)))
    z = rng.standard_normal((-(-n // BATCH) * BATCH, sampler.generator.contract.latent), dtype=np.float32)
    parts = [
        predictions.logits(sampler.seen(z[at : at + BATCH])[1])
        for at in tqdm(range(0, len(z), BATCH), unit="batch", disable=None)
    ]
    return z[:n], np.concatenate(parts)[:n].astype(np.float32)


def _led(sampler: Sampler, proposal: Proposal, finding: str, start: int, n: int) -> Pairs:
    """Pairs of candidates that were led to a finding, with the logits of their images."""
    guide, first = Guide.of(proposal, Wanted.of([finding]), sampler), LED_FROM + start
    parts = []
    for at in tqdm(range(first, first + n, BATCH), unit="batch", desc=finding, disable=None):
        z, _ = guide.led(SEED, at, BATCH)
        parts.append((z, predictions.logits(sampler.seen(z)[1]).astype(np.float32)))
    return _joined(parts)


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    z, logits = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return z, logits


def _error(proposal: Proposal, finding: str, z: Float32, logits: Float32) -> float:
    """The root mean square error of the guess at one logit, on pairs that it was not fitted to."""
    at = FINDINGS.index(finding)
    guess = proposal.session.run(z)["logits"][:, at].astype(np.float64)
    return float(max(np.sqrt(((guess - logits[:, at]) ** 2).mean()), 1e-6))


def _contract(sampler: Sampler) -> Contract:
    """The promises that the proposal has from the models it stands for."""
    return dataclasses.replace(
        sampler.generator.contract, kind="proposal", phantom=_phantom(sampler), thresholds={}, digest=""
    )


def _phantom(sampler: Sampler) -> bool:
    return sampler.generator.contract.phantom or sampler.classifier.contract.phantom


def _measured(
    config: DistillConfig, sampler: Sampler, proposal: Proposal, z: Float32, logits: Float32
) -> dict[str, Any]:
    """For No Finding and each finding: its rate, what reaching it costs, and what is lost without the weights."""
    present = predictions.present(predictions.probabilities(logits), sampler.classifier.contract.thresholds)
    guess = proposal.session.run(z)["logits"]
    fit = 1 - ((guess - logits) ** 2).mean(axis=0) / np.maximum(logits.var(axis=0), 1e-12)
    held = {
        name: _of(Wanted.of([name]), config.n_measured, sampler, proposal, z, present)
        for name in (NO_FINDING, *FINDINGS)
    }
    for name, share in zip(FINDINGS, fit.tolist(), strict=True):
        held[name]["variance_explained"] = share
    return {"n_held": len(z), "digest": proposal.session.digest, "findings": held}


def _of(
    wanted: Wanted, n_tried: int, sampler: Sampler, proposal: Proposal, z: Float32, present: NDArray[np.bool_]
) -> dict[str, Any]:
    """One finding, on pairs that the proposal was not fitted to and on candidates led to it; None where none shows it.

    The recall is what a set without weights keeps of those that plain rejection accepts, had each been left in it with
    a chance in proportion to how much it is favoured.
    """
    guide, shown = Guide.of(proposal, wanted, sampler), wanted.met(present)
    n = int(shown.sum())
    kept = float((guide.favour(guide.score(z[shown])) / guide.most).sum()) if n else 0.0
    drawn = list(Guided(sampler, guide).draw(seed=SEED, start=MEASURED_FROM, stop=MEASURED_FROM + n_tried))
    runs, found = sum(part.runs for part in drawn), sum(len(part.indices) for part in drawn)
    return {
        "n_shown": n,
        "rate": n / len(z),
        "rate_interval": list(bootstrap.wilson(n, len(z))),
        "runs": runs,
        "accepted": found,
        "runs_an_image": runs / found if found else None,
        "recall": kept / n if n else None,
        "recall_interval": list(bootstrap.wilson(kept, n)) if n else None,
    }

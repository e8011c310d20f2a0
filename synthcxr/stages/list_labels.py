"""How often each finding shows among what a generator makes: known before one waits for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.config.schema import Device
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files import predictions
from synthcxr.storage import json_files
from synthcxr.synthesis.sampling.importance_guide import ABOUT, FILE
from synthcxr.synthesis.sampling.rejection import CLASSIFIER, GENERATOR, Sampler

N = 2048
SEED = 2**63
"""Of a stream that no dataset starts from by default."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """`found` of `drawn` candidates show the finding; `weak` says that its threshold rests on few films.

    `guided` is how many runs an image took with the proposal when that was distilled, None where that is not known.
    """

    finding: str
    found: int
    drawn: int
    weak: bool
    guided: float | None = None

    @property
    def share(self) -> float:
        """Of candidates."""
        return self.found / self.drawn

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json`."""
        low, high = bootstrap.wilson(self.found, self.drawn)
        return dataclasses.asdict(self) | {"share": self.share, "interval": [low, high]}

    def line(self) -> str:
        """For a reader."""
        low, high = bootstrap.wilson(self.found, self.drawn)
        tries = f"about {1 / self.share:,.0f} candidates an image" if self.found else "none among them"
        tries += "" if self.guided is None else f", {self.guided:.1f} when guided"
        mark = ", weak threshold" if self.weak else ""
        return f"{self.finding:<20} {self.share:>7.2%}  ({low:.2%} to {high:.2%}; {tries}{mark})"


def run(*, model: Path, n: int | None, device: Device, batch: int) -> tuple[Rate, ...]:
    """The rate of No Finding and of each finding among `n` candidates, rounded up to whole batches.

    None takes what was counted when the proposal was distilled from these very models, or else draws N candidates.
    """
    if n is None and (counted := _counted(model)):
        return counted
    n = n or N
    sampler = Sampler.open(model, batch=batch, device=device)
    contract = sampler.classifier.contract
    present = np.concatenate(
        [predictions.present(p, contract.thresholds) for p in _probabilities(sampler, -(-n // batch))]
    )
    counts = {NO_FINDING: int((~present.any(axis=1)).sum())} | dict(
        zip(FINDINGS, map(int, present.sum(axis=0)), strict=True)
    )
    return tuple(Rate(name, found, len(present), name in contract.weak) for name, found in counts.items())


def _counted(model: Path) -> tuple[Rate, ...]:
    """The rates that proposal.json holds of this generator and classifier; none where it was made of others."""
    if not (model / ABOUT).is_file() or not (model / FILE).is_file():
        return ()
    held, distilled = json_files.read_json(model / ABOUT), contracts.read(model / FILE, kind="proposal")
    classifier = contracts.read(model / CLASSIFIER, kind="classifier")
    of = {"generator": contracts.read(model / GENERATOR, kind="generator").digest, "classifier": classifier.digest}
    if held.get("digest") != distilled.digest or any(distilled.network.get(kind) != of[kind] for kind in of):
        return ()
    found = {name: held["findings"][name] for name in (NO_FINDING, *FINDINGS)}
    return tuple(
        Rate(name, int(of["n_shown"]), int(held["n_held"]), name in classifier.weak, of["runs_an_image"])
        for name, of in found.items()
    )


def _probabilities(sampler: Sampler, n_blocks: int) -> Iterator[np.ndarray[Any, np.dtype[np.float64]]]:
    return (sampler.block(SEED, at * sampler.batch).probabilities for at in range(n_blocks))

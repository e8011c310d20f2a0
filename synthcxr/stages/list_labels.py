"""Estimate how often each finding occurs among a generator's images, before a user waits for a rare one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.bounds import Count, CountOrZero
from synthcxr.config.schema import Device
from synthcxr.data.condition import decode_conditions
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, GENERATOR_FILE, PROPOSAL_FILE, PROPOSAL_REPORT_FILE
from synthcxr.storage.progress import track
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.importance_guide import MIN_EFFECTIVE_SHARE
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler

DEFAULT_N_CANDIDATES = 2048
SEED = 2**63
"""Unlikely to be a dataset's seed, so the estimate uses other candidates than the datasets do."""


class _ProposalRow(TypedDict):
    n_shown: CountOrZero
    runs_an_image: float | None


class _ProposalJson(TypedDict):
    """What is read of proposal.json, which `synthcxr distill` writes."""

    digest: str
    n_held: Count
    min_effective_share: NotRequired[float]
    findings: dict[str, _ProposalRow]


@dataclasses.dataclass(frozen=True)
class LabelRate:
    """`n_positive` of `n_candidates` show the finding by the classifier's threshold.

    `weak` says that the threshold was chosen on few films. `guided_runs_per_image` is the number of generator runs per
    accepted image of method guided, measured by `synthcxr distill` with the present limit of the guides; None if
    unknown. `n_conditioned` are the candidates whose condition has the finding, and `n_confirmed` those of them that
    show it: method conditional draws from them alone.
    """

    finding: str
    n_positive: int
    n_candidates: int
    weak: bool
    guided_runs_per_image: float | None = None
    n_conditioned: int = 0
    n_confirmed: int = 0

    @property
    def share(self) -> float:
        """The share of the candidates that show the finding."""
        return self.n_positive / self.n_candidates

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the share."""
        return wilson_interval(self.n_positive, self.n_candidates)

    def as_dict(self) -> dict[str, Any]:
        """The content of `--json`."""
        return {
            "finding": self.finding,
            "found": self.n_positive,
            "drawn": self.n_candidates,
            "weak": self.weak,
            "guided": self.guided_runs_per_image,
            "conditioned": self.n_conditioned,
            "confirmed": self.n_confirmed,
            "share": self.share,
            "interval": list(self.interval),
        }

    def format_line(self) -> str:
        """One line of text: the share, its 95 % CI, and the expected cost of an image."""
        low, high = self.interval
        cost = f"about {1 / self.share:,.0f} candidates per image" if self.n_positive else "none found"
        if self.guided_runs_per_image is not None:
            cost += f", {self.guided_runs_per_image:.1f} with method guided"
        if self.n_conditioned and not self.n_confirmed:
            cost += f", none of {self.n_conditioned:,} confirmed with method conditional"
        elif self.n_confirmed:
            cost += f", {self.n_conditioned / self.n_confirmed:.1f} with method conditional"
            cost += f": {self.n_confirmed:,} of {self.n_conditioned:,} confirmed"
        note = ", weak threshold" if self.weak else ""
        return f"{self.finding:<20} {self.share:>7.2%}  (95 % CI {low:.2%} to {high:.2%}; {cost}{note})"


def run(*, model: Path, n: int | None, device: Device, batch_size: int) -> tuple[LabelRate, ...]:
    """The rate of No Finding and of each finding among `n` candidates, rounded up to whole batches.

    None takes the counts that `synthcxr distill` made with these models, or, without such counts, examines
    DEFAULT_N_CANDIDATES candidates. Those of a conditional generator have the conditions of training films.
    """
    if n is None and (distilled := _read_distilled_rates(model)):
        return distilled
    n_batches = -(-(n or DEFAULT_N_CANDIDATES) // batch_size)
    sampler = RejectionSampler.open(model, batch_size=batch_size, device=device)
    present, conditions = [], []
    for index in track(range(n_batches), "candidates", unit="batches"):
        block = sampler.draw_block(SEED, index * batch_size)
        present.append(sampler.detect(block.probabilities))
        conditions.append(_read_findings_of_conditions(sampler, block))
    is_present, in_condition = np.concatenate(present), np.concatenate(conditions)
    weak = sampler.classifier.metadata.weak
    rates = []
    for name in (NO_FINDING, *FINDINGS):
        condition = LabelCondition.from_names([name])
        shows, has = condition.matches(is_present), condition.matches_labels(in_condition)
        n_conditioned, n_confirmed = int(has.sum()), int((has & shows).sum())
        rates.append(LabelRate(name, int(shows.sum()), len(shows), name in weak, None, n_conditioned, n_confirmed))
    return tuple(rates)


def _read_findings_of_conditions(sampler: RejectionSampler, block: ImageBatch) -> NDArray[np.float32]:
    """The findings [n, 14] of the conditions of a block; NaN for a generator whose condition has none."""
    if block.conditions is None or sampler.table is None:
        return np.full((len(block.indices), len(FINDINGS)), np.nan, np.float32)
    return decode_conditions(block.conditions, sampler.table.parts).findings


def _read_distilled_rates(model: Path) -> tuple[LabelRate, ...]:
    """The rates in proposal.json; none if it is missing or belongs to another generator or classifier."""
    if not (model / PROPOSAL_REPORT_FILE).is_file() or not (model / PROPOSAL_FILE).is_file():
        return ()
    report = parsing.read_json(
        _ProposalJson, model / PROPOSAL_REPORT_FILE, error=ArtifactError, advice="run `synthcxr distill` again"
    )
    proposal = onnx_metadata.read(model / PROPOSAL_FILE, kind="proposal")
    generator = onnx_metadata.read(model / GENERATOR_FILE, kind="generator")
    classifier = onnx_metadata.read(model / CLASSIFIER_FILE, kind="classifier")
    sources = (proposal.network.get("generator"), proposal.network.get("classifier"))
    if report["digest"] != proposal.digest or sources != (generator.digest, classifier.digest):
        return ()
    rates = []
    for name in (NO_FINDING, *FINDINGS):
        measured = report["findings"].get(name)
        if measured is None or measured["n_shown"] > report["n_held"]:
            raise ArtifactError(f"{model / PROPOSAL_REPORT_FILE}: has no rate of {name}; run `synthcxr distill` again")
        counts = measured["n_shown"], report["n_held"]
        is_current = report.get("min_effective_share", 0.0) == MIN_EFFECTIVE_SHARE
        runs_per_image = measured["runs_an_image"] if is_current else None
        rates.append(LabelRate(name, *counts, name in classifier.weak, runs_per_image))
    return tuple(rates)

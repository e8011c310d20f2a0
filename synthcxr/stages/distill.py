"""Distil generator and classifier into proposal.onnx, and measure its effect on guided sampling.

The distilled network predicts logits from latents. It is least accurate where few random latents lie, so after the
first fit it proposes candidates for each finding, and is fitted again to random and proposed candidates together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import DistillConfig
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.random_streams import MAX_SEED
from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.metrics.effective_sample_size import effective_sample_size
from synthcxr.model_files import predictions
from synthcxr.model_files.model_folder import PROPOSAL_FILE, PROPOSAL_REPORT_FILE
from synthcxr.networks.onnx_export import export_onnx
from synthcxr.storage import atomic, json_files, output_lock
from synthcxr.storage.progress import StepReport, print_line, track
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.importance_guide import Guide, GuidedSampler, Proposal
from synthcxr.synthesis.sampling.rejection import RejectionSampler
from synthcxr.training.distillation import fit_latent_classifier

Float32 = NDArray[np.float32]
Pairs = tuple[Float32, Float32]
"""Latents [n, Z] and the logits [n, 14] of their images."""

BATCH = 64
SEED = MAX_SEED - 1
"""No dataset uses this seed by default, so the pairs are not candidates that the network later proposes."""
FIRST_GUIDED_CANDIDATE, FIRST_MEASURED_CANDIDATE = 2**40, 2**41
N_GUIDED_ROUNDS = 2
"""How often the network proposes candidates and is fitted again."""
TRAINING_SHARE = 0.8
"""Share of the proposed candidates of each finding that the network is fitted to; the others measure its error."""


@output_lock.fills_folder(argument="models")
def run(config: DistillConfig, *, models: Path) -> dict[str, Any]:
    """Write proposal.onnx and proposal.json into `models`, the folder of an export; return proposal.json."""
    with atomic.fill_folder(models) as partial:
        report = _distill(config, models, partial)
        json_files.write_json(partial / PROPOSAL_REPORT_FILE, report)
    return report


def _distill(config: DistillConfig, models: Path, out: Path) -> dict[str, Any]:
    """Write proposal.onnx to `out`, and return the measured effect on guided sampling."""
    # Fit the network to random candidates.
    sampler = RejectionSampler.open(models, batch_size=BATCH, device=config.device)
    if sampler.generator.metadata.condition:
        raise ArtifactError(
            f"{models}: a conditional generator needs no proposal network; remove the stage distill from dvc.yaml"
        )
    n_rounds = N_GUIDED_ROUNDS if config.n_led else 0
    report = StepReport("distill", 3 + 2 * n_rounds)
    report.begin(f"draw {config.n_pairs:,} candidates, and {config.n_held:,} to measure the error")
    training_pairs = [_draw_random_pairs(sampler, 0, config.n_pairs, "candidates to learn from")]
    validation_pairs = _draw_random_pairs(
        sampler, config.n_pairs + BATCH, config.n_held, "candidates to measure the error"
    )
    report.begin("train the proposal network, which predicts findings from latents, and export it")
    proposal = _fit_proposal(config, sampler, out, training_pairs, dict.fromkeys(FINDINGS, validation_pairs))

    # Fit it again to the candidates that it proposes for each finding.
    error_pairs: dict[str, list[Pairs]] = {finding: [] for finding in FINDINGS}
    for round_index in range(n_rounds):
        report.begin(f"draw {config.n_led:,} candidates for each finding, guided by the network")
        for finding in track(FINDINGS, "guided candidates", unit="findings"):
            z, logits = _draw_guided_pairs(sampler, proposal, finding, round_index * config.n_led, config.n_led)
            n = round(TRAINING_SHARE * len(z))
            training_pairs.append((z[:n], logits[:n]))
            error_pairs[finding].append((z[n:], logits[n:]))
        unseen = {finding: _concatenate_pairs(pairs) for finding, pairs in error_pairs.items()}
        report.begin("train the network again, with these candidates too, and export it")
        proposal = _fit_proposal(config, sampler, out, training_pairs, unseen)

    # Measure guided sampling for No Finding and each finding.
    report.begin("measure what guided sampling costs for No Finding and each finding")
    return _measure_proposal(config, sampler, proposal, *validation_pairs)


def format_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Format proposal.json as one line per finding, below a title."""
    yield "share of random candidates with each finding, and generator runs per image with guided sampling:"
    for finding, row in report["findings"].items():
        runs = row["runs_an_image"]
        cost = "no image found" if runs is None else f"{runs:.1f} generator runs per image"
        recall = "" if row["recall"] is None else f", recall {row['recall']:.0%} without importance weights"
        yield f"  {finding:<20} {row['rate']:>7.2%} of candidates: {cost}{recall}"


def _fit_proposal(
    config: DistillConfig,
    sampler: RejectionSampler,
    out: Path,
    training_pairs: Sequence[Pairs],
    unseen_pairs: Mapping[str, Pairs],
) -> Proposal:
    """Fit the network, write proposal.onnx with its error for each finding on `unseen_pairs`, and open the file."""
    z, logits = _concatenate_pairs(training_pairs)
    network = fit_latent_classifier(config, z, logits)
    path = out / PROPOSAL_FILE
    print_line(f"distill: exporting {PROPOSAL_FILE} and measuring its error")
    description: dict[str, Any] = {
        "latent": z.shape[1],
        "width": config.width,
        "depth": config.depth,
        "generator": sampler.generator.digest,
        "classifier": sampler.classifier.digest,
        "spread": dict.fromkeys(FINDINGS, 1.0),
    }
    metadata = dataclasses.replace(
        sampler.generator.metadata,
        kind="proposal",
        phantom=sampler.generator.metadata.phantom or sampler.classifier.metadata.phantom,
        thresholds={},
        digest="",
        network=description,
    )
    for _ in range(2):  # the second file contains the errors that the first one has
        export_onnx(
            network,
            path=path,
            metadata=metadata,
            row=(z.shape[1],),
            input_name="z",
            output_names=("logits",),
            fp16=True,
        )
        proposal = Proposal.open(path, sampler, device="cpu")
        description["spread"] = {
            finding: _measure_error(proposal, finding, *unseen_pairs[finding]) for finding in FINDINGS
        }
    return proposal


def _draw_random_pairs(sampler: RejectionSampler, start: int, n: int, task: str) -> Pairs:
    """Draw `n` random latents, and compute the logits of their images with the ONNX sessions, as progress of `task`."""
    rng = np.random.Generator(np.random.Philox(key=np.array([SEED, start], dtype=np.uint64)))
    z = rng.standard_normal((-(-n // BATCH) * BATCH, sampler.generator.metadata.latent), dtype=np.float32)
    logits = [
        predictions.to_logits(sampler.generate(z[first : first + BATCH])[1])
        for first in track(range(0, len(z), BATCH), task, unit="batches")
    ]
    return z[:n], np.concatenate(logits)[:n].astype(np.float32)


def _draw_guided_pairs(sampler: RejectionSampler, proposal: Proposal, finding: str, start: int, n: int) -> Pairs:
    """Draw `n` candidates that the proposal guides to a finding, and compute the logits of their images."""
    guide = Guide.fit(proposal, LabelCondition.from_names([finding]), sampler)
    first = FIRST_GUIDED_CANDIDATE + start
    pairs = []
    for candidate in range(first, first + n, BATCH):
        z, _ = guide.propose(SEED, candidate, BATCH)
        pairs.append((z, predictions.to_logits(sampler.generate(z)[1]).astype(np.float32)))
    return _concatenate_pairs(pairs)


def _concatenate_pairs(pairs: Sequence[Pairs]) -> Pairs:
    z, logits = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return z, logits


def _measure_error(proposal: Proposal, finding: str, z: Float32, logits: Float32) -> float:
    """Return the root mean square error of the predicted logit of one finding."""
    index = FINDINGS.index(finding)
    predicted = proposal.session.run(z)["logits"][:, index].astype(np.float64)
    return float(max(np.sqrt(((predicted - logits[:, index]) ** 2).mean()), 1e-6))


def _measure_proposal(
    config: DistillConfig, sampler: RejectionSampler, proposal: Proposal, z: Float32, logits: Float32
) -> dict[str, Any]:
    """Measure, for No Finding and each finding, its rate, its cost with guidance, and the recall without weights."""
    present = predictions.is_present(predictions.to_probabilities(logits), sampler.classifier.metadata.thresholds)
    predicted = proposal.session.run(z)["logits"]
    variance_explained = 1 - ((predicted - logits) ** 2).mean(axis=0) / np.maximum(logits.var(axis=0), 1e-12)
    findings = {
        finding: _measure_finding(
            LabelCondition.from_names([finding]), config.n_measured, sampler, proposal, z, present
        )
        for finding in track((NO_FINDING, *FINDINGS), "guided sampling", unit="findings")
    }
    for finding, share in zip(FINDINGS, variance_explained.tolist(), strict=True):
        findings[finding]["variance_explained"] = share
    return {
        "n_held": len(z),
        "digest": proposal.session.digest,
        "min_effective_share": proposal.min_effective_share,
        "findings": findings,
    }


def _measure_finding(
    condition: LabelCondition,
    n_candidates: int,
    sampler: RejectionSampler,
    proposal: Proposal,
    z: Float32,
    present: NDArray[np.bool_],
) -> dict[str, Any]:
    """Measure one finding on unseen pairs and on guided candidates; a value is None if no image shows the finding.

    The recall is the share of the images of plain rejection sampling that remain if each is kept with a probability
    proportional to its density ratio, as in a guided set without importance weights.
    """
    guide, matches = Guide.fit(proposal, condition, sampler), condition.matches(present)
    n_matches = int(matches.sum())
    n_recalled = 0.0
    if n_matches:
        n_recalled = float((guide.density_ratio(guide.score(z[matches])) / guide.max_density_ratio).sum())
    stop = FIRST_MEASURED_CANDIDATE + n_candidates
    batches = list(GuidedSampler(sampler, guide).draw(seed=SEED, start=FIRST_MEASURED_CANDIDATE, stop=stop))
    n_runs = sum(batch.generator_runs for batch in batches)
    n_accepted = sum(len(batch.indices) for batch in batches)
    weights = np.concatenate([batch.weights for batch in batches])
    return {
        "n_shown": n_matches,
        "rate": n_matches / len(z),
        "rate_interval": list(wilson_interval(n_matches, len(z))),
        "runs": n_runs,
        "accepted": n_accepted,
        "runs_an_image": n_runs / n_accepted if n_accepted else None,
        "effective_share": effective_sample_size(weights) / n_accepted if n_accepted else None,
        "recall": n_recalled / n_matches if n_matches else None,
        "recall_interval": list(wilson_interval(n_recalled, n_matches)) if n_matches else None,
    }

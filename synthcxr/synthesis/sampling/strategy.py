"""How candidates are drawn: plain rejection, guided by a proposal, or with latent optimisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import Device, Method, ResolvedMethod
from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, to_finding_names
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.model_files import predictions
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, GENERATOR_FILE, JUDGE_FILE, PROPOSAL_FILE
from synthcxr.storage import digests
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.sampling.importance_guide import GuidedSampler, Proposal
from synthcxr.synthesis.sampling.latent_optimisation import DifferentiableLogits, LatentOptimiser
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class SamplingStrategy:
    """A sampler and a method. `differentiate` is set for method optimise only, `proposal` for method guided only."""

    sampler: RejectionSampler
    method: ResolvedMethod
    differentiate: DifferentiableLogits | None = None
    judge: Session | None = None
    proposal: Proposal | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        method: Method,
        batch_size: int,
        device: Device = "auto",
        threads: int | None = None,
        with_judge: bool = False,
    ) -> SamplingStrategy:
        """Open the files of a model folder that the method needs. Method optimise also needs torch."""
        sampler = RejectionSampler.open(folder, batch_size=batch_size, device=device, threads=threads)
        judge = Session.open(folder / JUDGE_FILE, kind="judge", device=device, threads=threads) if with_judge else None
        if method == "optimise":
            from synthcxr.networks.latent_gradient import build_latents_to_logits  # torch, which no other method needs

            threads = sampler.generator.threads
            logits = build_latents_to_logits(folder / GENERATOR_FILE, folder / CLASSIFIER_FILE, threads)
            return cls(sampler, "optimise", logits, judge)
        if method == "guided" or (method == "auto" and (folder / PROPOSAL_FILE).is_file()):
            proposal = Proposal.open(folder / PROPOSAL_FILE, sampler, device=device, threads=threads)
            return cls(sampler, "guided", judge=judge, proposal=proposal)
        return cls(sampler, "reject", judge=judge)

    @property
    def runtime_settings(self) -> dict[str, str]:
        """What the bits of the images depend on besides the model files and the number of threads."""
        settings = self.sampler.generator.runtime_settings
        if self.method != "optimise":
            return settings
        from synthcxr.networks.latent_gradient import torch_version

        return settings | {"torch": torch_version()}

    def draw(self, condition: LabelCondition, *, seed: int, start: int, stop: int) -> Iterator[ImageBatch]:
        """The accepted images among candidates start .. stop - 1, block by block, in candidate order."""
        if self.proposal is not None:
            guided = GuidedSampler(self.sampler, self.proposal.get_guide(condition, self.sampler))
            return guided.draw(seed=seed, start=start, stop=stop)
        if self.differentiate is not None:
            optimiser = LatentOptimiser(self.sampler, self.differentiate, condition)
            return optimiser.draw(seed=seed, start=start, stop=stop)
        return self.sampler.draw(condition, seed=seed, start=start, stop=stop)

    def predicts_success(self, condition: LabelCondition) -> bool:
        """Whether a proposal network expects about half of the candidates to meet the condition."""
        return self.proposal is not None and self.proposal.get_guide(condition, self.sampler).schedule.reaches_target

    def add_judge_probabilities(self, batch: ImageBatch) -> ImageBatch:
        """Add the judge's calibrated probabilities, if a judge is open; it sees one image at a time.

        Images do not share a judge's batch, so no image's probabilities depend on another image.
        """
        if self.judge is None:
            return batch
        rows = [self.judge.run(images.to_float(image[np.newaxis]))["logits"] for image in batch.pixels]
        logits = np.concatenate(rows) if rows else np.empty((0, len(FINDINGS)))
        probabilities = predictions.calibrate(predictions.to_probabilities(logits), self.judge.metadata.calibration)
        return dataclasses.replace(batch, judge_probabilities=probabilities)

    def build_records(
        self, batch: ImageBatch, *, seed: int, requested: tuple[str, ...], train_distances: Float64 | None = None
    ) -> list[ImageRecord]:
        """The manifest records of a batch, with calibrated probabilities; file name and digest are still empty."""
        calibrated = predictions.calibrate(batch.probabilities, self.sampler.classifier.metadata.calibration)
        judge_probabilities, judge_findings = batch.judge_probabilities, self._name_judge_findings(batch)
        return [
            ImageRecord(
                file_name="",
                index=int(index),
                seed=seed,
                requested=LABEL_SEPARATOR.join(requested),
                findings=self.sampler.name_findings(batch.probabilities[row]),
                probabilities=_round(calibrated[row]),
                weight=float(f"{batch.weights[row]:.6g}"),
                sha256="",
                train_distance=None if train_distances is None else float(train_distances[row]),
                steps=None if batch.steps is None else int(batch.steps[row]),
                judge_probabilities=() if judge_probabilities is None else _round(judge_probabilities[row]),
                judge_findings=judge_findings[row],
            )
            for row, index in enumerate(batch.indices)
        ]

    def _name_judge_findings(self, batch: ImageBatch) -> list[tuple[str, ...]]:
        """The findings of each image that reach the judge's thresholds; empty without a judge.

        Both are calibrated and rounded as they are written, so that the columns and run.json give the same findings.
        """
        if batch.judge_probabilities is None or self.judge is None:
            return [()] * len(batch.indices)
        metadata = self.judge.metadata
        thresholds = predictions.calibrate(predictions.stack_thresholds(metadata.thresholds), metadata.calibration)
        present = [np.array(_round(row)) >= np.array(_round(thresholds)) for row in batch.judge_probabilities]
        return [to_finding_names(row.astype(float)) for row in present]

    def collect_digests(self) -> dict[str, str]:
        """The digests that identify the models, and fingerprints of how their logits become findings."""
        generator, classifier, judge = self.sampler.generator, self.sampler.classifier, self.judge
        model_digests = {
            "generator": generator.digest,
            "classifier": classifier.digest,
            "labelling": _fingerprint_thresholds(classifier),
        }
        if self.proposal is not None:
            model_digests["proposal"] = self.proposal.session.digest
        if judge is not None:
            model_digests |= {"judge": judge.digest, "judging": _fingerprint_thresholds(judge)}
        return model_digests


def _fingerprint_thresholds(model: Session) -> str:
    """A fingerprint of thresholds and calibration."""
    thresholds, calibration = model.metadata.thresholds, model.metadata.calibration
    return digests.fingerprint([thresholds, calibration] if calibration else thresholds)


def _round(probabilities: Float64) -> tuple[float, ...]:
    return tuple(round(float(p), 6) for p in probabilities)

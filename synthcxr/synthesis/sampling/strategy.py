"""How candidates are drawn: by rejection, with requested conditions, guided by a proposal, or with optimisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import Device, Method, ResolvedMethod
from synthcxr.data import images
from synthcxr.data.attribute_request import ANY_ATTRIBUTES, AttributeRequest
from synthcxr.data.condition_columns import describe_conditions
from synthcxr.data.condition_table import DIGEST_KIND
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, to_finding_names
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.errors import ConfigError
from synthcxr.model_files import predictions
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, GENERATOR_FILE, JUDGE_FILE, PROPOSAL_FILE
from synthcxr.storage import digests
from synthcxr.synthesis.request.condition_request import describe_unseen, select_conditions
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.sampling.importance_guide import MIN_EFFECTIVE_SHARE, MIN_GAIN, GuidedSampler, Proposal
from synthcxr.synthesis.sampling.latent_optimisation import DifferentiableLogits, LatentOptimiser
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class SamplingStrategy:
    """A sampler and a method. `differentiate` is set for method optimise only, `proposal` for method guided only.

    A conditional generator draws the conditions of candidates from those that have the requested `attributes`, and with
    another method than reject also the requested findings.
    """

    sampler: RejectionSampler
    method: ResolvedMethod
    differentiate: DifferentiableLogits | None = None
    judge: Session | None = None
    proposal: Proposal | None = None
    attributes: AttributeRequest = ANY_ATTRIBUTES

    def __post_init__(self) -> None:
        self.attributes.require_parts(() if self.sampler.table is None else self.sampler.table.parts)

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
        attributes: AttributeRequest = ANY_ATTRIBUTES,
        is_selective: bool = True,
        min_effective_share: float = MIN_EFFECTIVE_SHARE,
    ) -> SamplingStrategy:
        """Open the files of a model folder that the method needs; see `resolve_method`. Method optimise needs torch.

        `min_effective_share` limits the guides of method guided.
        """
        sampler = RejectionSampler.open(folder, batch_size=batch_size, device=device, threads=threads)
        judge = Session.open(folder / JUDGE_FILE, kind="judge", device=device, threads=threads) if with_judge else None
        has_proposal = (folder / PROPOSAL_FILE).is_file()
        resolved = resolve_method(method, sampler, has_proposal=has_proposal, is_selective=is_selective)
        logits: DifferentiableLogits | None = None
        proposal = None
        if resolved == "optimise":
            from synthcxr.networks.latent_gradient import build_latents_to_logits  # torch, which no other method needs

            files = folder / GENERATOR_FILE, folder / CLASSIFIER_FILE
            logits = build_latents_to_logits(*files, sampler.generator.threads)
        if resolved == "guided":
            proposal = Proposal.open(
                folder / PROPOSAL_FILE,
                sampler,
                device=device,
                threads=threads,
                min_effective_share=min_effective_share,
            )
        return cls(sampler, resolved, logits, judge, proposal, attributes)

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
        sampler = self._give_conditions(condition)
        if self.differentiate is not None:
            return LatentOptimiser(sampler, self.differentiate, condition).draw(seed=seed, start=start, stop=stop)
        return sampler.draw(condition, seed=seed, start=start, stop=stop)

    def describe_unseen(self, conditions: Sequence[LabelCondition]) -> str | None:
        """The line that says which conditions no training film of a conditional generator meets; None if none."""
        if self.sampler.table is None:
            return None
        return describe_unseen(
            self.sampler.table, self.attributes, [self._choose_condition(labels) for labels in conditions]
        )

    def _give_conditions(self, condition: LabelCondition) -> RejectionSampler:
        """The sampler whose candidates draw the conditions that meet the request."""
        table = self.sampler.table
        if table is None:
            return self.sampler
        return dataclasses.replace(
            self.sampler, table=select_conditions(table, self.attributes, self._choose_condition(condition))
        )

    def _choose_condition(self, condition: LabelCondition) -> LabelCondition:
        """The findings that conditions must have: those of the request, or any with method reject."""
        return LabelCondition() if self.method == "reject" else condition

    @property
    def min_effective_share(self) -> float:
        """The limit of the guides of method guided; 0 for other methods."""
        return 0.0 if self.proposal is None else self.proposal.min_effective_share

    def predict_rate(self, condition: LabelCondition) -> float:
        """The share of the candidates that a proposal network expects to meet the condition; 0 without one."""
        return 0.0 if self.proposal is None else self.proposal.get_guide(condition, self.sampler).acceptance_rate

    def settle_method(
        self, method: Method, conditions: Sequence[LabelCondition]
    ) -> tuple[SamplingStrategy, tuple[str, ...]]:
        """The strategy that `method` means for these conditions, and the lines to show before the work starts.

        "auto" is reject instead of guided if the guides move no candidate for any of the conditions.
        """
        lines = [self.describe_unseen(conditions)]
        if len(conditions) == 1:  # a forecast describes several
            lines.append(self._describe_unguided(conditions[0]))
        strategy = self
        if method == "auto" and self.proposal is not None:
            guides = (self.proposal.get_guide(condition, self.sampler) for condition in conditions)
            if not any(guide.moves_latents for guide in guides):
                strategy = dataclasses.replace(self, method="reject", proposal=None)
        return strategy, tuple(line for line in lines if line)

    def _describe_unguided(self, condition: LabelCondition) -> str | None:
        """The line that says that the guide moves no candidate for a rare condition, and the cost; None otherwise."""
        if self.proposal is None:
            return None
        guide = self.proposal.get_guide(condition, self.sampler)
        if not guide.is_limited:
            return None
        return (
            f"{condition}: no guide keeps an effective sample size of {self.proposal.min_effective_share:.0%} of the"
            f" images and accepts {MIN_GAIN} times as many candidates; candidates are drawn as with method reject,"
            f" {guide.describe_base_cost()}"
        )

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
        conditions = self._describe_conditions(batch)
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
                condition=conditions[row],
            )
            for row, index in enumerate(batch.indices)
        ]

    def _describe_conditions(self, batch: ImageBatch) -> list[dict[str, str]]:
        """The columns of metadata.csv for the condition of each image; none for an unconditional generator."""
        if batch.conditions is None or self.sampler.table is None:
            return [{}] * len(batch.indices)
        return describe_conditions(batch.conditions, self.sampler.table.parts)

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
        if self.sampler.table is not None:
            model_digests[DIGEST_KIND] = self.sampler.table.digest
        if self.proposal is not None:
            model_digests["proposal"] = self.proposal.session.digest
        if judge is not None:
            model_digests |= {"judge": judge.digest, "judging": _fingerprint_thresholds(judge)}
        return model_digests


def resolve_method(
    method: Method, sampler: RejectionSampler, *, has_proposal: bool, is_selective: bool
) -> ResolvedMethod:
    """What a method means for a model and for a request that names findings (`is_selective`) or does not.

    "auto" is conditional for a conditional generator, else guided with a proposal, else reject; `settle_method` then
    replaces guided where the guides move nothing. A request without findings needs no search: guided and optimise are
    reject then. ConfigError for a method that the model cannot use.
    """
    is_conditional = sampler.table is not None
    if method == "conditional" and not is_conditional:
        raise ConfigError("method conditional: the generator of this model takes no condition; use method auto")
    if method == "guided" and is_conditional:
        raise ConfigError("method guided: a conditional generator has no proposal network; use method auto")
    if is_conditional and method in ("auto", "conditional"):
        return "conditional"
    if not is_selective or method == "reject":
        return "reject"
    if method == "optimise":
        return "optimise"
    return "guided" if method == "guided" or has_proposal else "reject"


def _fingerprint_thresholds(model: Session) -> str:
    """A fingerprint of thresholds and calibration."""
    thresholds, calibration = model.metadata.thresholds, model.metadata.calibration
    return digests.fingerprint([thresholds, calibration] if calibration else thresholds)


def _round(probabilities: Float64) -> tuple[float, ...]:
    return tuple(round(float(p), 6) for p in probabilities)

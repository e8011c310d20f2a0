"""Sample images from a model into memory."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr import registry
from synthcxr.config.schema import Device, default_max_draws
from synthcxr.data import random_streams
from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.condition_columns import CONDITION_COLUMNS, describe_conditions
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING, to_finding_names, to_multi_hot
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS
from synthcxr.errors import ConfigError
from synthcxr.model_files import predictions
from synthcxr.model_files.model_folder import PROPOSAL_FILE
from synthcxr.storage import digests
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.importance_guide import Proposal
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler
from synthcxr.synthesis.sampling.strategy import SamplingStrategy, resolve_method

SamplerMethod = Literal["auto", "conditional", "reject", "guided"]
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Sampler:
    """An open generator with its classifier, and its proposal if the model has one.

    `address` leads to the same model again. A proposal guides the search for findings.
    """

    address: str
    rejection_sampler: RejectionSampler
    proposal: Proposal | None = None

    @classmethod
    def open(cls, address: str | Path | None = None, device: Device = "auto") -> Sampler:
        """Open a model by its address: a folder, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH.

        Without an address: the champion of the registry here, else the starter model.
        """
        model = registry.resolve_model(None if address is None else str(address))
        rejection_sampler = RejectionSampler.open(model.path, batch_size=BATCH_SIZE, device=device)
        proposal, proposal_file = None, model.path / PROPOSAL_FILE
        if proposal_file.is_file() and rejection_sampler.table is None:
            proposal = Proposal.open(proposal_file, rejection_sampler, device=device)
        return cls(model.address, rejection_sampler, proposal)

    def sample(
        self,
        labels: Sequence[str] | str = (),
        n: int = 1,
        seed: int = 0,
        max_draws: int | None = None,
        *,
        method: SamplerMethod = "auto",
        threshold: float = 0.0,
        view: str | None = None,
        sex: str | None = None,
        age: str | None = None,
        on_block: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.uint8], pd.DataFrame]:
        """Return images that show all of `labels`, uint8 [n, R, R], and a table with one row per image.

        The columns of the table are index, seed, requested, Finding Labels, p_* (calibrated probabilities), weight and
        latent_sha256. With method "auto", a model that has a proposal is sampled guided, unless too little variety
        would be left; the column `weight` then corrects for it. The same seed and method give the same images as
        `synthcxr generate`. With a `threshold`, each of `labels` must also reach this calibrated probability.

        `view` ("PA" or "AP"), `sex` ("F" or "M") and `age` in years (such as "60-70") are for conditional generators.
        Their method "auto" is conditional, and the condition of each image is in the columns Condition Findings, view,
        sex and age.

        If `max_draws` candidates (by default 500 per image and at least 1,000) contain fewer than `n` images, fewer are
        returned, with a warning. `on_block` gets the number of candidates examined so far; an error that it raises ends
        the search.
        """
        for name, count in (("n", n), ("max_draws", max_draws)):
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be at least 1, is {count}")
        requested = _parse_labels(labels)
        columns = _threshold_columns(requested, threshold)
        limit = max_draws or default_max_draws(n, selective=bool(requested))
        attributes = AttributeRequest.from_text(view, sex, age)
        strategy = self._choose_strategy(method, attributes, is_selective=bool(requested))
        condition = LabelCondition(requested)
        strategy, lines = strategy.settle_method(method, [condition])
        for line in lines:
            warnings.warn(line, stacklevel=2)
        batches: list[ImageBatch] = []
        n_missing = n
        for batch in strategy.draw(condition, seed=seed, start=0, stop=limit):
            if on_block is not None:
                on_block(batch.stop)
            is_probable = np.all(self._calibrate(batch.probabilities)[:, columns] >= threshold, axis=1)
            batches.append(batch.select(is_probable).take_first(n_missing))
            n_missing -= len(batches[-1].indices)
            if n_missing == 0:
                break
        if n_missing:
            message = f"found {n - n_missing} of {n} images among {limit} candidates; raise max_draws"
            warnings.warn(message, stacklevel=2)
        return np.concatenate([batch.pixels for batch in batches]), self._build_table(batches, seed, requested)

    def _choose_strategy(
        self, method: SamplerMethod, attributes: AttributeRequest, *, is_selective: bool
    ) -> SamplingStrategy:
        sampler, has_proposal = self.rejection_sampler, self.proposal is not None
        if method not in get_args(SamplerMethod):
            raise ConfigError(f"method must be auto, conditional, reject or guided, is {method!r}")
        resolved = resolve_method(method, sampler, has_proposal=has_proposal, is_selective=is_selective)
        if method == "guided" and not has_proposal:
            raise ConfigError("method guided: this model has no proposal; use method reject, or run `synthcxr distill`")
        proposal = self.proposal if resolved == "guided" else None
        return SamplingStrategy(sampler, resolved, proposal=proposal, attributes=attributes)

    def _calibrate(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return predictions.calibrate(probabilities, self.rejection_sampler.classifier.metadata.calibration)

    def _build_table(self, batches: Sequence[ImageBatch], seed: int, requested: tuple[str, ...]) -> pd.DataFrame:
        probabilities = np.concatenate([batch.probabilities for batch in batches])
        table = pd.DataFrame({"index": np.concatenate([batch.indices for batch in batches])})
        table["seed"] = seed
        table["requested"] = LABEL_SEPARATOR.join(requested)
        table["Finding Labels"] = [
            LABEL_SEPARATOR.join(self.rejection_sampler.name_findings(row)) for row in probabilities
        ]
        calibrated = pd.DataFrame(self._calibrate(probabilities), columns=list(PROBABILITY_COLUMNS))
        table = pd.concat([table, calibrated, *self._describe_conditions(batches)], axis=1)
        table["weight"] = np.concatenate([batch.weights for batch in batches])
        table["latent_sha256"] = [
            digests.sha256_bytes(latent.tobytes()) for batch in batches for latent in self._latents(batch, seed)
        ]
        return table

    def _describe_conditions(self, batches: Sequence[ImageBatch]) -> list[pd.DataFrame]:
        """The conditions of the images of a conditional generator, also for no image; none for an unconditional one."""
        if self.rejection_sampler.table is None:
            return []
        parts = self.rejection_sampler.table.parts
        conditions = np.concatenate([batch.conditions for batch in batches if batch.conditions is not None])
        columns = [column for part, column in CONDITION_COLUMNS.items() if part in parts]
        return [pd.DataFrame(describe_conditions(conditions, parts), columns=columns)]

    def _latents(self, batch: ImageBatch, seed: int) -> NDArray[np.float32]:
        """The latent of each image, little-endian float32 [k, Z]."""
        size = self.rejection_sampler.generator.metadata.latent
        latents = batch.latents
        if latents is None:
            rows = [random_streams.draw_latents(seed, int(index), 1, size) for index in batch.indices]
            latents = np.concatenate(rows) if rows else np.empty((0, size), np.float32)
        return np.asarray(latents, dtype="<f4").reshape(-1, size)


def _parse_labels(labels: Sequence[str] | str) -> tuple[str, ...]:
    """Canonical names in NIH order; DataError for an unknown finding or a contradiction."""
    names = [name for name in labels.split(LABEL_SEPARATOR) if name] if isinstance(labels, str) else list(labels)
    return to_finding_names(to_multi_hot(names)) if names else ()


def _threshold_columns(requested: tuple[str, ...], threshold: float) -> list[int]:
    """The columns of the findings that `threshold` applies to; ConfigError for a threshold that cannot apply."""
    columns = [FINDINGS.index(name) for name in requested if name != NO_FINDING]
    if not 0 <= threshold < 1:
        raise ConfigError(f"threshold must be a probability from 0 to below 1, is {threshold}")
    if threshold and not columns:
        raise ConfigError("threshold applies to requested findings only; request one with labels")
    return columns

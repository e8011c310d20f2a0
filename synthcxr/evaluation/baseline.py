"""The images that requested ones are compared with: of the same model, and accepted whatever they show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.images import UInt8
from synthcxr.errors import DataError
from synthcxr.evaluation.features import cache
from synthcxr.evaluation.features.extractors import Extractor
from synthcxr.evaluation.image_sets import SyntheticSet

MAX_IMAGES = 2000
"""A baseline has as many images as the dataset, and at most this many: more would hardly narrow the intervals."""
SEED_OFFSET = 2**31
"""A baseline that `evaluate` draws has the seed of the evaluation plus this, so its images are not in the dataset."""


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The judge's logits [n, 14] and the classifier's labels [n, 14] of unconditional images; `source` names them."""

    logits: NDArray[np.float32]
    labels: NDArray[np.bool_]
    source: str

    @classmethod
    def from_dataset(cls, baseline: SyntheticSet, synthetic: SyntheticSet, judge: Extractor) -> Baseline:
        """An unconditional dataset of the model that made `synthetic`; DataError for any other."""
        if baseline.is_conditional:
            raise DataError(
                f"--baseline: {baseline.path} was requested by label; give a dataset that was generated without"
                " --label, --without, --per-label and --mix"
            )
        for kind in ("generator", "classifier"):
            if getattr(baseline, f"{kind}_digest") != getattr(synthetic, f"{kind}_digest"):
                raise DataError(
                    f"--baseline: {baseline.path} was generated with another {kind} than {synthetic.path}; give a"
                    " dataset of the same model"
                )
        if (baseline.attributes, baseline.table_digest) != (synthetic.attributes, synthetic.table_digest):
            raise DataError(
                f"--baseline: {baseline.path} was requested with another view, sex or age than {synthetic.path}, or"
                " draws from other conditions; give a dataset of the same request and model without --label"
            )
        logits = baseline.outputs(judge)["logits"]
        return cls(logits, baseline.labels, f"{len(logits):,} images of the dataset given as --baseline")

    @classmethod
    def draw(
        cls,
        blocks: Iterable[tuple[UInt8, NDArray[np.bool_]]],
        synthetic: SyntheticSet,
        judge: Extractor,
        *,
        n: int,
        seed: int,
        thresholds: Mapping[str, float],
    ) -> Baseline:
        """The `n` images in `blocks` of pixels and labels, or what an earlier run kept in the cache of `synthetic`.

        `blocks` come from the models of `synthetic` and `seed`; `thresholds` are those of the classifier.
        """

        def run_judge() -> dict[str, NDArray[np.float32]]:
            parts = [(judge.run(pixels)["logits"], labels.astype(np.float32)) for pixels, labels in blocks]
            logits, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            return {"logits": logits, "labels": labels}

        key: dict[str, Any] = {
            "baseline": [synthetic.generator_digest, synthetic.classifier_digest, dict(thresholds)],
            "judge": [*dataclasses.astuple(judge.provenance), judge.device],
            "seed": seed,
            "n": n,
        }
        if synthetic.table_digest:
            key["conditions"] = [synthetic.table_digest, str(synthetic.attributes)]
        arrays = cache.load_or_compute(synthetic.cache_folder, key, run_judge)
        source = f"{n:,} images of the same model, drawn without a request from seed {seed}"
        return cls(arrays["logits"], arrays["labels"] == 1, source)

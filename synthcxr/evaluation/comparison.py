"""What `evaluate` compares: a synthetic set and real films, and the features and labels of both."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import EvaluateConfig
from synthcxr.data import random_streams
from synthcxr.data.film_dataset import FilmDataset
from synthcxr.data.films import TEST_SPLITS
from synthcxr.data.findings import FINDINGS
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.features import cache
from synthcxr.evaluation.features.engine import Outputs
from synthcxr.evaluation.features.extractors import Extractor
from synthcxr.evaluation.image_sets import RealSet, SyntheticSet
from synthcxr.evaluation.metrics import frechet, label_distribution
from synthcxr.evaluation.metrics.frechet import Gaussian
from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.model_files.onnx_metadata import ModelMetadata

Float32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A synthetic set, the real films it is compared with (`n_test` test films) and the settings of `evaluate`."""

    config: EvaluateConfig
    real: RealSet
    synthetic: SyntheticSet
    n_test: int

    @classmethod
    def open(cls, config: EvaluateConfig, films: FilmDataset, synthetic: SyntheticSet) -> Comparison:
        """Compare a synthetic set with the films that meet its request: those that have labels, if they are enough.

        Most films without labels are training films, and of another kind; with them the floor would be too high.
        """
        n_labelled = len(films.labelled_indices(synthetic.resolution, TEST_SPLITS))
        real = RealSet(
            films=films,
            resolution=synthetic.resolution,
            requested=synthetic.requested,
            excluded=synthetic.excluded,
            is_empty=synthetic.n_label_sets > 0,
            cache_folder=synthetic.cache_folder,
            labelled_only=n_labelled >= MIN_FILMS_FOR_DISTANCE,
        )
        return cls(config, real, synthetic, len(real.patients(TEST_SPLITS)))

    def rng(self, purpose: str) -> np.random.Generator:
        """A separate random stream for each purpose, so that no figure depends on which others are computed."""
        return open_purpose_stream(self.config.seed, purpose)


@dataclasses.dataclass(frozen=True)
class ComparisonFeatures:
    """A comparison in the features of one extractor: every output for the images and for the films of any split."""

    comparison: Comparison
    extractor: Extractor
    synthetic_outputs: Outputs

    @classmethod
    def extract(cls, extractor: Extractor, comparison: Comparison) -> ComparisonFeatures:
        """Run the extractor on the images, or read its outputs from the cache."""
        return cls(comparison, extractor, comparison.synthetic.outputs(extractor))

    @property
    def name(self) -> str:
        """The extractor's name."""
        return self.extractor.provenance.extractor

    @property
    def synthetic(self) -> Float32:
        """Features of the synthetic images."""
        return self.synthetic_outputs["features"]

    @property
    def train(self) -> Float32:
        """Features of the films that the GAN was trained on and the extractor was not."""
        return self.film_features(self.extractor.training_splits)

    @property
    def train_patients(self) -> NDArray[np.object_]:
        """The patient of each row of `train`."""
        return self.comparison.real.patients(self.extractor.training_splits)

    @property
    def test(self) -> Float32:
        """Features of the test films."""
        return self.film_features(TEST_SPLITS)

    @property
    def test_patients(self) -> NDArray[np.object_]:
        """The patient of each row of `test`."""
        return self.comparison.real.patients(TEST_SPLITS)

    @property
    def test_gaussian(self) -> Gaussian:
        """The Gaussian fitted to `test`, cached on disk."""
        real = self.comparison.real
        key = real.cache_key(self.extractor, TEST_SPLITS) | {"statistics": "mean and covariance factor"}

        def fit() -> dict[str, NDArray[np.float64]]:
            gaussian = frechet.fit_gaussian(self.test)
            return {"mean": gaussian.mean, "factor": gaussian.factor}

        return Gaussian(**cache.load_or_compute(real.cache_folder, key, fit))

    def film_features(self, splits: tuple[str, ...]) -> Float32:
        """Features of the films of these splits."""
        return self.comparison.real.outputs(self.extractor, splits)["features"]


@dataclasses.dataclass(frozen=True)
class JudgeLabels:
    """The judge's labels in a comparison: its outputs as findings bool [n, 14], at its thresholds."""

    features: ComparisonFeatures
    metadata: ModelMetadata

    @property
    def comparison(self) -> Comparison:
        """The comparison whose films and images are labelled."""
        return self.features.comparison

    @property
    def weak_findings(self) -> tuple[str, ...]:
        """The findings that the judge cannot label reliably."""
        return find_weak_findings(self.metadata)

    @property
    def synthetic(self) -> Bool:
        """The labels of the synthetic images."""
        return detect_findings(self.features.synthetic_outputs, self.metadata)

    def films(self, splits: tuple[str, ...]) -> Bool:
        """The labels of the films of these splits that meet the request."""
        return self._label(self.comparison.real, splits)

    def labelled_films(self, splits: tuple[str, ...]) -> Bool:
        """The judge's labels of the films of these splits that meet the request and have labels of their own."""
        return self._label(self.comparison.real.labelled, splits)

    def unrestricted_films(self, splits: tuple[str, ...]) -> Bool:
        """The labels of all films of these splits, whatever their findings."""
        return self._label(self.comparison.real.unrestricted, splits)

    def _label(self, real: RealSet, splits: tuple[str, ...]) -> Bool:
        return detect_findings(real.outputs(self.features.extractor, splits), self.metadata)


def open_purpose_stream(seed: int, purpose: str) -> np.random.Generator:
    """The random stream of a seed for one purpose."""
    return random_streams.open_stream(seed, zlib.crc32(purpose.encode()))


def detect_findings(outputs: Outputs, metadata: ModelMetadata) -> Bool:
    """The findings, bool [n, 14], that a judge or classifier detects at its own thresholds."""
    return label_distribution.apply_thresholds(outputs["logits"], metadata.thresholds)


def find_weak_findings(metadata: ModelMetadata) -> tuple[str, ...]:
    """The findings that a model cannot label reliably: its threshold rests on too few val films, or is missing."""
    return tuple(name for name in FINDINGS if name in metadata.weak or name not in metadata.thresholds)

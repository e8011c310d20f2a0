"""What is held against what: films, images, settings, and the features of all of them in one extractor."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import EvaluateConfig
from synthcxr.data import random_streams
from synthcxr.evaluation.features import cache
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor, Outputs
from synthcxr.evaluation.image_sets import RealSet, SyntheticSet
from synthcxr.evaluation.metrics import frechet
from synthcxr.evaluation.metrics.frechet import Gaussian

Float32 = NDArray[np.float32]

TEST = ("test",)
LEARNED = ("train", "judge")
HELD_OUT = ("val", "test")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A synthetic set and the real films it is held against, `n_test` of them, with the settings of `evaluate`."""

    config: EvaluateConfig
    real: RealSet
    synthetic: SyntheticSet
    n_test: int

    def rng(self, purpose: str) -> np.random.Generator:
        """A random stream of its own for each purpose, so that none depends on what else is computed."""
        return random_streams.stream(self.config.seed, zlib.crc32(purpose.encode()))


@dataclasses.dataclass(frozen=True)
class View:
    """A comparison through one extractor: every output for the images, and those of any split of the films."""

    comparison: Comparison
    extractor: Extractor
    synthetic: Outputs

    @classmethod
    def through(cls, extractor: Extractor, comparison: Comparison) -> View:
        """Extract what is not cached."""
        return cls(comparison, extractor, comparison.synthetic.outputs(extractor))

    @property
    def name(self) -> str:
        """The extractor's name."""
        return self.extractor.provenance.extractor

    def films(self, splits: tuple[str, ...], output: str = "features") -> Float32:
        """One output for the films of these splits that take part."""
        return self.comparison.real.outputs(self.extractor, splits)[output]

    @property
    def train(self) -> Float32:
        """Features of the films that the generator learned from and the extractor did not."""
        return self.films(self.extractor.training_splits)

    @property
    def train_patients(self) -> NDArray[np.object_]:
        """The patient of each row of `train`."""
        return self.comparison.real.patients(self.extractor.training_splits)

    @property
    def test(self) -> Float32:
        """Features of the test films."""
        return self.films(TEST)

    @property
    def test_gaussian(self) -> Gaussian:
        """The Gaussian of `test`, kept for the next run under the digests that its features have."""
        real, extractor = self.comparison.real, self.extractor
        key = real.key(extractor, TEST) | {"statistics": "mean and covariance factor"}

        def fit() -> dict[str, NDArray[np.float64]]:
            made = frechet.fitted(self.test)
            return {"mean": made.mean, "factor": made.factor}

        held = cache.cached(real.cache, key, fit)
        return Gaussian(mean=held["mean"], factor=held["factor"])

    @property
    def test_patients(self) -> NDArray[np.object_]:
        """The patient of each row of `test`."""
        return self.comparison.real.patients(TEST)

"""Power analysis: how many readings are needed to detect that a reader tells real from synthetic."""

from __future__ import annotations

import dataclasses

from scipy.stats import binom

from synthcxr.errors import ConfigError
from synthcxr.reader_study.accuracy import CHANCE

SIGNIFICANCE_LEVEL, TARGET_POWER = 0.05, 0.8
_MAX_READINGS = 20_000
_LOOK_AHEAD = 60  # the power of a discrete test falls again a few readings after it first reaches the target


@dataclasses.dataclass(frozen=True)
class PowerAnalysis:
    """The number of `readings` of one reader that detects `accuracy`, and what `n` images and `readers` detect.

    `detectable` is the lowest accuracy that the `n` readings of one reader detect, `detectable_together` that of all
    readers. The test is exact and two-sided, against one half, at level 0.05 and power 0.8. The latter counts all
    readings as independent. Readings of one image are not, so that it is the best case. The field names are keys of the
    JSON output.
    """

    accuracy: float
    readings: int
    n: int
    readers: int
    detectable: float | None
    detectable_together: float | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The analysis in sentences."""
        return (
            f"{self.readings} readings of one reader detect an accuracy of {self.accuracy:.0%}"
            f" (two-sided level {SIGNIFICANCE_LEVEL:.0%}, power {TARGET_POWER:.0%})",
            f"one reader with {self.n} images: detects {_describe(self.detectable)}",
            f"{self.readers} readers with {self.n} images each ({self.n * self.readers} readings): detect"
            f" {_describe(self.detectable_together)} at best; this assumes that readings of one image are independent",
        )


def analyse_power(accuracy: float, *, n: int, readers: int) -> PowerAnalysis:
    """Compute what is needed to detect `accuracy`, and what `n` images read by `readers` detect."""
    if not CHANCE < accuracy < 1:
        raise ConfigError(f"--power: {accuracy:g} is not an accuracy between 0.5 and 1")
    return PowerAnalysis(
        accuracy=accuracy,
        readings=count_readings_needed(accuracy),
        n=n,
        readers=readers,
        detectable=find_detectable_accuracy(n),
        detectable_together=find_detectable_accuracy(n * readers),
    )


def compute_power(n: int, accuracy: float) -> float:
    """The probability that the exact two-sided test of `n` readings rejects one half if the accuracy is `accuracy`."""
    critical = int(binom.isf(SIGNIFICANCE_LEVEL / 2, n, CHANCE)) + 1  # P(X >= critical) <= level / 2
    return float(binom.sf(critical - 1, n, accuracy) + binom.cdf(n - critical, n, accuracy))


def count_readings_needed(accuracy: float) -> int:
    """The smallest number of readings from which on the target power is reached.

    Raises ConfigError if more than 20,000 readings are needed.
    """
    last_insufficient = 0
    for n in range(5, _MAX_READINGS):
        if compute_power(n, accuracy) < TARGET_POWER:
            last_insufficient = n
        elif n - last_insufficient > _LOOK_AHEAD:
            return last_insufficient + 1
    raise ConfigError(
        f"--power: {accuracy:g} is too close to chance; more than {_MAX_READINGS:,} readings would be needed"
    )


def find_detectable_accuracy(n: int) -> float | None:
    """The lowest accuracy, in whole hundredths, that `n` readings detect; None if they detect none."""
    return next(
        (hundredths / 100 for hundredths in range(51, 100) if compute_power(n, hundredths / 100) >= TARGET_POWER), None
    )


def _describe(accuracy: float | None) -> str:
    return "no accuracy below 100%" if accuracy is None else f"an accuracy of {accuracy:.0%} or more"

"""How many readings show that a reader tells real from synthetic, if he really does."""

from __future__ import annotations

import dataclasses

from scipy.stats import binom

from synthcxr.errors import ConfigError

LEVEL, POWER, CHANCE = 0.05, 0.8, 0.5
_MOST, _LONGER = 20_000, 60


@dataclasses.dataclass(frozen=True)
class Power:
    """`readings` of one reader detect `accuracy`; those of a plan detect `detectable` (one reader, all together).

    Exact two-sided test of a share against one half at the level 0.05, power 0.8. All together counts the readings
    as independent, which those of one image are not: it is the best that the plan could do.
    """

    accuracy: float
    readings: int
    n: int
    readers: int
    detectable: float | None
    detectable_together: float | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The same in words."""
        planned = f"{self.n} images"
        every = f"{self.readers} readers, {self.n * self.readers} readings"
        return (
            f"an accuracy of {self.accuracy:.0%} is told from chance by {self.readings} readings of one reader"
            f" (power {POWER:.0%}, two-sided level {LEVEL:.0%})",
            f"one reader with {planned} shows {_from(self.detectable)}",
            f"{every}: {_from(self.detectable_together)} at best, if readings of one image were independent",
        )


def plan(accuracy: float, *, n: int, readers: int) -> Power:
    """What it takes to detect `accuracy`, and what `n` images read by `readers` detect."""
    if not CHANCE < accuracy < 1:
        raise ConfigError(f"--power: {accuracy:g} is not an accuracy between 0.5 and 1")
    return Power(
        accuracy=accuracy,
        readings=readings(accuracy),
        n=n,
        readers=readers,
        detectable=detectable(n),
        detectable_together=detectable(n * readers),
    )


def power(n: int, accuracy: float) -> float:
    """The chance that the exact two-sided test on `n` readings rejects one half where the truth is `accuracy`."""
    least = int(binom.isf(LEVEL / 2, n, CHANCE)) + 1  # P(X >= least) <= LEVEL / 2
    return float(binom.sf(least - 1, n, accuracy) + binom.cdf(n - least, n, accuracy))


def readings(accuracy: float) -> int:
    """The fewest readings from which on the power is reached; it goes up in teeth, so the next ones are looked at too.

    Raises ConfigError where they are more than anyone reads.
    """
    last_short = 0
    for n in range(5, _MOST):
        if power(n, accuracy) < POWER:
            last_short = n
        elif n - last_short > _LONGER:
            return last_short + 1
    raise ConfigError(f"--power: {accuracy:g} is too near to chance, more than {_MOST:,} readings would be needed")


def detectable(n: int) -> float | None:
    """The least accuracy, in whole hundredths, that `n` readings detect; None where they are too few for any."""
    return next((at / 100 for at in range(51, 100) if power(n, at / 100) >= POWER), None)


def _from(accuracy: float | None) -> str:
    return "nothing short of perfection" if accuracy is None else f"an accuracy of {accuracy:.0%} or more"

"""Estimates, before a dataset is generated, how many candidates it takes and how long.

A short measurement on this machine gives the time of a block of candidates. The number of generator runs per image is
the one that `synthcxr distill` stored with the model, or else that of the measured candidates. Where too few of them
were accepted, a proposal network predicts it.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from synthcxr.data.share_interval import wilson_interval
from synthcxr.storage.progress import format_duration
from synthcxr.synthesis.forecast import Quota
from synthcxr.synthesis.sampling.strategy import SamplingStrategy

MEASURED_S = 1.0
"""How long candidates are drawn for the measurement, at least."""
MAX_MEASURED_QUOTAS = 4
MIN_ACCEPTED = 10
"""With fewer accepted candidates, the prediction of a proposal network replaces the measured rate."""
_SLOW_BLOCK_S = 5.0
"""A first block that takes longer is the only one that is measured."""


@dataclasses.dataclass(frozen=True)
class WorkEstimate:
    """The expected number of images and candidates, and the expected seconds, which include no start-up.

    `candidates_range` comes from the 95 % intervals of the acceptance rates; it is None unless each rate was measured.
    `n_measured` candidates were drawn and `n_accepted` accepted; `measured_s` is the time of those that were timed.
    `uses_stored_rates` is set if numbers that are stored with the model were used, and `uses_predicted_rates` if those
    of a proposal network were; otherwise the measured acceptance rate was. If `is_bound`, no measured candidate of some
    request was accepted: the numbers are then those for its largest number of candidates.
    """

    n_images: int
    n_candidates: int
    candidates_range: tuple[int, int] | None
    wall_s: float
    n_measured: int
    n_accepted: int
    measured_s: float
    uses_stored_rates: bool
    uses_predicted_rates: bool
    is_bound: bool

    def describe(self) -> str:
        """The line that `generate --dry-run` prints."""
        if not self.n_measured:
            return "expected: no image is missing"
        rates = "the measured acceptance rate"
        if self.uses_stored_rates:
            rates = "the acceptance rate that is stored with the model"
        elif self.uses_predicted_rates:
            rates = "the acceptance rate that the proposal network predicts"
        at_most = "at most" if self.is_bound else "about"
        duration, candidates = _format_seconds(self.wall_s), f"{self.n_candidates:,}"
        if self.candidates_range and self._seconds_range:
            durations = [_format_seconds(seconds) for seconds in self._seconds_range]
            duration += f" ({' to '.join(durations)})" if durations[0] != durations[1] else ""
            low, high = self.candidates_range
            candidates += f" ({low:,} to {high:,})" if low < high else ""
        amount = f"{at_most} {duration} for {at_most} {candidates} candidates"
        measured = f"{self.n_accepted:,} of {self.n_measured:,} candidates were accepted in a short measurement"
        return f"expected: {amount} on this machine, plus seconds to start and end ({measured}; uses {rates})"

    @property
    def _seconds_range(self) -> tuple[float, float] | None:
        if self.candidates_range is None or not self.n_candidates:
            return None
        low, high = (n * self.wall_s / self.n_candidates for n in self.candidates_range)
        return low, high

    def as_dict(self) -> dict[str, Any]:
        """The object `estimate` of `--json`."""
        return {
            "images": self.n_images,
            "candidates": self.n_candidates,
            "candidates_range": self.candidates_range and list(self.candidates_range),
            "seconds": round(self.wall_s, 1),
            "seconds_range": self._seconds_range and [round(seconds, 1) for seconds in self._seconds_range],
            "measured_candidates": self.n_measured,
            "measured_accepted": self.n_accepted,
            "measured_seconds": round(self.measured_s, 3),
            "stored_rates": self.uses_stored_rates,
            "predicted_rates": self.uses_predicted_rates,
            "upper_bound": self.is_bound,
        }


@dataclasses.dataclass(frozen=True)
class _Measurement:
    """Blocks of candidates that were drawn. `timed_s` is the time of `n_timed_blocks` of them."""

    n_blocks: int
    n_candidates: int
    n_accepted: int
    n_runs: int
    n_timed_blocks: int
    timed_s: float

    @property
    def acceptance(self) -> float:
        return self.n_accepted / self.n_candidates

    @property
    def acceptance_interval(self) -> tuple[float, float]:
        return wilson_interval(self.n_accepted, self.n_candidates)


def estimate_work(
    quotas: Sequence[Quota],
    strategy: SamplingStrategy,
    *,
    seed: int,
    stored_runs: Mapping[str, float],
    clock: Callable[[], float] = time.perf_counter,
) -> WorkEstimate:
    """Estimate the work of all quotas, from the first candidates of some of them.

    `stored_runs` has the generator runs per image of requests for one finding. The time to write images is left out:
    they are written while the next ones are generated.
    """
    open_quotas = [quota for quota in quotas if quota.n and len(quota.candidates)]
    if not open_quotas:
        return WorkEstimate(
            0, 0, None, 0.0, 0, 0, 0.0, uses_stored_rates=False, uses_predicted_rates=False, is_bound=False
        )
    chosen = np.unique(np.linspace(0, len(open_quotas) - 1, MAX_MEASURED_QUOTAS).round().astype(int))
    measured = {
        int(k): _measure(open_quotas[k], strategy, seed=seed, seconds=MEASURED_S / len(chosen), clock=clock)
        for k in chosen
    }
    total = _add_up(list(measured.values()))
    size = strategy.sampler.batch_size
    runs_per_candidate = total.n_runs / (total.n_blocks * size)

    n_images, n_candidates, n_blocks, lowest, highest = 0, 0, 0, 0, 0
    uses_stored_rates = uses_predicted_rates = is_bound = False
    has_range = len(measured) == len(open_quotas)
    for k, quota in enumerate(open_quotas):
        stored, source = _find_stored_runs(quota, stored_runs), measured.get(k, total)
        if stored is not None:
            share, uses_stored_rates = min(1.0, runs_per_candidate / stored), True
        elif source.n_accepted < MIN_ACCEPTED and (predicted := strategy.predict_rate(quota.condition)):
            share, uses_predicted_rates = predicted, True
        else:
            share = source.acceptance
        n_drawn = _count_candidates(quota, share)
        n_candidates += n_drawn
        n_blocks += math.ceil(n_drawn / size)
        n_images += min(quota.n, math.floor(n_drawn * share))
        is_bound |= not share
        low, high = (1.0, 1.0) if quota.condition.is_unconditional else source.acceptance_interval
        lowest += _count_candidates(quota, high)
        highest += _count_candidates(quota, low)
    has_range &= not (uses_stored_rates or uses_predicted_rates or is_bound)
    return WorkEstimate(
        n_images=n_images,
        n_candidates=n_candidates,
        candidates_range=(lowest, highest) if has_range else None,
        wall_s=n_blocks * total.timed_s / total.n_timed_blocks,
        n_measured=total.n_candidates,
        n_accepted=total.n_accepted,
        measured_s=total.timed_s,
        uses_stored_rates=uses_stored_rates,
        uses_predicted_rates=uses_predicted_rates,
        is_bound=is_bound,
    )


def _format_seconds(seconds: float) -> str:
    return format_duration(max(seconds, 1))


def _count_candidates(quota: Quota, share: float) -> int:
    """How many candidates the images take if this share of candidates is accepted."""
    needed = math.ceil(quota.n / share) if share else len(quota.candidates)
    return min(needed, len(quota.candidates))


def _measure(
    quota: Quota, strategy: SamplingStrategy, *, seed: int, seconds: float, clock: Callable[[], float]
) -> _Measurement:
    """Draw the first candidates of a quota for some seconds, whole blocks.

    The first block is slower, because it warms the sessions up and fits the guide of a request, so it is timed only if
    it is the only one.
    """
    candidates, size = quota.candidates, strategy.sampler.batch_size
    n_accepted, n_runs, times_s = 0, 0, list[float]()
    start = stop = candidates.start
    while stop < candidates.stop and (len(times_s) < 2 or sum(times_s) < seconds):
        begin, stop = stop, min(stop - stop % size + size, candidates.stop)
        started = clock()
        blocks = list(strategy.draw(quota.condition, seed=seed, start=begin, stop=stop))
        times_s.append(clock() - started)
        n_accepted += sum(len(block.indices) for block in blocks)
        n_runs += sum(block.generator_runs for block in blocks)
        if times_s[0] > _SLOW_BLOCK_S:
            break
    timed_s = times_s[1:] or times_s
    return _Measurement(
        n_blocks=len(times_s),
        n_candidates=stop - start,
        n_accepted=n_accepted,
        n_runs=n_runs,
        n_timed_blocks=len(timed_s),
        timed_s=sum(timed_s),
    )


def _add_up(measurements: Sequence[_Measurement]) -> _Measurement:
    columns = zip(*(dataclasses.astuple(row) for row in measurements), strict=True)
    return _Measurement(*(sum(column) for column in columns))


def _find_stored_runs(quota: Quota, stored_runs: Mapping[str, float]) -> float | None:
    """The stored generator runs per image of a request for one finding alone; None if it is not stored."""
    condition = quota.condition
    if len(condition.findings) != 1 or condition.without:
        return None
    return stored_runs.get(condition.findings[0])

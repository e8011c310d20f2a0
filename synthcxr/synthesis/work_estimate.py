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

    `candidates_range` comes from the 95 % intervals of measured acceptance rates; stored and predicted rates have none.
    `n_measured` candidates were drawn and `n_accepted` accepted; `measured_s` is the time of those that were timed.
    `uses_stored_rates` is set if numbers that are stored with the model were used, and `uses_predicted_rates` if those
    of a proposal network were; otherwise the measured acceptance rate was. If `is_bound`, no measured candidate of some
    request was accepted: the numbers are then those for its largest number of candidates.
    """

    n_images: int
    n_candidates: int
    candidates_range: tuple[int, int]
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
        rates = "measured acceptance rate"
        if self.uses_stored_rates:
            rates = "acceptance rates stored with the model"
        elif self.uses_predicted_rates:
            rates = "acceptance rate predicted by the proposal network"
        at_most = "at most" if self.is_bound else "about"
        time, candidates = format_duration(max(self.wall_s, 1)), f"{self.n_candidates:,}"
        lowest, highest = self.candidates_range
        if lowest < highest:
            low_s, high_s = (format_duration(max(seconds, 1)) for seconds in self._seconds_range)
            time, candidates = f"{time} ({low_s} to {high_s})", f"{candidates} ({lowest:,} to {highest:,})"
        measured = f"{self.n_measured:,} candidates measured, {self.n_accepted:,} of them accepted"
        return f"expected: {at_most} {time} for {at_most} {candidates} candidates on this machine ({measured}; {rates})"

    @property
    def _seconds_range(self) -> tuple[float, float]:
        low, high = (n * self.wall_s / max(self.n_candidates, 1) for n in self.candidates_range)
        return low, high

    def as_dict(self) -> dict[str, Any]:
        """The object `estimate` of `--json`."""
        return {
            "images": self.n_images,
            "candidates": self.n_candidates,
            "candidates_range": list(self.candidates_range),
            "seconds": round(self.wall_s, 1),
            "seconds_range": [round(seconds, 1) for seconds in self._seconds_range],
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
        """Its 95 % interval. Where all are accepted, nothing was requested that a candidate could lack."""
        if self.n_accepted == self.n_candidates:
            return 1.0, 1.0
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
            0, 0, (0, 0), 0.0, 0, 0, 0.0, uses_stored_rates=False, uses_predicted_rates=False, is_bound=False
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
    for k, quota in enumerate(open_quotas):
        stored = _find_stored_runs(quota, stored_runs)
        if stored is not None:
            share = min(1.0, runs_per_candidate / stored)
            shares = (share, share)
        else:
            source = measured.get(k, total)
            share, shares = source.acceptance, source.acceptance_interval
            if source.n_accepted < MIN_ACCEPTED and (predicted := strategy.predict_rate(quota.condition)):
                share, shares, uses_predicted_rates = predicted, (predicted, predicted), True
        n_drawn = _count_candidates(quota, share)
        n_candidates += n_drawn
        highest, lowest = highest + _count_candidates(quota, shares[0]), lowest + _count_candidates(quota, shares[1])
        n_blocks += math.ceil(n_drawn / size)
        n_images += min(quota.n, math.floor(n_drawn * share))
        uses_stored_rates |= stored is not None
        is_bound |= not share
    return WorkEstimate(
        n_images=n_images,
        n_candidates=n_candidates,
        candidates_range=(n_candidates, n_candidates) if is_bound else (lowest, highest),
        wall_s=n_blocks * total.timed_s / total.n_timed_blocks,
        n_measured=total.n_candidates,
        n_accepted=total.n_accepted,
        measured_s=total.timed_s,
        uses_stored_rates=uses_stored_rates,
        uses_predicted_rates=uses_predicted_rates,
        is_bound=is_bound,
    )


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

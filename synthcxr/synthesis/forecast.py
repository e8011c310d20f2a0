"""Forecast, before a request for several label conditions starts, which of them will get too few images.

The first candidates of each condition are drawn until one is accepted, at most MAX_EXAMINED. None is drawn where the
proposal network predicts many more accepted candidates than needed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from synthcxr.data.findings import LABEL_SEPARATOR
from synthcxr.storage.progress import open_progress
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.synthesis.tasks import RunTasks, split_into_tasks

MAX_EXAMINED = 128
_PLENTY = 5
"""Predicted accepted candidates for each image; a condition with so many is not examined."""
_MAX_NAMED = 20


@dataclasses.dataclass(frozen=True)
class Quota:
    """`n` images that meet `condition`, from at most these `candidates`."""

    condition: LabelCondition
    n: int
    candidates: range


@dataclasses.dataclass(frozen=True)
class Forecast:
    """`n_accepted` of the first `n_examined` candidates of a quota meet its condition."""

    quota: Quota
    n_accepted: int
    n_examined: int

    @property
    def n_expected(self) -> int:
        """The expected number of images, at most that of the quota, rounded down."""
        expected = len(self.quota.candidates) * self.n_accepted / max(self.n_examined, 1)
        return min(self.quota.n, math.floor(expected))


def describe_forecast(
    quotas: Sequence[Quota], strategy: SamplingStrategy, run_tasks: RunTasks, *, seed: int, max_draws: int
) -> str:
    """The line that says which quotas of a request for `max_draws` candidates will get too few images."""
    short = list(_find_short_quotas(quotas, strategy, run_tasks, seed))
    if not short:
        return f"each of the {len(quotas)} sets of findings can probably be reached within --max-draws {max_draws}"
    names = [
        f"{LABEL_SEPARATOR.join(row.quota.condition.findings)} (about {row.n_expected} of {row.quota.n})"
        for row in short[:_MAX_NAMED]
    ]
    names += [f"{len(short) - _MAX_NAMED} more"] if len(short) > _MAX_NAMED else []
    return (
        f"warning: {len(short)} of {len(quotas)} sets of findings will probably get too few images from their share of"
        f" --max-draws {max_draws}: {', '.join(names)}; generating what can be reached"
    )


def _find_short_quotas(
    quotas: Sequence[Quota], strategy: SamplingStrategy, run_tasks: RunTasks, seed: int
) -> Iterator[Forecast]:
    with open_progress("estimate", total=len(quotas), unit="sets of findings") as progress:
        for quota in quotas:
            n_predicted = len(quota.candidates) * strategy.predict_rate(quota.condition)
            if n_predicted < _PLENTY * quota.n:
                forecast = _examine(quota, run_tasks, batch_size=strategy.sampler.batch_size, seed=seed)
                if forecast.n_expected < quota.n:
                    yield forecast
            progress.update()


def _examine(quota: Quota, run_tasks: RunTasks, *, batch_size: int, seed: int) -> Forecast:
    """Draw the first candidates, block by block, until at least one is accepted."""
    first = quota.candidates[:MAX_EXAMINED]
    n_accepted, n_examined = 0, 0
    for block in run_tasks(split_into_tasks(quota.condition, batch_size=batch_size, seed=seed, candidates=first)):
        n_accepted, n_examined = len(block.indices), block.stop - first.start
        if n_accepted:
            break
    return Forecast(quota, n_accepted, n_examined)

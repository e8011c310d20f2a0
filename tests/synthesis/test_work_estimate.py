"""The estimate of candidates and time before a dataset is generated."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from support.linear_models import write_linear_models

from synthcxr.data.share_interval import wilson_interval
from synthcxr.synthesis.forecast import Quota
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.synthesis.work_estimate import MAX_MEASURED_QUOTAS, MIN_ACCEPTED, WorkEstimate, estimate_work

BATCH = 8
SECONDS_PER_BLOCK = 0.25


@pytest.fixture(scope="module")
def strategy(tmp_path_factory: pytest.TempPathFactory) -> SamplingStrategy:
    models = write_linear_models(tmp_path_factory.mktemp("models"))
    return SamplingStrategy.open(models, method="reject", batch_size=BATCH, device="cpu")


def estimate(strategy: SamplingStrategy, *quotas: Quota, stored_runs: dict[str, float] | None = None) -> WorkEstimate:
    """The estimate on a machine that takes SECONDS_PER_BLOCK for each block."""
    ticks = itertools.count()
    return estimate_work(
        quotas, strategy, seed=1, stored_runs=stored_runs or {}, clock=lambda: next(ticks) * SECONDS_PER_BLOCK
    )


def test_images_without_a_request_take_one_candidate_each(strategy: SamplingStrategy) -> None:
    """The time is that of the blocks, the last of which is not full."""
    work = estimate(strategy, Quota(LabelCondition(), 100, range(100)))
    assert (work.n_candidates, work.n_images, work.is_bound, work.uses_stored_rates) == (100, 100, False, False)
    assert work.wall_s == pytest.approx(13 * SECONDS_PER_BLOCK)
    assert "about 3 s for about 100 candidates on this machine" in work.describe()


def test_a_stored_rate_replaces_the_measured_one(strategy: SamplingStrategy) -> None:
    """20 stored generator runs per image and 50 images are 1,000 candidates, whatever the measured candidates show."""
    quota = Quota(LabelCondition(("Edema",)), 50, range(10_000))
    work = estimate(strategy, quota, stored_runs={"Edema": 20.0, "Mass": 3.0})
    assert (work.n_candidates, work.n_images, work.uses_stored_rates) == (1000, 50, True)
    assert work.wall_s == pytest.approx(125 * SECONDS_PER_BLOCK)
    assert "the acceptance rate that is stored with the model" in work.describe()
    excluded = Quota(LabelCondition(("Edema",), ("Mass",)), 50, range(10_000))
    assert not estimate(strategy, excluded, stored_runs={"Edema": 20.0}).uses_stored_rates


def test_candidates_are_limited_by_the_request(strategy: SamplingStrategy) -> None:
    """The estimate never exceeds the candidates that the request allows, and says how many images they give."""
    quota = Quota(LabelCondition(("Edema",)), 50, range(400))
    work = estimate(strategy, quota, stored_runs={"Edema": 20.0})
    assert (work.n_candidates, work.n_images) == (400, 20)


def test_without_an_accepted_candidate_the_estimate_is_an_upper_bound(strategy: SamplingStrategy) -> None:
    """The linear models never show Hernia: the estimate is that of all candidates."""
    work = estimate(strategy, Quota(LabelCondition(("Hernia",)), 4, range(500)))
    assert (work.n_accepted, work.n_candidates, work.n_images, work.is_bound) == (0, 500, 0, True)
    assert "at most" in work.describe()


def test_a_measured_rate_has_an_interval(strategy: SamplingStrategy) -> None:
    """The range comes from Wilson's interval of the accepted share, up to the largest number of candidates."""
    quota = Quota(LabelCondition(("Mass",)), 200, range(100_000))
    work = estimate(strategy, quota)
    assert MIN_ACCEPTED <= work.n_accepted < work.n_measured
    low, high = wilson_interval(work.n_accepted, work.n_measured)
    assert work.candidates_range == (math.ceil(200 / high), math.ceil(200 / low))
    assert work.candidates_range[0] < work.n_candidates < work.candidates_range[1]
    row = work.as_dict()
    assert row["seconds_range"][0] < row["seconds"] < row["seconds_range"][1]
    text = f"({work.candidates_range[0]:,} to {work.candidates_range[1]:,}) candidates on this machine"
    assert text in work.describe()
    few = dataclasses.replace(quota, candidates=range(work.n_candidates))
    assert estimate(strategy, few).candidates_range == (work.candidates_range[0], work.n_candidates)


def test_without_a_request_the_number_of_candidates_is_exact(strategy: SamplingStrategy) -> None:
    """Every candidate is accepted, whatever the number that was measured."""
    work = estimate(strategy, Quota(LabelCondition(), 100, range(100)))
    assert work.candidates_range == (100, 100)
    assert " to " not in work.describe().partition(" on this machine")[0]


def test_a_range_needs_a_measured_rate_of_every_set(strategy: SamplingStrategy) -> None:
    """Stored rates have no interval, nor has an upper bound; of many sets, only some are measured."""
    mass = Quota(LabelCondition(("Mass",)), 200, range(100_000))
    works = [
        estimate(strategy, mass, stored_runs={"Mass": 20.0}),
        estimate(strategy, Quota(LabelCondition(("Hernia",)), 4, range(500))),
        estimate(strategy, *[mass] * (MAX_MEASURED_QUOTAS + 1)),
    ]
    for work in works:
        row = work.as_dict()
        assert (work.candidates_range, row["candidates_range"], row["seconds_range"]) == (None, None, None)
        assert " to " not in work.describe().partition(" on this machine")[0]
    assert estimate(strategy, *[mass] * MAX_MEASURED_QUOTAS).candidates_range is not None


def test_several_sets_add_up_and_finished_ones_do_not_count(strategy: SamplingStrategy) -> None:
    """Sets with nothing missing are left out; without any, nothing is measured."""
    finished = Quota(LabelCondition(("Mass",)), 0, range(500))
    both = [Quota(LabelCondition((finding,)), 10, range(1000)) for finding in ("Edema", "Effusion")]
    stored = {"Edema": 4.0, "Effusion": 8.0}
    assert estimate(strategy, *both, finished, stored_runs=stored).n_candidates == 120
    assert estimate(strategy, finished).describe() == "expected: no image is missing"

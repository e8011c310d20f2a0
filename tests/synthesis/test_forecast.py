"""The forecast of a request for several label conditions: which of them get too few images, at a small cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from support.linear_models import write_linear_models

from synthcxr.synthesis import forecast
from synthcxr.synthesis.forecast import MAX_EXAMINED, Quota, describe_forecast
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.rejection import ImageBatch
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.synthesis.tasks import Task, make_worker

PART = 2**32


@pytest.fixture(scope="module")
def strategy(tmp_path_factory: pytest.TempPathFactory) -> SamplingStrategy:
    """Linear models in which no image shows Hernia."""
    folder = write_linear_models(tmp_path_factory.mktemp("models"))
    return SamplingStrategy.open(folder, method="reject", batch_size=16, device="cpu")


def describe(strategy: SamplingStrategy, *quotas: tuple[str, int, int]) -> tuple[str, int]:
    """The line for quotas (finding, images, candidates), and the number of candidates that were examined."""
    draw_task, blocks = make_worker(strategy), list[ImageBatch]()

    def run_tasks(tasks: Iterable[Task]) -> Iterator[ImageBatch]:
        for task in tasks:
            for block in draw_task(task):
                blocks.append(block)
                yield block

    listed = [
        Quota(LabelCondition.from_names([name]), n, range(k * PART, k * PART + n_candidates))
        for k, (name, n, n_candidates) in enumerate(quotas)
    ]
    line = describe_forecast(listed, strategy, run_tasks, seed=1, max_draws=5000)
    return line, 16 * len(blocks)


def test_a_condition_that_is_never_met_is_named(strategy: SamplingStrategy) -> None:
    """No more than MAX_EXAMINED candidates are examined for it, and one block for a frequent one."""
    line, n_examined = describe(strategy, ("Edema", 5, 500), ("Hernia", 5, 500))
    assert line.startswith("warning: 1 of 2 sets of findings will probably get too few images")
    assert "--max-draws 5000: Hernia (about 0 of 5);" in line
    assert n_examined == 16 + MAX_EXAMINED


def test_a_share_that_is_too_small_is_named(strategy: SamplingStrategy) -> None:
    """A frequent finding is named if its candidates are too few, with the number of images to expect."""
    line, _ = describe(strategy, ("Edema", 100, 20))
    accepted = sum(
        len(block.indices) for block in strategy.draw(LabelCondition.from_names(["Edema"]), seed=1, start=0, stop=16)
    )
    assert 0 < accepted < 16 and f"Edema (about {20 * accepted // 16} of 100)" in line


def test_nothing_is_named_if_all_can_be_reached(strategy: SamplingStrategy) -> None:
    """The line then says so."""
    line, n_examined = describe(strategy, ("Edema", 5, 500), ("Effusion", 5, 500))
    assert line == "each of the 2 sets of findings can probably be reached within --max-draws 5000"
    assert n_examined == 32


def test_a_long_list_is_cut(strategy: SamplingStrategy, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most _MAX_NAMED conditions are named, and the rest counted."""
    monkeypatch.setattr(forecast, "_MAX_NAMED", 2)
    line, _ = describe(strategy, *[("Hernia", n, 16) for n in (1, 2, 3)])
    assert "Hernia (about 0 of 1), Hernia (about 0 of 2), 1 more;" in line

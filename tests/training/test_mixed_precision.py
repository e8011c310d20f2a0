"""The choice between fp32 and bf16: it depends on the step time, is stored, and gives up on slow bf16 early."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_gan import CONFIG

from synthcxr.config.schema import GanConfig
from synthcxr.training import mixed_precision

AUTO = dataclasses.replace(CONFIG, precision="auto")


class SimulatedSteps:
    """Steps that take the given seconds on a simulated clock; the first of each kind takes `warm_up_s` longer."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, fp32_s: float, bf16_s: float, warm_up_s: float = 0.0
    ) -> None:
        self.step_s, self.warm_up_s, self.now_s = {False: fp32_s, True: bf16_s}, warm_up_s, 0.0
        self.n_steps = {False: 0, True: 0}
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)

    def create_step(self, bf16: bool) -> Callable[[int], None]:
        def run_step(index: int) -> None:
            self.now_s += self.step_s[bf16] + (0.0 if self.n_steps[bf16] else self.warm_up_s)
            self.n_steps[bf16] += 1

        return run_step

    def choose_bf16(self, config: GanConfig, folder: Path) -> bool:
        return mixed_precision.choose_bf16(config, folder, self.create_step, lambda line: None)


@pytest.mark.parametrize(("fp32_s", "bf16_s", "expected"), [(1.0, 0.5, True), (1.0, 0.95, False), (1.0, 2.0, False)])
def test_bf16_is_chosen_if_it_is_clearly_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp32_s: float, bf16_s: float, expected: bool
) -> None:
    """The first step of each kind is a warm-up and does not count."""
    steps = SimulatedSteps(monkeypatch, fp32_s=fp32_s, bf16_s=bf16_s, warm_up_s=9.0)
    assert steps.choose_bf16(AUTO, tmp_path) is expected
    assert steps.n_steps == {False: 4, True: 4}


def test_bf16_without_hardware_support_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first bf16 step takes more than four times as long, no further step is timed."""
    steps = SimulatedSteps(monkeypatch, fp32_s=3.0, bf16_s=36.0)
    assert steps.choose_bf16(AUTO, tmp_path) is False
    assert steps.n_steps == {False: 1, True: 1}


def test_the_choice_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run uses the stored choice, whatever is faster then, because the bits depend on it."""
    assert SimulatedSteps(monkeypatch, fp32_s=1.0, bf16_s=0.5).choose_bf16(AUTO, tmp_path) is True
    resumed = SimulatedSteps(monkeypatch, fp32_s=1.0, bf16_s=5.0)
    assert resumed.choose_bf16(AUTO, tmp_path) is True
    assert resumed.n_steps == {False: 0, True: 0}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_explicit_precision_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """`precision: fp32` and `precision: bf16` run no timing steps."""
    steps = SimulatedSteps(monkeypatch, fp32_s=1.0, bf16_s=1.0)
    assert steps.choose_bf16(dataclasses.replace(CONFIG, precision=precision), tmp_path) is (precision == "bf16")
    assert steps.n_steps == {False: 0, True: 0}

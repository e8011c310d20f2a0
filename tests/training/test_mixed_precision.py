"""The choice between fp32 and bf16: by the quicker step, kept, and not waited for where bf16 has no hardware."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_gan import CONFIG

from synthcxr.config.schema import GanConfig
from synthcxr.training import mixed_precision

AUTO = dataclasses.replace(CONFIG, precision="auto")


class Machine:
    """Steps that take the seconds given, on a clock of its own; the first of each kind takes longer by `warm_up`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fp32: float, bf16: float, warm_up: float = 0.0) -> None:
        self.seconds, self.warm_up, self.now = {False: fp32, True: bf16}, warm_up, 0.0
        self.n_taken = {False: 0, True: 0}
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def ready(self, bf16: bool) -> Callable[[int], None]:
        def take(index: int) -> None:
            self.now += self.seconds[bf16] + (0.0 if self.n_taken[bf16] else self.warm_up)
            self.n_taken[bf16] += 1

        return take

    def chosen(self, config: GanConfig, folder: Path) -> bool:
        return mixed_precision.choose(config, folder, self.ready, lambda line: None)


@pytest.mark.parametrize(("fp32", "bf16", "expected"), [(1.0, 0.5, True), (1.0, 0.95, False), (1.0, 2.0, False)])
def test_the_quicker_is_taken_if_it_is_clearly_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, expected: bool
) -> None:
    """The first step of each, which warms up, does not count."""
    machine = Machine(monkeypatch, fp32=fp32, bf16=bf16, warm_up=9.0)
    assert machine.chosen(AUTO, tmp_path) is expected
    assert machine.n_taken == {False: 4, True: 4}


def test_bf16_without_hardware_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, fp32=3.0, bf16=36.0)
    assert machine.chosen(AUTO, tmp_path) is False
    assert machine.n_taken == {False: 1, True: 1}


def test_a_choice_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits depend on it: another run in the same folder goes on with it, whatever is quicker by then."""
    assert Machine(monkeypatch, fp32=1.0, bf16=0.5).chosen(AUTO, tmp_path) is True
    later = Machine(monkeypatch, fp32=1.0, bf16=5.0)
    assert later.chosen(AUTO, tmp_path) is True
    assert later.n_taken == {False: 0, True: 0}


@pytest.mark.parametrize("named", ["fp32", "bf16"])
def test_a_precision_named_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    machine = Machine(monkeypatch, fp32=1.0, bf16=1.0)
    config = dataclasses.replace(CONFIG, precision=named)
    assert machine.chosen(config, tmp_path) is (named == "bf16")
    assert machine.n_taken == {False: 0, True: 0}

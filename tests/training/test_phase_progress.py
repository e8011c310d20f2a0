"""The progress of a training names its resolution, and counts the images of that resolution alone."""

from __future__ import annotations

import pytest

from synthcxr.storage import progress
from synthcxr.training.phase_progress import PhaseProgress
from synthcxr.training.schedule import Phase

PHASES = (Phase(4, 0, 40, 0, 8), Phase(8, 40, 100, 20, 8))


@pytest.fixture(autouse=True)
def write_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update writes a line."""
    monkeypatch.setattr(progress, "FIRST_S", 0.0)
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    monkeypatch.setattr(progress, "_MIN_RATE_S", 1e9)


def test_each_resolution_is_counted_on_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The last image of a resolution ends its lines; the next starts from zero."""
    with PhaseProgress.open(PHASES, 0, enabled=True) as phase_progress:
        for n in (24, 16, 10, 30):
            phase_progress.update(n)
    assert capsys.readouterr().err.splitlines() == [
        "train-gan at 4 px, resolution 1 of 2: 24 of 40 images",
        "train-gan at 8 px, resolution 2 of 2: 10 of 60 images",
        "train-gan at 8 px, resolution 2 of 2: 40 of 60 images",
    ]


def test_a_resumed_training_starts_within_its_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    """The images of earlier resolutions and runs are known."""
    with PhaseProgress.open(PHASES, 50, enabled=True) as phase_progress:
        phase_progress.update(20)
    assert capsys.readouterr().err == "train-gan at 8 px, resolution 2 of 2: 30 of 60 images\n"


def test_a_single_resolution_has_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    """A training that is complete starts, too."""
    with PhaseProgress.open(PHASES[:1], 0, enabled=True) as phase_progress:
        phase_progress.update(8)
    with PhaseProgress.open(PHASES, 100, enabled=True):
        pass
    assert capsys.readouterr().err == "train-gan at 4 px: 8 of 40 images\n"

"""The progress of a training names its resolution, and counts the images of that resolution alone."""

from __future__ import annotations

import pytest

from synthcxr.storage import progress
from synthcxr.training.phase_progress import PhaseProgress
from synthcxr.training.schedule import Phase

PHASES = (Phase(4, 0, 40, 0, 16), Phase(8, 40, 100, 20, 8))


@pytest.fixture(autouse=True)
def write_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update writes a line."""
    monkeypatch.setattr(progress, "FIRST_S", 0.0)
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    monkeypatch.setattr(progress, "_MIN_RATE_S", 1e9)


def test_images_are_counted_from_the_start_of_the_training(capsys: pytest.CaptureFixture[str]) -> None:
    """Each resolution counts up to its own end; a batch may cross it."""
    with PhaseProgress(PHASES, 0, enabled=True) as phase_progress:
        for nimg in (16, 32, 48, 56, 100):
            phase_progress.update_to(nimg)
    assert capsys.readouterr().err.splitlines() == [
        "train-gan at 4 px, resolution 1 of 2: 16 of 40 images",
        "train-gan at 4 px, resolution 1 of 2: 32 of 40 images",
        "train-gan at 8 px, resolution 2 of 2: 56 of 100 images",
    ]


def test_a_resumed_training_starts_within_its_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    """The images of earlier resolutions and runs are known; a training that is complete starts, too."""
    with PhaseProgress(PHASES, 50, enabled=True) as phase_progress:
        phase_progress.update_to(70)
    with PhaseProgress(PHASES, 100, enabled=True):
        pass
    assert capsys.readouterr().err == "train-gan at 8 px, resolution 2 of 2: 70 of 100 images\n"


def test_a_single_resolution_has_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    """An error within the block is not hidden."""
    with pytest.raises(ZeroDivisionError), PhaseProgress(PHASES[:1], 0, enabled=True) as phase_progress:
        phase_progress.update_to(8)
        raise ZeroDivisionError
    assert capsys.readouterr().err == "train-gan at 4 px: 8 of 40 images\n"


def test_other_ranks_write_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the first process of a training reports."""
    with PhaseProgress(PHASES, 0, enabled=False) as phase_progress:
        phase_progress.update_to(80)
    assert capsys.readouterr().err == ""

"""Progress of GAN training by resolution: the time left is that of one resolution, because the next take longer.

The images are counted from the start of the training, as in its log and in the names of its files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from synthcxr.storage.progress import Progress, open_progress
from synthcxr.training.schedule import Phase, find_phase


class PhaseProgress:
    """A context manager that counts the images up to the end of each phase in turn, from `nimg` on."""

    def __init__(self, phases: Sequence[Phase], nimg: int, *, enabled: bool) -> None:
        self._phases, self._nimg, self._enabled = phases, nimg, enabled
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open(find_phase(self._nimg, self._phases))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def update_to(self, nimg: int) -> None:
        """Count the images up to `nimg` as shown."""
        self._progress.update(nimg - self._nimg)
        self._nimg = nimg
        phase = find_phase(nimg, self._phases)
        if phase is not self._phase:
            self._opened.close()
            self._open(phase)

    def _open(self, phase: Phase) -> None:
        n = len(self._phases)
        place = f", resolution {self._phases.index(phase) + 1} of {n}" if n > 1 else ""
        self._phase = phase
        self._progress: Progress = self._opened.enter_context(
            open_progress(
                f"train-gan at {phase.resolution} px{place}",
                total=phase.end,
                unit="images",
                initial=self._nimg,
                enabled=self._enabled,
            )
        )

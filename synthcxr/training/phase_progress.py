"""Progress of a training by resolution: an image takes longer at each, so the time left is that of the current one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from synthcxr.storage.progress import Progress, open_progress
from synthcxr.training.schedule import Phase


class PhaseProgress:
    """Counts the images of each phase in turn."""

    def __init__(self, phases: Sequence[Phase], nimg: int, *, enabled: bool) -> None:
        self._phases, self._nimg, self._enabled = phases, nimg, enabled
        self._entered = contextlib.ExitStack()
        self._start_phase()

    @classmethod
    @contextlib.contextmanager
    def open(cls, phases: Sequence[Phase], nimg: int, *, enabled: bool) -> Iterator[PhaseProgress]:
        """Report the progress of these phases from `nimg` images on, until the block ends."""
        progress = cls(phases, nimg, enabled=enabled)
        try:
            yield progress
        finally:
            progress._entered.close()

    def update(self, n: int) -> None:
        """Count `n` more images as shown."""
        self._nimg += n
        self._progress.update(n)
        if self._phase.end <= self._nimg < self._phases[-1].end:
            self._entered.close()
            self._start_phase()

    def _start_phase(self) -> None:
        self._phase = next((phase for phase in self._phases if self._nimg < phase.end), self._phases[-1])
        place = f", resolution {self._phases.index(self._phase) + 1} of {len(self._phases)}"
        self._progress: Progress = self._entered.enter_context(
            open_progress(
                f"train-gan at {self._phase.resolution} px{place if len(self._phases) > 1 else ''}",
                total=self._phase.end - self._phase.start,
                unit="images",
                initial=self._nimg - self._phase.start,
                enabled=self._enabled,
            )
        )

"""A range of candidates to look at, and what a process elsewhere needs in order to do so.

Ranges are aligned to the blocks in which candidates are drawn, so that none depends on where another was drawn.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from synthcxr.errors import ArtifactError
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.runtime.onnx_session import CUDA
from synthcxr.synthesis.sampling.importance_guide import FILE
from synthcxr.synthesis.sampling.rejection import CLASSIFIER, GENERATOR, Drawn
from synthcxr.synthesis.sampling.strategy import JUDGE, Chooser, Gradient, Method

BLOCKS = 8
"""Batches of a range: enough that sending it costs little."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Candidates start .. stop - 1 of `seed`, for what is wanted."""

    wanted: Wanted
    seed: int
    start: int
    stop: int


def tasks(wanted: Wanted, *, batch: int, seed: int, span: range) -> Iterator[Task]:
    """The ranges of a span of candidates, each but the first from a whole block on."""
    size = BLOCKS * batch
    for at in range(span.start - span.start % size, span.stop, size):
        yield Task(wanted, seed, max(at, span.start), min(at + size, span.stop))


def by(chooser: Chooser) -> Callable[[Task], Iterator[Drawn]]:
    """What draws a range, block by block, with what the judge makes of it."""
    drawing = functools.cache(chooser.draw)

    def work(task: Task) -> Iterator[Drawn]:
        drawn = drawing(task.wanted)(seed=task.seed, start=task.start, stop=task.stop)
        return (chooser.judged(block) for block in drawn)

    return work


@dataclasses.dataclass(frozen=True)
class Kit:
    """The models' files and how to choose: all that a worker on another machine is sent. Calling it opens them."""

    files: Mapping[str, bytes]
    method: Method
    batch: int
    threads: int
    provider: str
    with_judge: bool
    gradient: Gradient

    @classmethod
    def of(cls, folder: Path, chooser: Chooser, gradient: Gradient) -> Kit:
        """What `chooser` was opened with."""
        judged = chooser.judge is not None
        names = [GENERATOR, CLASSIFIER, *([JUDGE] if judged else []), *([FILE] if chooser.proposal else [])]
        files = {name: (folder / name).read_bytes() for name in names}
        sampler = chooser.sampler
        threads, provider = sampler.generator.threads, sampler.generator.provider
        return cls(files, chooser.method, sampler.batch, threads, provider, judged, gradient)

    def __call__(self) -> Callable[[Task], Iterator[Drawn]]:
        """The work of one process; ArtifactError where it runs on another kind of device than the one that asks."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in self.files.items():
                (Path(folder) / name).write_bytes(data)
            chooser = Chooser.open(
                Path(folder),
                method=self.method,
                batch=self.batch,
                device="cuda" if self.provider == CUDA else "cpu",
                threads=self.threads,
                gradient=self.gradient,
                with_judge=self.with_judge,
            )
        if chooser.sampler.generator.provider != self.provider:
            raise ArtifactError(f"a worker runs on {chooser.sampler.generator.provider}, not on {self.provider}")
        return by(chooser)


Run = Callable[[Iterable[Task]], Iterator[Drawn]]
Engine = Callable[[Kit], AbstractContextManager[Run]]
"""Draws ranges elsewhere, with what a kit opens there."""

"""Tasks: ranges of candidates to draw, and the specification from which another process builds a worker for them.

Task boundaries are multiples of the batch size, so no image depends on which process draws it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from synthcxr.config.schema import ResolvedMethod
from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.leakage import REFERENCE_FILE
from synthcxr.errors import ArtifactError
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, GENERATOR_FILE, JUDGE_FILE, PROPOSAL_FILE
from synthcxr.storage import clean_up
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import CUDA
from synthcxr.synthesis.sampling.rejection import ImageBatch
from synthcxr.synthesis.sampling.strategy import SamplingStrategy

BATCHES_PER_TASK = 8
"""Enough that the cost of sending a task is small."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Draw candidates start .. stop - 1 of `seed` for a label condition."""

    condition: LabelCondition
    seed: int
    start: int
    stop: int


Worker = Callable[[Task], Iterator[ImageBatch]]
RunTasks = Callable[[Iterable[Task]], Iterator[ImageBatch]]


def split_into_tasks(condition: LabelCondition, *, batch_size: int, seed: int, candidates: range) -> Iterator[Task]:
    """Split a range of candidates into tasks; every task but the first starts at a block boundary."""
    size = BATCHES_PER_TASK * batch_size
    for start in range(candidates.start - candidates.start % size, candidates.stop, size):
        yield Task(condition, seed, max(start, candidates.start), min(start + size, candidates.stop))


def make_worker(strategy: SamplingStrategy) -> Worker:
    """Make a function that draws a task's images, block by block, with the judge's probabilities."""

    def draw_task(task: Task) -> Iterator[ImageBatch]:
        batches = strategy.draw(task.condition, seed=task.seed, start=task.start, stop=task.stop)
        return map(strategy.add_judge_probabilities, batches)

    return draw_task


@dataclasses.dataclass(frozen=True)
class WorkerSpec:
    """Model files and sampling settings: all that a process on another machine needs. Call it to make the worker."""

    files: Mapping[str, bytes]
    method: ResolvedMethod
    batch_size: int
    threads: int
    provider: str
    with_judge: bool
    attributes: AttributeRequest
    min_effective_share: float

    @classmethod
    def from_strategy(cls, folder: Path, strategy: SamplingStrategy) -> WorkerSpec:
        """The specification of a worker that samples as `strategy`, opened from `folder`, does."""
        names = [GENERATOR_FILE, CLASSIFIER_FILE]
        names += [JUDGE_FILE] if strategy.judge is not None else []
        names += [PROPOSAL_FILE] if strategy.proposal is not None else []
        names += [REFERENCE_FILE] if strategy.sampler.table is not None else []
        generator = strategy.sampler.generator
        return cls(
            files={name: (folder / name).read_bytes() for name in names},
            method=strategy.method,
            batch_size=strategy.sampler.batch_size,
            threads=generator.threads,
            provider=generator.provider,
            with_judge=strategy.judge is not None,
            attributes=strategy.attributes,
            min_effective_share=strategy.min_effective_share,
        )

    def __call__(self) -> Worker:
        """Open the models and make the worker; ArtifactError if this process cannot use the same execution provider."""
        with clean_up.temporary_folder("synthcxr-worker-") as folder:
            for name, content in self.files.items():
                (folder / name).write_bytes(content)
            strategy = SamplingStrategy.open(
                folder,
                method=self.method,
                batch_size=self.batch_size,
                device="cuda" if self.provider == CUDA else "cpu",
                threads=self.threads,
                with_judge=self.with_judge,
                attributes=self.attributes,
                min_effective_share=self.min_effective_share,
            )
        provider = strategy.sampler.generator.provider
        if provider != self.provider:
            raise ArtifactError(
                f"--engine ray: a worker runs on {provider}, this process on {self.provider}; use machines of one kind,"
                " or --device cpu"
            )
        return make_worker(strategy)


Engine = Callable[[WorkerSpec], AbstractContextManager[RunTasks]]
"""Opens workers elsewhere from a specification, and gives the function that runs tasks on them."""


def open_workers(strategy: SamplingStrategy, folder: Path, engine: Engine | None) -> AbstractContextManager[RunTasks]:
    """The function that draws tasks: in this process, block by block, or in the processes of an engine.

    `strategy` was opened from `folder`.
    """
    if engine is None:
        draw_task = make_worker(strategy)
        return nullcontext(lambda tasks: itertools.chain.from_iterable(map(draw_task, tasks)))
    return engine(WorkerSpec.from_strategy(folder, strategy))

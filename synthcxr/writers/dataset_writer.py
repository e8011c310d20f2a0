"""The way to write a dataset: `with DatasetWriter.open(...) as writer: writer.add(...); writer.commit(...)`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.synthetic_dataset import ImageRecord, read_image_records
from synthcxr.storage import output_lock, output_path, stop_signals, write_errors
from synthcxr.writers import disk_space, resume_plan, staging
from synthcxr.writers.background_writer import BackgroundWriter
from synthcxr.writers.formats.store import open_store
from synthcxr.writers.generation_request import METHODS_THAT_MOVE_LATENTS, GenerationRequest, Origin, RequestPart
from synthcxr.writers.journal import JOURNAL_FILE, Journal
from synthcxr.writers.resume_plan import ResumePlan
from synthcxr.writers.sidecars.latents_npy import read_latents
from synthcxr.writers.sidecars.write_all import write_sidecars

CheckOutcome = TypeVar("CheckOutcome")


@dataclasses.dataclass(frozen=True)
class OpenPart:
    """A part of a request that lacks `n_missing` images, and the candidates from which they may come."""

    part: RequestPart
    candidates: range
    n_missing: int


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What `DatasetWriter.open` would do: nothing if `finished_run`, the run.json of the dataset, is not None.

    Otherwise `n_present` images exist already and about `n_bytes` would be written.
    """

    finished_run: Mapping[str, Any] | None
    n_present: int
    n_bytes: int


class DatasetWriter:
    """Writes the dataset of a request to OUT, completely or not at all.

    It locks OUT, checks the disk space, resumes an interrupted run, extends a finished dataset, writes the images in
    the background and the sidecar files at the end, and only then replaces what was at OUT.

    `request` is the request with the number of threads that the existing images were generated with: the caller must
    use the same. `finished_run` is the run.json of a dataset that already fulfils the request; there is nothing to
    add or commit then. `open_parts` are the parts of the request that lack images.
    """

    def __init__(self, out: Path, request: GenerationRequest, origin: Origin, finished_run: Mapping[str, Any] | None):
        self.request, self.finished_run = request, finished_run
        self.open_parts: list[OpenPart] = []
        self._out, self._partial, self._origin = out, staging.partial_folder(out), origin
        store = open_store(request.format, self._partial, generator=request.models["generator"])
        self._images = BackgroundWriter(store, Journal(self._partial / JOURNAL_FILE))

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, out: Path, request: GenerationRequest, origin: Origin, *, append: bool = False, force: bool = False
    ) -> Iterator[DatasetWriter]:
        """Open the dataset at `out` for writing; see `generate` for `append` and `force`.

        Raises DataError if another process writes to `out`, if work of another command or other files would be lost,
        or if the disk is too small, and ConfigError if `out` is not writable. `out` is then as it was.
        """
        staging.read_finished_run(out)  # reports other files in `out` before its lock
        out_resolved = output_path.require_replaceable_folder(out)
        with output_lock.lock_output(out), write_errors.report_full_disk(out):
            is_recovered = staging.recover_interrupted_swap(out_resolved)
            plan = resume_plan.make_plan(out_resolved, request, append=append, force=force, is_recovered=is_recovered)
            writer = cls(out_resolved, dataclasses.replace(request, threads=plan.threads), origin, plan.finished_run)
            if plan.finished_run is not None:
                yield writer
                return
            disk_space.check_free_space(out_resolved, _estimate_bytes(plan, request, origin))
            try:
                with writer._images:
                    writer._resume(plan)
                    yield writer
            finally:
                staging.remove_empty_partial(out_resolved)

    @staticmethod
    def dry_run(
        out: Path, request: GenerationRequest, origin: Origin, *, append: bool = False, force: bool = False
    ) -> DryRun:
        """Say what `open` would do, with its errors for `out` and for the disk space, without writing anything."""
        out_resolved = output_path.require_replaceable_folder(out)
        plan = resume_plan.make_plan(out_resolved, request, append=append, force=force)
        n_bytes = _estimate_bytes(plan, request, origin)
        if plan.finished_run is None:
            disk_space.check_free_space(out_resolved, n_bytes)
        return DryRun(plan.finished_run, plan.n_present, n_bytes)

    @property
    def n_images(self) -> int:
        """The number of images that exist or were added."""
        return self._images.n_images

    def add(
        self,
        *,
        draws: int,
        pixels: NDArray[np.uint8],
        records: Sequence[ImageRecord],
        runs: int = 0,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Add the images uint8 [k, R, R] that were accepted from a block of candidates, in candidate order.

        `records` lack `file_name` and `sha256`. `draws` is the first candidate that has not been examined, and `runs`
        the number of images that the generator made for the block. `latents` float32 [k, Z] are given if they differ
        from those of the candidates. An error of an earlier block may be raised here.
        """
        self._images.add(draws=draws, pixels=pixels, records=records, runs=runs, latents=latents)

    def commit(self, check: Callable[[Path, Mapping[str, Any]], CheckOutcome]) -> tuple[dict[str, Any], CheckOutcome]:
        """Write the sidecar files, check the dataset, and move it to `out`; return run.json and the check's result.

        `check` gets the folder of the dataset and the content of run.json. If it raises, `out` stays as it was.
        """
        self._images.flush()
        self._images.close()
        run = write_sidecars(self._partial, self.request, self._origin)
        result = check(self._partial, run)
        with stop_signals.deferred():
            staging.swap_in(self._out)
        return run, result

    def _resume(self, plan: ResumePlan) -> None:
        """Take over the images of an interrupted run, and copy those of the dataset that is extended."""
        staging.open_partial(self._out, self.request.as_dict(), discard=plan.discard_partial)
        self._images.resume()
        if plan.source_run is not None:
            source_format, generator = plan.source_run["format"], self.request.models["generator"]
            source = open_store(source_format, self._out, generator=generator)
            counts = plan.source_run["counts"]
            self._images.copy(
                source,
                read_image_records(self._out),
                draws=counts["draws"],
                runs=counts.get("runs", 0),
                latents=read_latents(self._out) if self.request.method in METHODS_THAT_MOVE_LATENTS else None,
            )
        self.open_parts = list(self._list_open_parts())

    def _list_open_parts(self) -> Iterator[OpenPart]:
        """The parts that lack images, with the candidates that have not been drawn for them yet."""
        counts = self.request.count_found(record.index for record in self._images.journal.records())
        for position, part in enumerate(self.request.all_parts()):
            candidates, n_missing = self.request.candidates_for(position), part.n - counts[position]
            not_drawn = range(max(self._images.draws, candidates.start), candidates.stop)
            if n_missing and not_drawn:
                yield OpenPart(part, not_drawn, n_missing)


def _estimate_bytes(plan: ResumePlan, request: GenerationRequest, origin: Origin) -> int:
    resolution, latent = origin.generator.resolution, origin.generator.latent
    image_bytes = disk_space.estimate_image_bytes(request.format, resolution=resolution, latent=latent)
    return plan.count_images_to_write(request) * image_bytes

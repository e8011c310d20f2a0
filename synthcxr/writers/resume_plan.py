"""Decide what a request means for an output folder: nothing to do, resume, extend or start; nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.writers import staging
from synthcxr.writers.generation_request import GenerationRequest, match_requests
from synthcxr.writers.journal import JOURNAL_FILE, Journal


@dataclasses.dataclass(frozen=True)
class ResumePlan:
    """What to do.

    `finished_run` is the run.json of a dataset that already fulfils the request. Otherwise `source_run` is the
    run.json of the shorter dataset from which images are copied, `discard_partial` says that OUT.partial belongs to
    another command, and `n_present` images exist already. `threads` is the number of threads to work with: that of
    the images that exist.
    """

    threads: int
    finished_run: Mapping[str, Any] | None = None
    source_run: Mapping[str, Any] | None = None
    discard_partial: bool = False
    n_present: int = 0

    def count_images_to_write(self, request: GenerationRequest) -> int:
        """The number of images that have to be written, copies included."""
        return request.n if self.source_run is not None else request.n - self.n_present


def make_plan(out: Path, request: GenerationRequest, *, append: bool, force: bool) -> ResumePlan:
    """Plan for the folder `out`; DataError if work of another command would be lost."""
    run, partial_request = staging.read_finished_run(out), staging.read_partial_request(out)
    source_run, discard_partial, n_present, threads = None, partial_request is None, 0, request.threads
    if run is not None:
        existing, counts = GenerationRequest.from_run(run, out), run["counts"]
        match = match_requests(
            dataclasses.replace(request, threads=existing.threads),
            existing,
            n_images=counts["found"],
            draws=counts["draws"],
            unfinished=False,
            append=append,
        )
        if match.kind == "same" and not force:
            return ResumePlan(threads=existing.threads, finished_run=run, n_present=counts["found"])
        if match.kind == "other" and not force:
            raise DataError(f"{out}: {match.reason}, or choose another --out")
        if match.kind == "longer":
            source_run, n_present, threads = run, counts["found"], existing.threads
        staging.refuse_unknown_files(out)
    if partial_request is not None:
        partial = staging.partial_folder(out)
        n_images, draws = Journal(partial / JOURNAL_FILE).count_images_and_draws()
        existing = GenerationRequest.from_dict(partial_request, partial)
        match = match_requests(
            dataclasses.replace(request, threads=existing.threads if source_run is None else threads),
            existing,
            n_images=n_images,
            draws=draws,
            unfinished=True,
            append=append,
        )
        if match.kind == "other" and not force:
            raise DataError(f"{partial}: {match.reason}, or choose another --out")
        discard_partial = match.kind == "other"
        if not discard_partial:
            n_present, threads = max(n_present, n_images), existing.threads
    return ResumePlan(threads=threads, source_run=source_run, discard_partial=discard_partial, n_present=n_present)

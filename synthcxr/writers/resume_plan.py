"""Decide what a request means for an output folder: nothing to do, resume, extend or start; nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.data.run_schema import RunJson
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
    plan = ResumePlan(threads=request.threads, discard_partial=partial_request is None)
    if run is not None:
        plan = _plan_for_finished(plan, out, run, request, append=append, force=force)
        if plan.finished_run is not None:
            return plan
        staging.refuse_unknown_files(out)
    if partial_request is not None:
        plan = _plan_for_partial(plan, out, partial_request, request, append=append, force=force)
    return plan


def _plan_for_finished(
    plan: ResumePlan, out: Path, run: RunJson, request: GenerationRequest, *, append: bool, force: bool
) -> ResumePlan:
    """Use the finished dataset at `out`, extend it, or replace it with `force`."""
    existing, counts = GenerationRequest.from_run(run, out), run["counts"]
    n_images, draws = counts["found"], counts["draws"]
    same_threads = dataclasses.replace(request, threads=existing.threads)
    match = match_requests(same_threads, existing, n_images=n_images, draws=draws, unfinished=False, append=append)
    if match.kind == "other" and not force:
        raise DataError(f"{out}: {match.reason}, or choose another --out")
    if match.kind == "same" and not force:
        return dataclasses.replace(plan, threads=existing.threads, finished_run=run, n_present=n_images)
    if match.kind == "longer":
        return dataclasses.replace(plan, threads=existing.threads, source_run=run, n_present=n_images)
    return plan


def _plan_for_partial(
    plan: ResumePlan,
    out: Path,
    partial_request: Mapping[str, Any],
    request: GenerationRequest,
    *,
    append: bool,
    force: bool,
) -> ResumePlan:
    """Resume the unfinished dataset beside `out`, or discard it with `force`."""
    partial = staging.partial_folder(out)
    n_images, draws = Journal(partial / JOURNAL_FILE).count_images_and_draws()
    existing = GenerationRequest.from_dict(partial_request, partial)
    threads = existing.threads if plan.source_run is None else plan.threads
    match = match_requests(
        dataclasses.replace(request, threads=threads),
        existing,
        n_images=n_images,
        draws=draws,
        unfinished=True,
        append=append,
    )
    if match.kind != "other":
        n_present = max(plan.n_present, n_images)
        return dataclasses.replace(plan, threads=existing.threads, n_present=n_present, discard_partial=False)
    if not force:
        raise DataError(f"{partial}: {match.reason}, or choose another --out")
    return dataclasses.replace(plan, discard_partial=True)

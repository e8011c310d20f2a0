"""What there is to do about a dataset: nothing, go on, make it longer, or begin; decided before anything is touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.writers import generation_request, staging
from synthcxr.writers.generation_request import Request
from synthcxr.writers.journal import NAME, Journal


@dataclasses.dataclass(frozen=True)
class Plan:
    """`done`: the run.json of the dataset that is already what is wanted. Else `source`: the run.json of the shorter
    one to begin with, and `afresh`: what grows there belongs to another command. `n_held` images need not be made.

    `threads` is how many to work with: as many as what is gone on from was made with.
    """

    threads: int

    done: Mapping[str, Any] | None = None
    source: Mapping[str, Any] | None = None
    afresh: bool = False
    n_held: int = 0


def make(out: Path, wanted: Request, *, append: bool, force: bool) -> Plan:
    """The plan for `out`; DataError, with nothing touched, where another command's work would be lost."""
    run, grows = staging.finished(out), staging.begun(out)
    source, afresh, n_held, threads = None, grows is None, 0, wanted.threads
    if run is not None:
        held, counts = generation_request.of_run(run, out), run["counts"]
        asked = dataclasses.replace(wanted, threads=held.threads)
        found = generation_request.compare(
            asked, held, found=counts["found"], draws=counts["draws"], growing=False, append=append
        )
        if found.answer == "same" and not force:
            return Plan(threads=held.threads, done=run, n_held=counts["found"])
        if found.answer == "other" and not force:
            raise DataError(f"{out}: {found.why}, or choose another --out")
        if found.answer == "longer":
            source, n_held, threads = run, counts["found"], held.threads
        staging.refuse_strangers(out)
    if grows is not None:
        folder = staging.partial(out)
        n_made, draws = Journal(folder / NAME).totals()
        held = generation_request.of_dict(grows, folder)
        asked = dataclasses.replace(wanted, threads=held.threads if source is None else threads)
        found = generation_request.compare(asked, held, found=n_made, draws=draws, growing=True, append=append)
        if found.answer == "other" and not force:
            raise DataError(f"{folder}: {found.why}, or choose another --out")
        afresh = found.answer == "other"
        n_held, threads = (n_held, threads) if afresh else (max(n_held, n_made), held.threads)
    return Plan(threads=threads, source=source, afresh=afresh, n_held=n_held)

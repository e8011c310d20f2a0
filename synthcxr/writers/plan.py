"""What there is to do about a dataset: nothing, go on, make it longer, or begin; decided before anything is touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.errors import DataError
from synthcxr.writers import place, request
from synthcxr.writers.journal import NAME, Journal
from synthcxr.writers.request import Request


@dataclasses.dataclass(frozen=True)
class Plan:
    """`done`: the run.json of the dataset that is already what is wanted. Else `source`: the run.json of the shorter
    one to begin with, and `afresh`: what grows there belongs to another command. `n_held` images need not be made.
    """

    done: Mapping[str, Any] | None = None
    source: Mapping[str, Any] | None = None
    afresh: bool = False
    n_held: int = 0


def make(out: Path, wanted: Request, *, append: bool, force: bool) -> Plan:
    """The plan for `out`; DataError, with nothing touched, where another command's work would be lost."""
    run, grows = place.finished(out), place.begun(out)
    source, afresh, n_held = None, grows is None, 0
    if run is not None:
        held = request.of_run(run, out)
        found = request.compare(wanted, held, complete=run["complete"], growing=False, append=append)
        if found.answer == "same" and not force:
            return Plan(done=run, n_held=run["counts"]["found"])
        if found.answer == "other" and not force:
            raise DataError(f"{out}: {found.why}, or choose another --out")
        source = run if found.answer == "longer" else None
        n_held = run["counts"]["found"] if source else 0
        place.refuse_strangers(out)
    if grows is not None:
        held = request.of_dict(grows, place.partial(out))
        found = request.compare(wanted, held, complete=False, growing=True, append=append)
        if found.answer == "other" and not force:
            raise DataError(f"{place.partial(out)}: {found.why}, or choose another --out")
        afresh = found.answer == "other"
    if not afresh:
        n_held = max(n_held, sum(1 for _ in Journal(place.partial(out) / NAME).records()))
    return Plan(source=source, afresh=afresh, n_held=n_held)

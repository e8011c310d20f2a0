"""What a dataset's run.json says, in words for the one who made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synthcxr.writers.generation_request import WINDOW, Part, Request

_NAMED = 3


def asked(request: Request) -> str:
    """ " with Edema and Effusion without Mass", or nothing."""
    words = request.asked
    if not words:
        return ""
    return f" {words}" if words.startswith("without") else f" with {words}"


def made(out: Path, run: Mapping[str, Any], request: Request) -> str:
    """How many images of what there are."""
    return f"{out}: {run['counts']['found']} images of {run['model']['resolution']} px{asked(request)}"


def drawn(run: Mapping[str, Any]) -> str:
    """What it took."""
    counts = run["counts"]
    if run["request"].get("parts") or run["request"].get("method"):
        return f"{counts['runs'] / max(counts['found'], 1):.1f} generator runs an image"
    return f"{counts['draws']} candidates drawn, {counts['acceptance_rate']:.2%} accepted"


def short(what: str, run: Mapping[str, Any], request: Request, indices: Iterable[int]) -> str:
    """What to say where the draws ran out. `indices` are the candidates of the images that were found."""
    then = "a larger max_draws goes on from there"
    if request.parts:
        lacking = list(_lacking(request.parts, Counter(int(index) // WINDOW for index in indices)))
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        then = f"short of {', '.join(lacking[:_NAMED])}{more}: --force with a larger max_draws makes it again"
    return f"{what}, of {run['counts']['requested']} asked for: {drawn(run)}; the shorter set is in place, and {then}"


def warnings(run: Mapping[str, Any], request: Request) -> Iterator[str]:
    """What one should know before using it."""
    named = {name for part in request.parts for name in part.labels} | {*request.labels}
    if weak := sorted({*run["model"]["weak"]} & named):
        yield f"weak label: the threshold of {' and '.join(weak)} rests on fewer than 3 val positives"
    if run["model"]["phantom"]:
        yield "made from drawn phantoms: these images prove the pipeline, never realism"


def _lacking(parts: Iterable[Part], found: Mapping[int, int]) -> Iterator[str]:
    for at, part in enumerate(parts):
        if found.get(at, 0) < part.n:
            yield f"{'|'.join(part.labels)} ({found.get(at, 0)} of {part.n})"

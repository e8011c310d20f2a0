"""Whether the dataset that stands or grows in a place is the one that a command makes, or a beginning of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import DataError
from synthcxr.writers.formats.store import Format

Method = Literal["reject", "guided", "optimise"]
WINDOW = 2**32
"""Where a request has several parts, part k draws the candidates from k times this on."""
_APART = "kept apart from films"


@dataclasses.dataclass(frozen=True)
class Part:
    """`n` images of one set of findings: all of `labels` and none of `without`."""

    labels: tuple[str, ...]
    without: tuple[str, ...]
    n: int


@dataclasses.dataclass(frozen=True)
class Request:
    """All that decides a dataset's bytes. `models` are digests by kind; `pins` the provider and package versions.

    `threads` is how many work on one image: a dataset that is begun goes on with the number it was begun with.
    `apart` is the fingerprint of the films whose copies are left out, or empty. `method` is how candidates are
    chosen. `without` are the findings left out; `parts` are the sets of findings that a request for several is made
    of, each with its number of images.
    """

    n: int
    seed: int
    labels: tuple[str, ...]
    max_draws: int
    batch: int
    format: Format
    models: Mapping[str, str]
    pins: Mapping[str, str]
    threads: int
    apart: str = ""
    method: Method = "reject"
    without: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def asked(self) -> str:
        """What the images show, such as "Edema and Effusion without Mass"; empty where nothing was asked."""
        if self.parts:
            return f"{len(self.parts)} sets of findings"
        barred = f"without {' or '.join(self.without)}" if self.without else ""
        return " ".join(words for words in (" and ".join(self.labels), barred) if words)

    @property
    def exact(self) -> bool:
        """Every part says of each finding whether it shows."""
        whole = (NO_FINDING in part.labels or len(part.labels + part.without) == len(FINDINGS) for part in self.parts)
        return bool(self.parts) and all(whole)

    def shares(self) -> dict[str, float]:
        """How many images of the parts were asked to show each finding, or No Finding."""
        held: Counter[str] = Counter()
        for part in self.parts:
            held.update(dict.fromkeys(part.labels, part.n))
        return {name: float(n) for name, n in held.items()}

    def tries(self, part: Part) -> int:
        """How many candidates are tried for a part at most, however few images that gives."""
        return -(-self.max_draws * part.n // self.n) if self.parts else self.max_draws

    def as_dict(self) -> dict[str, Any]:
        """The request.json of a growing dataset."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Whether what is held is what is wanted, a beginning of it, or (`why`) another command's."""

    answer: Literal["same", "longer", "other"]
    why: str = ""


def of_dict(fields: Mapping[str, Any], where: Path) -> Request:
    """The request that a request.json states."""
    try:
        return Request(**{**fields, "labels": tuple(fields["labels"]), **_also(fields)})
    except (KeyError, TypeError) as error:
        raise _unreadable(where) from error


def of_run(run: Mapping[str, Any], where: Path) -> Request:
    """The request that the run.json of a finished dataset states."""
    try:
        return Request(
            **{name: run["request"][name] for name in ("n", "seed", "max_draws", "batch")},
            labels=tuple(run["request"]["labels"]),
            **_also(run["request"]),
            format=run["format"],
            models=run["model"]["digests"],
            pins={"provider": run["provider"], **_precision(run), **run["versions"]},
            threads=run["threads"],
        )
    except (KeyError, TypeError) as error:
        raise _unreadable(where) from error


def _precision(run: Mapping[str, Any]) -> dict[str, str]:
    """As a pin: fp32, which is all there was, is not said."""
    return {} if run.get("precision", "fp32") == "fp32" else {"precision": run["precision"]}


def _also(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a request has that an earlier version did not write, or that is left out where it is plain."""
    parts = (Part(tuple(part["labels"]), tuple(part["without"]), part["n"]) for part in fields.get("parts", ()))
    return {
        "apart": fields.get("apart", ""),
        "method": fields.get("method", "reject"),
        "without": tuple(fields.get("without", ())),
        "parts": tuple(parts),
    }


def _unreadable(where: Path) -> DataError:
    return DataError(f"{where}: not written by this version of synthcxr; choose another --out")


def compare(wanted: Request, held: Request, *, found: int, draws: int, growing: bool, append: bool) -> Comparison:
    """Set what is wanted against what is held, finished or still `growing`: `found` images of `draws` candidates."""
    other, complete = _differences(wanted, held), found == held.n
    if wanted.n < held.n:
        other.append(f"n {held.n}, not {wanted.n}")
    if not wanted.parts and wanted.max_draws < draws:
        other.append(f"max_draws at least {draws}, not {wanted.max_draws}")
    if wanted.parts and (wanted.n, wanted.max_draws) != (held.n, held.max_draws):
        other.append(f"n {held.n} and max_draws {held.max_draws}, which a request for several sets keeps")
    if wanted.format != held.format and (growing or not append or wanted.n == held.n):
        other.append(f"format {held.format}, not {wanted.format}")
    if other:
        return Comparison("other", f"holds what another command makes ({'; '.join(other)}); --force replaces that")
    if wanted.n > held.n and not append:
        why = f"holds n = {held.n} of this command; --append makes it {wanted.n}, --force starts over"
        return Comparison("other", why)
    same = wanted.n == held.n and (complete or wanted.max_draws == held.max_draws)
    # Another format may depend on what the one that stands does not.
    pins = {name: value for name, value in wanted.pins.items() if name in held.pins or wanted.format == held.format}
    changed = _changes({**held.pins, "threads": held.threads}, {**pins, "threads": wanted.threads})
    if changed and (growing or not same):
        return Comparison("other", f"was made with {'; '.join(changed)}: go on with the same, or --force to start over")
    return Comparison("same" if same else "longer")


def _differences(wanted: Request, held: Request) -> list[str]:
    names = ("seed", "labels", "without", "method", "batch")
    asked = _changes({name: getattr(held, name) for name in names}, {name: getattr(wanted, name) for name in names})
    asked += [] if held.parts == wanted.parts else ["other sets of findings"]
    asked += _changes({_APART: held.apart or "none"}, {_APART: wanted.apart or "none"})
    kinds = [*wanted.models, *sorted(held.models.keys() - wanted.models.keys())]
    models = [f"another {kind}" for kind in kinds if held.models.get(kind) != wanted.models.get(kind)]
    return asked + models


def _changes(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {_show(held.get(name))}, not {_show(value)}"
        for name, value in wanted.items()
        if held.get(name) != value
    ]


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(value) or "none"
    return str(value)

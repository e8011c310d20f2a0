"""Which images a study shows, to whom and in which order."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import ConfigError, DataError

Origin = Literal["real", "synthetic"]
Role = Literal["practice", "case", "repeat"]
Item = TypeVar("Item")

ORIGINS: tuple[Origin, Origin] = ("real", "synthetic")
_APART = 3  # a repeat's first showing lies in the first third, the repeat in the last


@dataclasses.dataclass(frozen=True)
class Design:
    """What is asked for: images to judge alone (`n`, half of them real), of which `repeats` come twice to each reader.

    `practice` images come first and are not counted. `pairs` are shown side by side after them. `findings` are the
    strata, each with as many images; without any the images are drawn as they come.
    """

    n: int
    readers: int
    repeats: int
    practice: int
    pairs: int
    findings: tuple[str, ...]

    def check(self) -> None:
        """ConfigError where it cannot be balanced."""
        if self.n < 4 or self.n % 2:
            raise ConfigError(
                f"--n: {self.n} images cannot be half real, half synthetic; give an even number from 4 on"
            )
        if self.practice % 2:
            raise ConfigError(f"--practice: {self.practice} is not even; half of them are real")
        if self.repeats > self.n // _APART:
            raise ConfigError(f"--repeats: {self.repeats} of {self.n} images is more than a third; ask for fewer")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An image that could be shown. `name` finds it again; `cluster` is its patient's, or for a synthetic its own."""

    origin: Origin
    name: str
    cluster: str
    findings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Case:
    """What one screen shows: one image, or a pair of which `finding` is common and one is real."""

    images: tuple[Candidate, ...]
    finding: str = ""


@dataclasses.dataclass(frozen=True)
class Showing:
    """A case as one reader sees it; `images` in the order of the screen, left first."""

    role: Role
    images: tuple[Candidate, ...]
    finding: str = ""


@dataclasses.dataclass(frozen=True)
class Cases:
    """All that is shown to every reader, in no order yet."""

    practice: tuple[Case, ...]
    singles: tuple[Case, ...]
    practice_pairs: tuple[Case, ...]
    pairs: tuple[Case, ...]

    @property
    def images(self) -> tuple[Candidate, ...]:
        """Every image that is shown."""
        cases = (*self.practice, *self.singles, *self.practice_pairs, *self.pairs)
        return tuple(candidate for case in cases for candidate in case.images)


def choose_alone(candidates: Sequence[Candidate], design: Design, rng: np.random.Generator) -> Cases:
    """Draw `n` images of one origin, to teach with: no practice, no pairs."""
    if design.pairs:
        raise ConfigError("--pairs: which of two is real can be asked with films alone; give --films")
    held = _drawn(candidates, rng)
    shares = _shares(design.n, design.findings, held)
    taken = [c for finding, share in shares for c in _take(held, share, finding, "synthetic")]
    return Cases(practice=(), singles=tuple(Case((c,)) for c in taken), practice_pairs=(), pairs=())


def choose(candidates: Sequence[Candidate], design: Design, rng: np.random.Generator) -> Cases:
    """Draw the cases: no image twice, real films of as many patients as there are.

    Raises DataError where there are too few of a kind, saying which.
    """
    practice_pairs = 2 if design.pairs and design.practice else 0
    left = {origin: _drawn([c for c in candidates if c.origin == origin], rng) for origin in ORIGINS}
    singles = _balanced(left, design.n, design.findings)
    pairs = _pairs(left, design.pairs + practice_pairs, design.findings)
    practice = _balanced(left, design.practice, ())
    return Cases(
        practice=tuple(Case((c,)) for c in practice),
        singles=tuple(Case((c,)) for c in singles),
        practice_pairs=pairs[design.pairs :],
        pairs=pairs[: design.pairs],
    )


def order(cases: Cases, repeats: int, rng: np.random.Generator) -> tuple[Showing, ...]:
    """One reader's own order: practice, then single images with their repeats, then pairs with their own practice."""
    singles = [Showing("case", case.images) for case in _shuffled(cases.singles, rng)]
    first, last = singles[: len(singles) // _APART], singles[len(singles) // _APART :]
    again = [dataclasses.replace(showing, role="repeat") for showing in _alternating(first, rng)[:repeats]]
    later = last[len(last) // 2 :]
    return (
        *(Showing("practice", case.images) for case in _shuffled(cases.practice, rng)),
        *first,
        *last[: len(last) // 2],
        *_shuffled([*later, *again], rng),
        *_sided("practice", cases.practice_pairs, rng),
        *_sided("case", cases.pairs, rng),
    )


def _shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    return [items[at] for at in rng.permutation(len(items))]


def _drawn(candidates: Sequence[Candidate], rng: np.random.Generator) -> list[Candidate]:
    """All candidates in random order, the first of every patient before the second of any."""
    seen: collections.Counter[str] = collections.Counter()
    turn = []
    for candidate in _shuffled(candidates, rng):
        turn.append((seen[candidate.cluster], candidate))
        seen[candidate.cluster] += 1
    return [candidate for _, candidate in sorted(turn, key=lambda pair: pair[0])]


def _balanced(left: dict[Origin, list[Candidate]], n: int, findings: tuple[str, ...]) -> list[Candidate]:
    """Take n / 2 of each origin out of what is left, as many of each finding."""
    taken = []
    for origin in ORIGINS:
        for finding, share in _shares(n // 2, findings, left[origin]):
            taken += _take(left[origin], share, finding, origin)
    return taken


def _shares(n: int, findings: tuple[str, ...], held: Sequence[Candidate]) -> list[tuple[str, int]]:
    """How many of each finding; the scarcest first, so that those that show several are left for it."""
    if not findings:
        return [("", n)]
    split = [(finding, n // len(findings) + (at < n % len(findings))) for at, finding in enumerate(findings)]
    return sorted(split, key=lambda pair: sum(_shows(candidate, pair[0]) for candidate in held))


def _take(held: list[Candidate], n: int, finding: str, origin: Origin) -> list[Candidate]:
    found = [candidate for candidate in held if not finding or _shows(candidate, finding)][:n]
    if len(found) < n:
        what = f"{origin} images{f' with {finding}' if finding else ''}"
        raise DataError(f"{n} more {what} are wanted, {len(found)} are left; ask for fewer, or give a larger set")
    for candidate in found:
        held.remove(candidate)
    return found


def _shows(candidate: Candidate, finding: str) -> bool:
    return finding in candidate.findings


def _pairs(left: dict[Origin, list[Candidate]], n: int, findings: tuple[str, ...]) -> tuple[Case, ...]:
    """Take pairs of a real and a synthetic image that show the same finding out of what is left."""
    pairs: list[Case] = []
    wanted = findings or (*FINDINGS, NO_FINDING)
    for real in list(left["real"]):
        if len(pairs) == n:
            break
        match = next(_matches(real, left["synthetic"], wanted), None)
        if match is not None:
            synthetic, finding = match
            left["real"].remove(real)
            left["synthetic"].remove(synthetic)
            pairs.append(Case((real, synthetic), finding))
    if len(pairs) < n:
        raise DataError(f"{n} pairs with a finding in common are wanted, {len(pairs)} were found; ask for fewer")
    return tuple(pairs)


def _matches(real: Candidate, synthetic: Iterable[Candidate], wanted: Sequence[str]) -> Iterator[tuple[Candidate, str]]:
    return (
        (candidate, finding)
        for candidate in synthetic
        for finding in wanted
        if _shows(real, finding) and _shows(candidate, finding)
    )


def _alternating(showings: Sequence[Showing], rng: np.random.Generator) -> list[Showing]:
    """In random order, real and synthetic in turn as long as there are both."""
    by_origin = {origin: _shuffled([s for s in showings if s.images[0].origin == origin], rng) for origin in ORIGINS}
    ranked = [(at, showing) for held in by_origin.values() for at, showing in enumerate(held)]
    return [showing for _, showing in sorted(ranked, key=lambda pair: pair[0])]


def _sided(role: Role, pairs: Sequence[Case], rng: np.random.Generator) -> list[Showing]:
    """The pairs in random order, the real film on the left in half of them."""
    swap = _shuffled([at % 2 == 1 for at in range(len(pairs))], rng)
    return [
        Showing(role, case.images[::-1] if swapped else case.images, case.finding)
        for case, swapped in zip(_shuffled(pairs, rng), swap, strict=True)
    ]

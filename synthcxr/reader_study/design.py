"""The design of a study: which images it shows, to whom and in which order."""

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
_N_PARTS = 3  # a repeated image is first shown in the first third of the study and again in the last third


@dataclasses.dataclass(frozen=True)
class Design:
    """The size of a study. Field names are keys of key.json.

    `n` is the number of single images, half of them real; each reader sees `repeats` of them twice. `practice` images
    come first and do not count. `pairs` of a real and a synthetic image come last, side by side. With `findings`, each
    finding has the same number of images; without, images are drawn at random.
    """

    n: int
    readers: int
    repeats: int
    practice: int
    pairs: int
    findings: tuple[str, ...]

    def check(self) -> None:
        """Raise ConfigError if the design cannot be balanced."""
        if self.n < 4 or self.n % 2:
            raise ConfigError(
                f"--n: {self.n} images cannot be half real, half synthetic; give an even number, at least 4"
            )
        if self.practice % 2:
            raise ConfigError(f"--practice: {self.practice} is odd; give an even number, half of the images are real")
        if self.repeats > self.n // _N_PARTS:
            raise ConfigError(
                f"--repeats: {self.repeats} is more than a third of {self.n} images; give a smaller number"
            )


@dataclasses.dataclass(frozen=True)
class StudyImage:
    """An image that the study can show. `cluster` is the patient of a film; a synthetic image is its own cluster."""

    origin: Origin
    name: str
    cluster: str
    findings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Case:
    """One image, or a pair of a real and a synthetic image that share `finding`."""

    images: tuple[StudyImage, ...]
    finding: str = ""


@dataclasses.dataclass(frozen=True)
class PlannedScreen:
    """A case as one screen of one reader, with its images from left to right."""

    role: Role
    images: tuple[StudyImage, ...]
    finding: str = ""


@dataclasses.dataclass(frozen=True)
class StudyCases:
    """The cases that every reader sees, not yet ordered."""

    practice: tuple[Case, ...]
    singles: tuple[Case, ...]
    practice_pairs: tuple[Case, ...]
    pairs: tuple[Case, ...]

    @property
    def images(self) -> tuple[StudyImage, ...]:
        """The images of all cases."""
        cases = (*self.practice, *self.singles, *self.practice_pairs, *self.pairs)
        return tuple(image for case in cases for image in case.images)


def choose_synthetic_cases(images: Sequence[StudyImage], design: Design, rng: np.random.Generator) -> StudyCases:
    """Draw `n` synthetic images for teaching, without practice and pairs."""
    if design.pairs:
        raise ConfigError("--pairs: a pair needs a real film; give --films")
    available = _shuffle_by_patient(images, rng)
    quotas = _split_by_finding(design.n, design.findings, available)
    chosen = [image for finding, quota in quotas for image in _take(available, quota, finding, "synthetic")]
    return StudyCases(practice=(), singles=tuple(Case((image,)) for image in chosen), practice_pairs=(), pairs=())


def choose_balanced_cases(images: Sequence[StudyImage], design: Design, rng: np.random.Generator) -> StudyCases:
    """Draw the cases, half of them real. No image is drawn twice, and a patient only once while there are others.

    Raises DataError if there are too few images, and says of which kind.
    """
    n_practice_pairs = 2 if design.pairs and design.practice else 0
    available = {
        origin: _shuffle_by_patient([image for image in images if image.origin == origin], rng) for origin in ORIGINS
    }
    singles = _take_balanced(available, design.n, design.findings)
    pairs = _take_pairs(available, design.pairs + n_practice_pairs, design.findings)
    practice = _take_balanced(available, design.practice, ())
    return StudyCases(
        practice=tuple(Case((image,)) for image in practice),
        singles=tuple(Case((image,)) for image in singles),
        practice_pairs=pairs[design.pairs :],
        pairs=pairs[: design.pairs],
    )


def order_screens(cases: StudyCases, repeats: int, rng: np.random.Generator) -> tuple[PlannedScreen, ...]:
    """A random order for one reader: practice, single images with repeats, practice pairs, pairs."""
    singles = [PlannedScreen("case", case.images) for case in _shuffle(cases.singles, rng)]
    n_first = len(singles) // _N_PARTS
    first, rest = singles[:n_first], singles[n_first:]
    repeated = [dataclasses.replace(screen, role="repeat") for screen in _alternate_origins(first, rng)[:repeats]]
    middle, last = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    return (
        *(PlannedScreen("practice", case.images) for case in _shuffle(cases.practice, rng)),
        *first,
        *middle,
        *_shuffle([*last, *repeated], rng),
        *_order_pairs("practice", cases.practice_pairs, rng),
        *_order_pairs("case", cases.pairs, rng),
    )


def _shuffle(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    return [items[index] for index in rng.permutation(len(items))]


def _shuffle_by_patient(images: Sequence[StudyImage], rng: np.random.Generator) -> list[StudyImage]:
    """All images in random order, with the first image of every patient before the second of any."""
    n_earlier: collections.Counter[str] = collections.Counter()
    ranked = []
    for image in _shuffle(images, rng):
        ranked.append((n_earlier[image.cluster], image))
        n_earlier[image.cluster] += 1
    return [image for _, image in sorted(ranked, key=lambda pair: pair[0])]


def _take_balanced(available: dict[Origin, list[StudyImage]], n: int, findings: tuple[str, ...]) -> list[StudyImage]:
    """Remove n / 2 images of each origin from `available`, the same number of each finding."""
    taken = []
    for origin in ORIGINS:
        for finding, quota in _split_by_finding(n // 2, findings, available[origin]):
            taken += _take(available[origin], quota, finding, origin)
    return taken


def _split_by_finding(n: int, findings: tuple[str, ...], available: Sequence[StudyImage]) -> list[tuple[str, int]]:
    """The number of images for each finding.

    The rarest finding comes first, so that images with several findings are still available for it.
    """
    if not findings:
        return [("", n)]
    quotas = [(finding, n // len(findings) + (index < n % len(findings))) for index, finding in enumerate(findings)]
    return sorted(quotas, key=lambda quota: sum(quota[0] in image.findings for image in available))


def _take(available: list[StudyImage], n: int, finding: str, origin: str) -> list[StudyImage]:
    taken = [image for image in available if not finding or finding in image.findings][:n]
    if len(taken) < n:
        kind = f"{origin} images{f' with {finding}' if finding else ''}"
        raise DataError(
            f"need {n} more {kind}, but only {len(taken)} are available; request fewer or give a larger set"
        )
    for image in taken:
        available.remove(image)
    return taken


def _take_pairs(available: dict[Origin, list[StudyImage]], n: int, findings: tuple[str, ...]) -> tuple[Case, ...]:
    """Remove pairs of a real and a synthetic image with a finding in common from `available`."""
    pairs: list[Case] = []
    pair_findings = findings or (*FINDINGS, NO_FINDING)
    for real in list(available["real"]):
        if len(pairs) == n:
            break
        match = next(_find_matches(real, available["synthetic"], pair_findings), None)
        if match is not None:
            synthetic, finding = match
            available["real"].remove(real)
            available["synthetic"].remove(synthetic)
            pairs.append(Case((real, synthetic), finding))
    if len(pairs) < n:
        raise DataError(f"need {n} pairs with a finding in common, but only {len(pairs)} exist; request fewer")
    return tuple(pairs)


def _find_matches(
    real: StudyImage, synthetic_images: Iterable[StudyImage], findings: Sequence[str]
) -> Iterator[tuple[StudyImage, str]]:
    return (
        (image, finding)
        for image in synthetic_images
        for finding in findings
        if finding in real.findings and finding in image.findings
    )


def _alternate_origins(screens: Sequence[PlannedScreen], rng: np.random.Generator) -> list[PlannedScreen]:
    """The screens in random order, real and synthetic in turn while there are both."""
    by_origin = {
        origin: _shuffle([screen for screen in screens if screen.images[0].origin == origin], rng) for origin in ORIGINS
    }
    ranked = [(rank, screen) for group in by_origin.values() for rank, screen in enumerate(group)]
    return [screen for _, screen in sorted(ranked, key=lambda pair: pair[0])]


def _order_pairs(role: Role, pairs: Sequence[Case], rng: np.random.Generator) -> list[PlannedScreen]:
    """The pairs in random order, with the real film on the left in half of them."""
    is_swapped = _shuffle([index % 2 == 1 for index in range(len(pairs))], rng)
    return [
        PlannedScreen(role, case.images[::-1] if swapped else case.images, case.finding)
        for case, swapped in zip(_shuffle(pairs, rng), is_swapped, strict=True)
    ]

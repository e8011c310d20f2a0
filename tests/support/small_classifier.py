"""A classifier that trains in about a second: its parameters, and packed films on which it can learn."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data.film_dataset import build_film_dataset
from synthcxr.data.films import Film

CONFIG = ClassifierConfig(
    backbone="small",
    weights="none",
    resolution=12,
    width=4,
    n_epochs=2,
    batch=16,
    lr=2e-3,
    weight_decay=1e-2,
    n_bootstrap=20,
    seed=1,
    device="cpu",
)


@dataclasses.dataclass(frozen=True)
class NoisyFilm:
    """The pixels of a noisy film, brighter if finding 0 is present."""

    number: int
    present: bool
    side: int = 16

    def __call__(self) -> np.ndarray:
        noise = np.random.default_rng(self.number).random((self.side, self.side), dtype=np.float32)
        return (0.5 * noise + 0.4 * self.present).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class FilmSize:
    """The shorter side of a film in px."""

    side: int = 16

    def __call__(self) -> int:
        return self.side


def create_film(number: int) -> Film:
    """Create a film of patient number // 2; finding 0 is in 2 of 5 films, and Hernia is unknown in 1 of 10."""
    findings = np.zeros(14)
    findings[0] = number % 5 < 2
    findings[1] = number % 3 == 0
    findings[13] = np.nan if number % 10 == 0 else 0
    return Film(
        image_index=f"{number:04d}.png",
        patient_id=str(number // 2),
        source="drawn",
        view="PA",
        findings=tuple(findings),
        read=NoisyFilm(number, bool(findings[0])),
        read_size=FilmSize(),
        origin=f"phantom:{number}",
    )


def write_films(out: Path, splits: Sequence[str]) -> Path:
    """Write a packed dataset with one film of 16 px per entry of `splits`."""
    films = [create_film(number) for number in range(len(splits))]
    split = {film.image_index: name for film, name in zip(films, splits, strict=True)}
    build_film_dataset(films, out=out, resolution=16, splits=split, on_bad="error")
    return out

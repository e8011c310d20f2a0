"""The view, sex and age that every image of a request is to have, from a conditional generator."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.bounds import Age
from synthcxr.config.gan_sections import ConditionPart
from synthcxr.data.condition import FilmAttributes, round_ages
from synthcxr.errors import ConfigError

View = Literal["PA", "AP"]
Sex = Literal["F", "M"]
_AGE = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")
_MAX_YEARS = 120


@dataclasses.dataclass(frozen=True)
class AttributeRequest:
    """A requested view, sex and age in years, from youngest to oldest; None accepts any."""

    view: View | None = None
    sex: Sex | None = None
    age: tuple[Age, Age] | None = None

    @classmethod
    def from_text(cls, view: str | None, sex: str | None, age: str | None) -> AttributeRequest:
        """Read values as a user writes them, such as PA, F and 60-70, or one age; None or "" accepts any.

        ConfigError for a value that is none of these.
        """
        codes = {"view": (view or "").strip().upper() or None, "sex": (sex or "").strip().upper() or None}
        return parsing.build_as(cls, codes | {"age": _parse_age(age) if age else None}, "request", error=ConfigError)

    @classmethod
    def from_run(cls, request: Mapping[str, object]) -> AttributeRequest:
        """Read the attributes of the request in a run.json; DataError for others than `generate` writes."""
        return parsing.build_as(cls, request.get("attributes", {}), "run.json: request: attributes")

    @property
    def parts(self) -> tuple[ConditionPart, ...]:
        """The parts of a condition that are requested."""
        values: dict[ConditionPart, object] = {"view": self.view, "sex": self.sex, "age": self.age}
        return tuple(part for part, value in values.items() if value is not None)

    def __str__(self) -> str:
        texts = {"view": self.view, "sex": self.sex, "age": self.age and _format_age(self.age)}
        return ", ".join(f"{part} {texts[part]}" for part in self.parts)

    def require_parts(self, known: tuple[ConditionPart, ...]) -> None:
        """Raise ConfigError for the first requested part that is not `known` to the generator."""
        for part in self.parts:
            if part not in known:
                others = ", ".join(name for name in ("view", "sex", "age") if name in known) or "none"
                raise ConfigError(
                    f"{part}: the condition of this generator has no {part}; remove {part} from the request (of view,"
                    f" sex and age, this model knows {others}), or use a model whose train_gan.condition lists {part}"
                )

    def match(self, films: FilmAttributes) -> NDArray[np.bool_]:
        """Bool [n]: which films have what is requested; an unknown value never matches."""
        matches = np.ones(len(films), dtype=np.bool_)
        if self.view is not None:
            matches &= films.views == self.view
        if self.sex is not None:
            matches &= films.sexes == self.sex
        if self.age is not None:
            youngest, oldest = round_ages(np.array(self.age, np.float32))
            ages = round_ages(films.ages)
            matches &= (ages >= youngest) & (ages <= oldest)
        return matches

    def apply(self, films: FilmAttributes) -> FilmAttributes:
        """The same films, changed as little as possible to have what is requested."""
        ages = films.ages
        if self.age is not None:
            ages = np.clip(np.where(np.isnan(ages), np.mean(self.age), ages), *self.age).astype(np.float32)
        return FilmAttributes(
            films.findings,
            films.views if self.view is None else np.full_like(films.views, self.view),
            films.sexes if self.sex is None else np.full_like(films.sexes, self.sex),
            ages,
        )


ANY_ATTRIBUTES = AttributeRequest()
"""The request for any view, sex and age."""


def _parse_age(text: str) -> tuple[int, int]:
    match = _AGE.fullmatch(text.strip())
    youngest, oldest = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not youngest <= oldest <= _MAX_YEARS:
        raise ConfigError(f"age must be in years, such as 60-70 or 65, and at most {_MAX_YEARS}, is {text[:20]!r}")
    return youngest, oldest


def _format_age(age: tuple[int, int]) -> str:
    return str(age[0]) if age[0] == age[1] else f"{age[0]}-{age[1]}"

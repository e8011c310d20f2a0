"""The bounds of numbers: types for the fields of params.yaml that say which values a number may have.

Upper bounds are far above every useful value. They refuse what would take days or all memory before it fails.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The bounds of a number in `Annotated`: `min` and `max` are allowed values, `above` and `below` are not."""

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None

    def describe_violation(self, value: float) -> str | None:
        """Say what the value must be, such as "above 0"; None if it is within the bounds."""
        if self.min is not None and value < self.min:
            return f"at least {self.min:,}"
        if self.above is not None and value <= self.above:
            return f"above {self.above:,}"
        if self.max is not None and value > self.max:
            return f"at most {self.max:,}"
        if self.below is not None and value >= self.below:
            return f"below {self.below:,}"
        return None


@dataclasses.dataclass(frozen=True)
class Length:
    """The number of entries of a list in `Annotated`."""

    n: int


Seed = Annotated[int, Bounds(min=0, max=2**64 - 1)]
Candidate = Annotated[int, Bounds(min=0, max=2**63 - 1)]
Side = Annotated[int, Bounds(min=4, max=1024)]
"""Pixels."""
Count = Annotated[int, Bounds(min=1, max=10**9)]
CountOrZero = Annotated[int, Bounds(min=0, max=10**9)]
Age = Annotated[int, Bounds(min=0, max=120)]
"""Years."""
Nimg = Annotated[int, Bounds(min=1, max=10**11)]
NimgOrZero = Annotated[int, Bounds(min=0, max=10**11)]
BatchSize = Annotated[int, Bounds(min=1, max=65_536)]
Width = Annotated[int, Bounds(min=1, max=8192)]
"""Channels or units of a layer."""
WidthOrZero = Annotated[int, Bounds(min=0, max=8192)]
Depth = Annotated[int, Bounds(min=1, max=64)]
Resamples = Annotated[int, Bounds(min=1, max=1_000_000)]
LearningRate = Annotated[float, Bounds(above=0, max=1)]
Share = Annotated[float, Bounds(min=0, max=1)]
AdamBeta = Annotated[float, Bounds(min=0, below=1)]
Weight = Annotated[float, Bounds(min=0, max=1_000_000)]
"""The weight of a term of a loss; 0 leaves it out."""
SamplingWeight = Annotated[float, Bounds(min=0, max=1000)]
"""How often a film is shown, relative to a film of weight 1; 0 leaves it out."""

"""How candidates are chosen: all are tried, those that a proposal scores well, or each is led to what is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from synthcxr.synthesis.sampler import CLASSIFIER, GENERATOR, Drawn, Sampler
from synthcxr.synthesis.search import Differentiate, Search
from synthcxr.synthesis.session import Device
from synthcxr.synthesis.wanted import Wanted

Method = Literal["reject", "guided", "optimise"]
Asked = Literal["auto", "reject", "guided", "optimise"]
Gradient = Callable[[Path, Path], Differentiate]
"""From generator.onnx and classifier.onnx to the logits' gradient."""


class Draw(Protocol):
    """The accepted among candidates start .. stop - 1, block by block, in candidate order."""

    def __call__(self, *, seed: int, start: int, stop: int) -> Iterator[Drawn]: ...


@dataclasses.dataclass(frozen=True)
class Chooser:
    """A model's sampler with a method; `differentiate` is there for a search alone."""

    sampler: Sampler
    method: Method
    differentiate: Differentiate | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        method: Asked,
        batch: int,
        device: Device = "auto",
        threads: int | None = None,
        gradient: Gradient | None = None,
    ) -> Chooser:
        """Open what the method needs of a model folder. Only a search calls for the `gradient`."""
        sampler = Sampler.open(folder, batch=batch, device=device, threads=threads)
        if method == "optimise" and gradient is not None:
            return cls(sampler, "optimise", gradient(folder / GENERATOR, folder / CLASSIFIER))
        return cls(sampler, "reject")

    def draw(self, wanted: Wanted) -> Draw:
        """What draws images that show what is wanted."""
        if self.differentiate is not None:
            return Search(self.sampler, self.differentiate, wanted).draw

        def draw(*, seed: int, start: int, stop: int) -> Iterator[Drawn]:
            return self.sampler.draw(seed=seed, wanted=wanted, start=start, stop=stop)

        return draw

"""The Python door: images drawn from a model, in memory."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr import labelling, registry
from synthcxr import labels as findings
from synthcxr.config import Device
from synthcxr.errors import ConfigError
from synthcxr.records import PROBABILITY_COLUMNS
from synthcxr.synthesis import sampler
from synthcxr.synthesis.chooser import Chooser
from synthcxr.synthesis.sampler import Drawn
from synthcxr.synthesis.wanted import Wanted

BATCH = 32
MIN_DRAWS, DRAWS_AN_IMAGE = 1000, 100


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator and its classifier, opened. `name` is the address that finds the same model again."""

    name: str
    chooser: Chooser

    @classmethod
    def open(
        cls, address: str | Path | None = None, device: Device = "auto", method: Literal["auto", "reject"] = "auto"
    ) -> Sampler:
        """Open a model by its address: a folder, models:/name@alias, models:/name/3, runs:/id/path.

        Without one: the champion of the registry that is here, else the starter that ships. Labelled images are found
        by guided rejection where the model can, unless `method` is "reject".
        """
        found = registry.resolve(None if address is None else str(address))
        return cls(found.name, Chooser.open(found.path, method=method, batch=BATCH, device=device))

    @property
    def drawing(self) -> sampler.Sampler:
        """What draws candidates, chosen or not."""
        return self.chooser.sampler

    def sample(
        self, labels: Sequence[str] | str = (), n: int = 1, seed: int = 0, max_draws: int | None = None
    ) -> tuple[NDArray[np.uint8], pd.DataFrame]:
        """`n` images uint8 [n, R, R] that show all of `labels`, and a table of index, seed, findings, probabilities.

        The same seed gives the same images as `synthcxr generate`; with the column `weight` the set is unbiased. Where
        `max_draws` tries (by default 100 an image, at least 1,000) hold fewer, those are given, with a warning.
        """
        for name, count in (("n", n), ("max_draws", max_draws)):
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be at least 1, is {count}")
        requested = _requested(labels)
        limit = max_draws or (max(MIN_DRAWS, DRAWS_AN_IMAGE * n) if requested else n)
        parts: list[Drawn] = []
        wanted = Wanted(requested)
        plain = dataclasses.replace(self.chooser, method="reject", proposal=None)
        chooser = self.chooser if requested else plain
        for drawn in chooser.draw(wanted)(seed=seed, start=0, stop=limit * chooser.stretch(wanted)):
            parts.append(drawn.first(n - sum(len(part.indices) for part in parts)))
            if sum(len(part.indices) for part in parts) == n:
                break
        pixels = np.concatenate([part.pixels for part in parts])
        if len(pixels) < n:
            warnings.warn(f"found {len(pixels)} of {n} images in {limit} tries; raise max_draws", stacklevel=2)
        return pixels, self._table(parts, seed, requested)

    def _table(self, parts: Sequence[Drawn], seed: int, requested: tuple[str, ...]) -> pd.DataFrame:
        probabilities = np.concatenate([part.probabilities for part in parts])
        table = pd.DataFrame({"index": np.concatenate([part.indices for part in parts])})
        table["seed"] = seed
        table["requested"] = findings.SEPARATOR.join(requested)
        table["Finding Labels"] = [findings.SEPARATOR.join(self.drawing.findings(row)) for row in probabilities]
        table["weight"] = np.concatenate([part.weights for part in parts])
        written = labelling.calibrated(probabilities, self.drawing.classifier.contract.calibration)
        return pd.concat([table, pd.DataFrame(written, columns=list(PROBABILITY_COLUMNS))], axis=1)


def _requested(labels: Sequence[str] | str) -> tuple[str, ...]:
    """Canonical names in NIH order; DataError for an unknown finding or a contradiction."""
    names = [name for name in labels.split(findings.SEPARATOR) if name] if isinstance(labels, str) else list(labels)
    return findings.names(findings.vector(names)) if names else ()

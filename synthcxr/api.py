"""The Python door: images drawn from a model, in memory."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr import registry
from synthcxr.config.schema import Device
from synthcxr.data import findings, random_streams
from synthcxr.data.records import PROBABILITY_COLUMNS
from synthcxr.errors import ConfigError
from synthcxr.model_files import predictions
from synthcxr.storage import digests
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.sampling import importance_guide as proposals
from synthcxr.synthesis.sampling import rejection
from synthcxr.synthesis.sampling.importance_guide import Proposal
from synthcxr.synthesis.sampling.rejection import Drawn
from synthcxr.synthesis.sampling.strategy import Chooser

Method = Literal["auto", "reject", "guided"]
BATCH = 32
MIN_DRAWS, DRAWS_AN_IMAGE = 1000, 100


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator and its classifier, opened. `name` is the address that finds the same model again.

    The `proposal` is there where the model has one: it guides what is tried.
    """

    name: str
    drawing: rejection.Sampler
    proposal: Proposal | None = None

    @classmethod
    def open(cls, address: str | Path | None = None, device: Device = "auto") -> Sampler:
        """Open a model by its address: a folder, models:/name@alias, models:/name/3, runs:/id/path.

        Without one: the champion of the registry that is here, else the starter that ships.
        """
        found = registry.resolve(None if address is None else str(address))
        drawing, guide = rejection.Sampler.open(found.path, batch=BATCH, device=device), found.path / proposals.FILE
        return cls(found.name, drawing, Proposal.open(guide, drawing, device=device) if guide.is_file() else None)

    def sample(
        self,
        labels: Sequence[str] | str = (),
        n: int = 1,
        seed: int = 0,
        max_draws: int | None = None,
        *,
        method: Method = "auto",
        threshold: float = 0.0,
    ) -> tuple[NDArray[np.uint8], pd.DataFrame]:
        """`n` images uint8 [n, R, R] that show all of `labels`, and a table: index, seed, findings, p_*, weight.

        By default candidates are led to a finding where the model has a proposal; with the column `weight` the set is
        unbiased. The same seed gives the same images as `synthcxr generate` by that method. `threshold` asks of
        each of `labels` a calibrated probability of at least that much. Where `max_draws` candidates (by default 100 an
        image, at least 1,000) hold fewer images, those are given, with a warning.
        """
        for name, count in (("n", n), ("max_draws", max_draws)):
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be at least 1, is {count}")
        requested = _requested(labels)
        surely = self._surely(requested, threshold)
        limit = max_draws or (max(MIN_DRAWS, DRAWS_AN_IMAGE * n) if requested else n)
        parts: list[Drawn] = []
        wanted, chooser = Wanted(requested), self._chooser(method, guidable=bool(requested))
        for drawn in chooser.draw(wanted)(seed=seed, start=0, stop=limit):
            parts.append(drawn.kept(surely(drawn.probabilities)).first(n - sum(len(part.indices) for part in parts)))
            if sum(len(part.indices) for part in parts) == n:
                break
        pixels = np.concatenate([part.pixels for part in parts])
        if len(pixels) < n:
            warnings.warn(f"found {len(pixels)} of {n} images in {limit} tries; raise max_draws", stacklevel=2)
        return pixels, self._table(parts, seed, requested)

    def _chooser(self, method: Method, *, guidable: bool) -> Chooser:
        if method not in get_args(Method):
            raise ConfigError(f"method is auto, reject or guided, not {method!r}")
        if method == "guided" and self.proposal is None:
            raise ConfigError("method guided: this model has no proposal; ask for method reject")
        if method == "reject" or self.proposal is None or not guidable:
            return Chooser(self.drawing, "reject")
        return Chooser(self.drawing, "guided", proposal=self.proposal)

    def _surely(
        self, requested: tuple[str, ...], threshold: float
    ) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
        """Bool [n] of probabilities [n, 14]: every requested finding is that probable, once calibrated."""
        columns = [findings.FINDINGS.index(name) for name in requested if name != findings.NO_FINDING]
        if not 0 <= threshold < 1 or (threshold and not columns):
            raise ConfigError(f"threshold is a probability of the findings asked for, from 0 below 1, not {threshold}")
        calibration = self.drawing.classifier.contract.calibration

        def surely(probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
            held = predictions.calibrated(probabilities, calibration)[:, columns] >= threshold
            every: NDArray[np.bool_] = np.all(held, axis=1)
            return every

        return surely

    def _table(self, parts: Sequence[Drawn], seed: int, requested: tuple[str, ...]) -> pd.DataFrame:
        probabilities = np.concatenate([part.probabilities for part in parts])
        table = pd.DataFrame({"index": np.concatenate([part.indices for part in parts])})
        table["seed"] = seed
        table["requested"] = findings.SEPARATOR.join(requested)
        table["Finding Labels"] = [findings.SEPARATOR.join(self.drawing.findings(row)) for row in probabilities]
        written = predictions.calibrated(probabilities, self.drawing.classifier.contract.calibration)
        table = pd.concat([table, pd.DataFrame(written, columns=list(PROBABILITY_COLUMNS))], axis=1)
        table["weight"] = np.concatenate([part.weights for part in parts])
        table["latent_sha256"] = [
            digests.sha256_bytes(row.tobytes()) for part in parts for row in self._latents(part, seed)
        ]
        return table

    def _latents(self, part: Drawn, seed: int) -> NDArray[np.float32]:
        """Of each image, [k, Z], little-endian."""
        size = self.drawing.generator.contract.latent
        own = part.latents is None
        held = [random_streams.latents(seed, int(at), 1, size) for at in part.indices] if own else part.latents
        return np.asarray(held, dtype="<f4").reshape(-1, size)


def _requested(labels: Sequence[str] | str) -> tuple[str, ...]:
    """Canonical names in NIH order; DataError for an unknown finding or a contradiction."""
    names = [name for name in labels.split(findings.SEPARATOR) if name] if isinstance(labels, str) else list(labels)
    return findings.names(findings.vector(names)) if names else ()

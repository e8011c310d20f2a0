"""The table of training conditions of a conditional generator, from which candidates draw their conditions.

It has one row for each different condition of the labelled training films, and the share of these films that has it.
How often films were shown in training (`train_gan.sampling`) does not change the shares.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.gan_sections import ConditionPart
from synthcxr.data import condition, random_streams
from synthcxr.data.condition import FilmAttributes
from synthcxr.errors import ArtifactError
from synthcxr.storage import numpy_files
from synthcxr.storage.numpy_files import ArrayType

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

DIGEST_KIND = "condition table"
"""The key of a table's digest among the digests of a dataset's models: that of generator.onnx does not cover it."""
# Keys in an .npz file.
_COLUMNS, _CONDITIONS, _SHARES = "condition_columns", "conditions", "condition_shares"
_MAX_VALUE = 100
"""Values of conditions are between -2 and 2."""
_ADVICE = "export or pull the models again"


@dataclasses.dataclass(frozen=True)
class ConditionTable:
    """Different `conditions` float32 [K, C] and their `shares` float64 [K], above 0 with sum 1; K is at least 1."""

    parts: tuple[ConditionPart, ...]
    conditions: Float32
    shares: Float64

    @classmethod
    def from_films(cls, films: FilmAttributes, parts: Sequence[ConditionPart]) -> ConditionTable:
        """Count the conditions of the labelled films; of all films if none is labelled."""
        labelled = films.are_labelled
        conditions = condition.encode_conditions(films.select(labelled) if labelled.any() else films, parts)
        rows, counts = np.unique(conditions, axis=0, return_counts=True)
        return cls(tuple(part for part in condition.PARTS if part in parts), rows, counts / counts.sum())

    @functools.cached_property
    def attributes(self) -> FilmAttributes:
        """What the condition of each row says of a film."""
        return condition.decode_conditions(self.conditions, self.parts)

    @property
    def digest(self) -> str:
        """Hex sha256 of columns, conditions and shares."""
        columns = "\n".join(condition.list_columns(self.parts)).encode()
        content = (self.conditions.astype("<f4").tobytes(), self.shares.astype("<f8").tobytes())
        return hashlib.sha256(b"\0".join((columns, *content))).hexdigest()

    def select(self, rows: NDArray[np.bool_]) -> ConditionTable:
        """Only these rows (bool [K], at least one), with shares that sum to 1 again: the table given a request."""
        shares = self.shares[rows]
        return ConditionTable(self.parts, self.conditions[rows], shares / shares.sum())

    def replace_attributes(self, films: FilmAttributes) -> ConditionTable:
        """The same shares of films with these attributes [K]; rows that become equal are merged."""
        conditions = condition.encode_conditions(films, self.parts)
        rows, positions = np.unique(conditions, axis=0, return_inverse=True)
        shares = np.bincount(positions.reshape(-1), weights=self.shares).astype(np.float64)
        return ConditionTable(self.parts, rows, shares)

    def to_arrays(self) -> dict[str, Any]:
        """The arrays of an .npz file."""
        columns = np.array(condition.list_columns(self.parts))
        return {_COLUMNS: columns, _CONDITIONS: self.conditions, _SHARES: self.shares}

    @classmethod
    def read(cls, path: Path, columns: Sequence[str]) -> ConditionTable:
        """Read what `to_arrays` put into an .npz file; ArtifactError where it holds no table of these `columns`."""
        expected = {
            _COLUMNS: ArrayType("U", (None,)),
            _CONDITIONS: ArrayType("f", (None, None)),
            _SHARES: ArrayType("f", (None,)),
        }
        arrays = numpy_files.read_npz(path, expected, error=ArtifactError, advice=_ADVICE)
        if arrays[_COLUMNS].tolist() != list(columns):
            raise ArtifactError(f"{path}: its table of conditions is that of another model; {_ADVICE}")
        parts = condition.find_parts(columns, str(path))
        conditions, shares = arrays[_CONDITIONS], arrays[_SHARES].astype(np.float64)
        fits = conditions.shape == (len(shares), len(columns)) and len(shares) > 0
        has_values = fits and np.abs(conditions).max() <= _MAX_VALUE and shares.min() > 0 and shares.max() <= 1
        if not has_values or abs(shares.sum() - 1) > 1e-6:
            raise ArtifactError(f"{path}: its table of conditions is damaged; {_ADVICE}")
        return cls(parts, conditions.astype(np.float32), shares)


def draw_conditions(table: ConditionTable, seed: int, indices: Sequence[int] | NDArray[np.int64]) -> Float32:
    """Draw the conditions float32 [n, C] of candidates by the shares of the table.

    Each candidate has its own random number, beside its latent: its condition depends on the table, `seed` and its
    index only.
    """
    uniform = np.array([random_streams.draw_condition_uniform(seed, int(index)) for index in indices])
    rows = np.searchsorted(np.cumsum(table.shares), uniform, side="right")
    return np.asarray(table.conditions[np.minimum(rows, len(table.shares) - 1)])

"""The random numbers of one step: drawn for the whole batch on every rank, of which each keeps its own rows."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from synthcxr.training.distributed import ALONE, Ranks


@dataclasses.dataclass(frozen=True)
class Draws:
    """A stream of the step and whose rows of it are wanted, so that a batch is the same among any number of ranks."""

    stream: torch.Generator
    ranks: Ranks = ALONE

    def uniform(self, n: int, *columns: int) -> Tensor:
        """`n` rows of this rank in [0, 1), float32 [n, *columns]."""
        return self._own(torch.rand(n * self.ranks.count, *columns, generator=self.stream), n)

    def normal(self, n: int, *columns: int) -> Tensor:
        """`n` standard normal rows of this rank, float32 [n, *columns]."""
        return self._own(torch.randn(n * self.ranks.count, *columns, generator=self.stream), n)

    def _own(self, rows: Tensor, n: int) -> Tensor:
        return rows[self.ranks.rank * n : (self.ranks.rank + 1) * n]

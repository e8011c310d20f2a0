"""The random numbers of one step. Every rank draws them for the whole batch and uses its own rows."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from synthcxr.training.distributed import SINGLE_PROCESS, Ranks


@dataclasses.dataclass(frozen=True)
class StepRng:
    """The random stream of a step, as this rank uses it: a batch is the same for any number of ranks."""

    stream: torch.Generator
    ranks: Ranks = SINGLE_PROCESS

    def uniform(self, n: int, *columns: int) -> Tensor:
        """Return this rank's `n` rows of uniform numbers in [0, 1), float32 [n, *columns]."""
        return self._select_own(torch.rand(n * self.ranks.world_size, *columns, generator=self.stream), n)

    def normal(self, n: int, *columns: int) -> Tensor:
        """Return this rank's `n` rows of standard normal numbers, float32 [n, *columns]."""
        return self._select_own(torch.randn(n * self.ranks.world_size, *columns, generator=self.stream), n)

    def _select_own(self, rows: Tensor, n: int) -> Tensor:
        return rows[self.ranks.rank * n : (self.ranks.rank + 1) * n]

"""Several processes that train one GAN together, each on its share of every batch, as torchrun starts them.

Gradients are averaged by hand after each backward pass: torch's own wrapper (DDP) hooks into that pass, which a
gradient penalty, differentiated twice, goes through more than once. One process is rank 0 of 1 and sends nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from synthcxr.config.schema import Device
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.networks.device import pick
from synthcxr.networks.layers import group_size
from synthcxr.training.schedule import Phase

_TOLD = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's number and how many there are; what it sends lies on `device`."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def average_gradients(self, network: nn.Module) -> None:
        """Give every rank the gradient of the whole batch: the mean of the ranks' means, as one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        sent = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(sent, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def mean(self, values: Tensor) -> Tensor:
        """The mean over ranks, elementwise; the same bits on each of them."""
        if self.count == 1:
            return values
        with _present():
            dist.all_reduce(values)
        return values / self.count

    def any(self, true: bool) -> bool:
        """Whether it is true of any rank."""
        return bool(self.mean(torch.tensor(float(true), device=self.device)) > 0)

    def wait(self) -> None:
        """Until every rank is here."""
        self.any(False)

    def require_same(self, fingerprint: str) -> None:
        """Raise ConfigError unless this rank's training is rank 0's."""
        own = int(hashlib.sha256(fingerprint.encode()).hexdigest()[:15], 16)
        if self.from_first(own) != own:
            raise ConfigError(f"rank {self.rank} has other films or parameters than rank 0")

    def from_first(self, number: int) -> int:
        """Rank 0's whole number; the others wait for it."""
        told = torch.tensor(number, dtype=torch.int64, device=self.device)
        if self.count > 1:
            with _present():
                dist.broadcast(told, src=0)
        return int(told)


ALONE = Ranks(0, 1, torch.device("cpu"))


def divide(phases: Sequence[Phase], ranks: Ranks, say: Callable[[str], None]) -> None:
    """Refuse a batch that does not divide among the ranks; say where the statistic over a group becomes another."""
    for phase in phases:
        name, share = f"train_gan.batch.{phase.resolution}", phase.batch // ranks.count
        if phase.batch % ranks.count:
            raise ConfigError(f"{name}: {phase.batch} images do not divide among {ranks.count} ranks")
        if group_size(share) != group_size(phase.batch):
            say(
                f"{name}: minibatch standard deviation in groups of {group_size(share)}, each rank's own,"
                f" where one rank alone takes {group_size(phase.batch)}"
            )


@contextmanager
def joined(device: Device) -> Iterator[Ranks]:
    """The ranks that torchrun has started, or one alone; a GPU each over NCCL, or CPUs over gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if missing := [name for name in _TOLD if name not in os.environ]:
        raise ConfigError(f"WORLD_SIZE is set but {missing[0]} is not: start with torchrun, or unset WORLD_SIZE")
    kind = pick(device).type
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with _present():
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), torch.device(kind))
    finally:
        dist.destroy_process_group()


@contextmanager
def _present() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ArtifactError(
            "a rank of this training is not there or has gone; the same command goes on from the last checkpoint"
        ) from error

"""Data-parallel training of one GAN in several processes (ranks), as torchrun starts them.

Gradients are averaged explicitly after each backward pass. torch's own wrapper (DDP) hooks into that pass, but a
gradient penalty is differentiated twice and runs through it more than once. A single process communicates nothing.
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
from synthcxr.networks.device import select_device
from synthcxr.networks.layers import stddev_group_size
from synthcxr.training.schedule import Phase

_TORCHRUN_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The number of this process, the number of processes, and the device of the tensors that they exchange."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the only rank that writes files and reports."""
        return self.rank == 0

    def average_gradients(self, network: nn.Module) -> None:
        """Give every rank the gradient of the whole batch: the mean over ranks, in one message."""
        if self.world_size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        averaged = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(averaged, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def mean(self, values: Tensor) -> Tensor:
        """Return the elementwise mean over ranks; every rank gets the same bits."""
        if self.world_size == 1:
            return values
        with _map_lost_rank():
            dist.all_reduce(values)
        return values / self.world_size

    def any(self, condition: bool) -> bool:
        """Return whether the condition is true on any rank."""
        return bool(self.mean(torch.tensor(float(condition), device=self.device)) > 0)

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.any(False)

    def require_same_fingerprint(self, fingerprint: str) -> None:
        """Raise ConfigError unless this rank runs the same training as rank 0."""
        own = int(hashlib.sha256(fingerprint.encode()).hexdigest()[:15], 16)
        if self.broadcast(own) != own:
            raise ConfigError(
                f"rank {self.rank} has other films or parameters than rank 0; start every rank with the same ones"
            )

    def broadcast(self, number: int) -> int:
        """Return the integer of rank 0; the other ranks wait for it."""
        message = torch.tensor(number, dtype=torch.int64, device=self.device)
        if self.world_size > 1:
            with _map_lost_rank():
                dist.broadcast(message, src=0)
        return int(message)


SINGLE_PROCESS = Ranks(0, 1, torch.device("cpu"))


def check_batches(phases: Sequence[Phase], ranks: Ranks, on_message: Callable[[str], None]) -> None:
    """Raise ConfigError for a batch that the ranks cannot divide; report where the minibatch statistic changes."""
    for phase in phases:
        name, share = f"train_gan.batch.{phase.resolution}", phase.batch // ranks.world_size
        if phase.batch % ranks.world_size:
            raise ConfigError(
                f"{name}: {phase.batch} images do not divide among {ranks.world_size} ranks;"
                f" use a multiple of {ranks.world_size}"
            )
        if stddev_group_size(share) != stddev_group_size(phase.batch):
            on_message(
                f"{name}: each rank computes the minibatch standard deviation in groups of"
                f" {stddev_group_size(share)}; a single rank uses groups of {stddev_group_size(phase.batch)}"
            )


@contextmanager
def join_ranks(device: Device) -> Iterator[Ranks]:
    """Join the ranks that torchrun has started: one GPU each over NCCL, or CPUs over gloo; else a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    if missing := [name for name in _TORCHRUN_VARIABLES if name not in os.environ]:
        raise ConfigError(f"WORLD_SIZE is set but {missing[0]} is not; start with torchrun, or unset WORLD_SIZE")
    device_type = select_device(device).type
    if device_type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with _map_lost_rank():
        dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), torch.device(device_type))
    finally:
        dist.destroy_process_group()


@contextmanager
def _map_lost_rank() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ArtifactError(
            "another rank of this training is missing or has stopped; run the same command again to resume from the"
            " last checkpoint"
        ) from error

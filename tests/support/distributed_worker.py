"""What several ranks do together, in a file that each runs: `torchrun ... two_ranks.py everything|killed FOLDER`.

The test runs the same functions by itself, as one rank with the joined batch, and compares.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from support.small_gan import CONFIG, Heard, films
from torch import Tensor

from synthcxr.config.schema import Augment, GanConfig
from synthcxr.networks import safetensors_files
from synthcxr.training import gan, schedule, step
from synthcxr.training.distributed import Ranks, joined
from synthcxr.training.film_order import reals

AUGMENT = Augment(translate=0.25, brightness=0.2, contrast=0.2, cutout=0.5, cutout_p=0.5)
CONFIGS = {
    "r1": dataclasses.replace(CONFIG, augment=AUGMENT),
    "wgan-gp": dataclasses.replace(
        CONFIG, augment=AUGMENT, blocks="paper", loss="wgan-gp", penalty=10.0, penalty_interval=1, drift=1e-3
    ),
}
BATCH = 16


def stepped(config: GanConfig, ranks: Ranks, *, dtype: torch.dtype, n_steps: int, lr: float) -> gan.State:
    """The state after some steps at 8 px, half faded in; a learning rate of 0 leaves gradients of the same weights."""
    state = gan.new_state(config, torch.device("cpu"))
    for network in (state.generator, state.discriminator, state.ema):
        network.to(dtype)
    moment = schedule.Moment(8, 0.5, BATCH, lr, 0)
    gan.set_lr(config, state, moment)
    for index in range(n_steps):
        share = BATCH // ranks.count
        at = state.nimg + ranks.rank * share
        real = reals(films, seed=config.seed, resolution=8, nimg=at, batch=share).to(dtype)
        step.run(state, moment, real, config, bf16=False, index=index, ranks=ranks)
        gan.average(state, BATCH, config.ema_half_life_nimg)
        state.nimg += BATCH
    return state


def gradients(config: GanConfig, ranks: Ranks) -> dict[str, Tensor]:
    """Of both networks, after one step in fp32 that moves no weight."""
    state = stepped(config, ranks, dtype=torch.float32, n_steps=1, lr=0.0)
    return {
        f"{side}/{name}": parameter.grad
        for side in ("generator", "discriminator")
        for name, parameter in getattr(state, side).named_parameters()
        if parameter.grad is not None
    }


def three_steps(config: GanConfig, ranks: Ranks) -> dict[str, Tensor]:
    """Of all three networks, after three steps in float64."""
    return tensors(stepped(config, ranks, dtype=torch.float64, n_steps=3, lr=1.0))


def tensors(state: gan.State) -> dict[str, Tensor]:
    """The weights of all three networks."""
    return {
        f"{side}/{name}": value
        for side in ("generator", "discriminator", "ema")
        for name, value in getattr(state, side).state_dict().items()
    }


def trained(folder: Path, ranks: Ranks, heard: Heard) -> dict[str, Tensor]:
    """Of a whole training."""
    return tensors(gan.train(CONFIG, films, fingerprint="f", folder=folder, listeners=heard.listeners(), ranks=ranks))


def everything(folder: Path) -> None:
    """Everything, each rank into files of its own; the second training is stopped and started again."""
    with joined("cpu") as ranks:
        for name, config in CONFIGS.items():
            safetensors_files.save(folder / f"gradients-{name}-{ranks.rank}", gradients(config, ranks), {})
            safetensors_files.save(folder / f"three-steps-{name}-{ranks.rank}", three_steps(config, ranks), {})
        heard = Heard()
        safetensors_files.save(folder / f"trained-{ranks.rank}", trained(folder / "whole", ranks, heard), {})
        stopped, again = Heard(stop_at=112), Heard()
        try:
            trained(folder / "stopped", ranks, stopped)
        except KeyboardInterrupt:
            safetensors_files.save(folder / f"resumed-{ranks.rank}", trained(folder / "stopped", ranks, again), {})
        about = {"rows": [row["nimg"] for row in heard.rows], "grids": heard.grids, "began": again.began}
        (folder / f"heard-{ranks.rank}.json").write_text(json.dumps(about))


def killed(folder: Path) -> None:
    """A training of which the last rank is killed at its 20th step, unless there is a checkpoint to go on from."""
    begun = folder.is_dir()
    n_steps = 0

    def deadly(resolution: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 20 and not begun:
            os.kill(os.getpid(), signal.SIGKILL)
        return films(resolution)

    with joined("cpu") as ranks:
        shown = films if ranks.first else deadly
        heard = Heard().listeners()
        state = gan.train(CONFIG, shown, fingerprint="f", folder=folder, listeners=heard, ranks=ranks)
        safetensors_files.save(folder / f"ended-{ranks.rank}", tensors(state), {})


if __name__ == "__main__":
    {"everything": everything, "killed": killed}[sys.argv[1]](Path(sys.argv[2]))

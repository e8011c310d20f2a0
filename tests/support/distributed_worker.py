"""The work of one rank in the tests of distributed training: `torchrun ... distributed_worker.py COMMAND FOLDER`.

The tests run the same functions in a single process, with the whole batch, and compare.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import torch
from support.small_gan import CONDITIONAL, CONFIG, ProgressRecorder, read_conditional_films, read_films
from torch import Tensor

from synthcxr.config.gan_sections import AugmentConfig
from synthcxr.config.schema import GanConfig
from synthcxr.networks import safetensors_files
from synthcxr.training import gan, gan_state, step
from synthcxr.training.distributed import Ranks, join_ranks
from synthcxr.training.film_order import ShownFilms, load_real_batch
from synthcxr.training.gan_state import GanState
from synthcxr.training.schedule import SchedulePoint

AUGMENT = AugmentConfig(translate=0.25, brightness=0.2, contrast=0.2, cutout=0.5, cutout_p=0.5)
CONFIGS = {
    "r1": dataclasses.replace(CONFIG, augment=AUGMENT),
    "wgan-gp": dataclasses.replace(
        CONFIG, augment=AUGMENT, blocks="paper", loss="wgan-gp", penalty=10.0, penalty_interval=1, drift=1e-3
    ),
    "conditional": dataclasses.replace(CONFIG, augment=AUGMENT, condition=CONDITIONAL.condition),
}
BATCH = 16


def run_steps(config: GanConfig, ranks: Ranks, *, dtype: torch.dtype, n_steps: int, lr_factor: float) -> GanState:
    """Run steps at 8 px, half faded in; with an `lr_factor` of 0 the weights stay and only gradients change."""
    state = gan_state.create_state(config, torch.device("cpu"))
    for network in (state.generator, state.discriminator, state.ema):
        network.to(dtype)
    point = SchedulePoint(8, alpha=0.5, batch=BATCH, lr_factor=lr_factor, phase_start=0)
    gan_state.set_learning_rates(config, state, point)
    for index in range(n_steps):
        share = BATCH // ranks.world_size
        share_nimg = state.nimg + ranks.rank * share
        read = read_conditional_films if config.condition else read_films
        real = load_real_batch(read, seed=config.seed, resolution=8, nimg=share_nimg, batch=share)
        images = real.images.to(dtype)
        conditions = None if real.conditions is None else real.conditions.to(dtype)
        step.run_step(state, point, images, config, bf16=False, index=index, ranks=ranks, conditions=conditions)
        gan_state.update_ema(state, BATCH, config.ema_half_life_nimg)
        state.nimg += BATCH
    return state


def compute_gradients(config: GanConfig, ranks: Ranks) -> dict[str, Tensor]:
    """Return the gradients of both networks after one fp32 step that changes no weight."""
    state = run_steps(config, ranks, dtype=torch.float32, n_steps=1, lr_factor=0.0)
    return {
        f"{network}/{name}": parameter.grad
        for network in ("generator", "discriminator")
        for name, parameter in getattr(state, network).named_parameters()
        if parameter.grad is not None
    }


def run_three_steps(config: GanConfig, ranks: Ranks) -> dict[str, Tensor]:
    """Return the weights of all three networks after three steps in float64."""
    return collect_weights(run_steps(config, ranks, dtype=torch.float64, n_steps=3, lr_factor=1.0))


def collect_weights(state: GanState) -> dict[str, Tensor]:
    """Return the weights of all three networks."""
    return {
        f"{network}/{name}": value
        for network in ("generator", "discriminator", "ema")
        for name, value in getattr(state, network).state_dict().items()
    }


def train(folder: Path, ranks: Ranks, recorder: ProgressRecorder) -> dict[str, Tensor]:
    """Run a whole training and return its weights."""
    state = gan.train_gan(
        CONFIG, read_films, fingerprint="f", folder=folder, callbacks=recorder.callbacks(), ranks=ranks
    )
    return collect_weights(state)


def run_all(folder: Path) -> None:
    """Run everything, each rank into its own files; the second training is stopped and resumed."""
    with join_ranks("cpu") as ranks:
        for name, config in CONFIGS.items():
            safetensors_files.save(folder / f"gradients-{name}-{ranks.rank}", compute_gradients(config, ranks), {})
            safetensors_files.save(folder / f"three-steps-{name}-{ranks.rank}", run_three_steps(config, ranks), {})
        recorder = ProgressRecorder()
        safetensors_files.save(folder / f"trained-{ranks.rank}", train(folder / "uninterrupted", ranks, recorder), {})
        resumed = ProgressRecorder()
        try:
            train(folder / "stopped", ranks, ProgressRecorder(stop_nimg=112))
        except KeyboardInterrupt:
            safetensors_files.save(folder / f"resumed-{ranks.rank}", train(folder / "stopped", ranks, resumed), {})
        progress = {
            "rows": [row["nimg"] for row in recorder.rows],
            "grids": recorder.grids,
            "resumed_from": resumed.resumed_from,
        }
        (folder / f"progress-{ranks.rank}.json").write_text(json.dumps(progress))


def train_with_killed_rank(folder: Path) -> None:
    """Train, and kill the last rank at its 20th step unless there is a checkpoint to resume from."""
    is_resumed = folder.is_dir()
    n_steps = 0

    def read_films_or_die(resolution: int) -> ShownFilms:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 20 and not is_resumed:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_films(resolution)

    with join_ranks("cpu") as ranks:
        state = gan.train_gan(
            CONFIG,
            read_films if ranks.is_first else read_films_or_die,
            fingerprint="f",
            folder=folder,
            callbacks=ProgressRecorder().callbacks(),
            ranks=ranks,
        )
        safetensors_files.save(folder / f"ended-{ranks.rank}", collect_weights(state), {})


if __name__ == "__main__":
    {"all": run_all, "killed": train_with_killed_rank}[sys.argv[1]](Path(sys.argv[2]))

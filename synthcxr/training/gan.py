"""The training loop of the PGGAN. The same command resumes a stopped training, with bit-identical results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from synthcxr.config.schema import GanConfig
from synthcxr.data import images, random_streams
from synthcxr.data.condition_table import ConditionTable, draw_conditions
from synthcxr.errors import ArtifactError
from synthcxr.networks.device import select_device
from synthcxr.networks.generator import Generator
from synthcxr.storage import stop_signals
from synthcxr.training import mixed_precision, schedule, step
from synthcxr.training.best_checkpoint import BestCheckpoint, Distance
from synthcxr.training.checkpoint import list_checkpoints, resume_from_checkpoint, save_checkpoint
from synthcxr.training.distributed import SINGLE_PROCESS, Ranks, check_batches
from synthcxr.training.film_order import ReadFilms, load_real_batch
from synthcxr.training.gan_state import (
    GanState,
    InitialWeights,
    create_state,
    load_initial_weights,
    restart_optimisers,
    set_learning_rates,
    update_ema,
)
from synthcxr.training.log_callbacks import NO_CALLBACKS, LogRow, ProgressCallbacks
from synthcxr.training.malloc import retain_freed_memory
from synthcxr.training.phase_progress import PhaseProgress
from synthcxr.training.schedule import SchedulePoint

N_GRID_IMAGES = 64


def train_gan(
    config: GanConfig,
    read_films: ReadFilms,
    *,
    fingerprint: str,
    folder: Path,
    callbacks: ProgressCallbacks,
    initial_weights: InitialWeights | None = None,
    ranks: Ranks = SINGLE_PROCESS,
    val_distance: Distance | None = None,
    feature_weights: Path | None = None,
    condition_table: ConditionTable | None = None,
) -> GanState:
    """Train to the end of the schedule and return the final state.

    `folder` holds the checkpoints; a checkpoint there takes precedence over `initial_weights`. Several `ranks` share
    each batch and one `folder`; only rank 0 writes and calls `callbacks`. With `val_distance`, the returned `ema` is
    the measured averaged generator with the smallest distance. `feature_weights` is the verified weight file of the
    backbone, required with `config.feature_critic`. With `config.condition`, the films have conditions, and measured
    and shown images draw theirs from `condition_table`.
    """
    # Check the parameters and create the networks.
    callbacks = callbacks if ranks.is_first else NO_CALLBACKS
    phases = schedule.build_phases(config.nimg, config.batch, fade_nimg=config.fade_nimg, resolution=config.resolution)
    device = select_device(config.device)
    retain_freed_memory()
    state = create_state(config, device, feature_weights)
    if initial_weights is not None:
        load_initial_weights(state, initial_weights, config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    check_batches(phases, ranks, callbacks.on_message)
    ranks.require_same_fingerprint(fingerprint)

    # Select the precision on rank 0.
    use_bf16 = ranks.is_first and mixed_precision.choose_bf16(
        config, folder, _build_step_factory(config, read_films, device), callbacks.on_message
    )
    bf16 = bool(ranks.broadcast(use_bf16))

    # Resume from the newest checkpoint, if there is one.
    identity = {"fingerprint": fingerprint, "bf16": str(bf16)}
    resume_from_checkpoint(folder, state, identity, callbacks.on_message, ranks)
    callbacks.on_resume(state.nimg)
    best = None
    if val_distance is not None:
        best = BestCheckpoint(
            folder, identity, val_distance, config.n_val_distance, callbacks.on_message, condition_table
        )

    end_nimg = phases[-1].end
    callbacks.on_message(schedule.describe_phases(phases))
    last_report_s, last_report_nimg = time.monotonic(), state.nimg
    last_penalty = math.nan
    with (
        stop_signals.deferred(interruptible=True) as stop,
        PhaseProgress(phases, state.nimg, enabled=ranks.is_first) as progress,
    ):
        while state.nimg < end_nimg:
            # Set resolution, fade and learning rates; a new resolution starts with new optimisers.
            point = schedule.point_at(
                state.nimg, phases, lr_decay_share=config.lr_decay_share, condition_fade=config.condition_fade
            )
            if point.phase_start != state.phase_start:
                restart_optimisers(config, state)
                state.phase_start = point.phase_start
            set_learning_rates(config, state, point)

            # Load this rank's share of the real images.
            share = point.batch // ranks.world_size
            share_nimg = state.nimg + ranks.rank * share
            real = load_real_batch(
                read_films, seed=config.seed, resolution=point.resolution, nimg=share_nimg, batch=share
            ).to(device)

            # Train D and G.
            index = (state.nimg - point.phase_start) // point.batch
            losses = step.run_step(
                state, point, real.images, config, bf16=bf16, index=index, ranks=ranks, conditions=real.conditions
            )
            if not math.isfinite(losses.loss_d + losses.loss_g):
                raise _build_divergence_error("the loss", state, folder)

            # Update the averaged generator and the time.
            update_ema(state, point.batch, config.ema_half_life_nimg)
            previous_nimg, state.nimg = state.nimg, state.nimg + point.batch
            last_penalty = last_penalty if math.isnan(losses.penalty) else losses.penalty
            progress.update_to(state.nimg)

            def is_due(interval_nimg: int, previous_nimg: int = previous_nimg) -> bool:
                return previous_nimg // interval_nimg != state.nimg // interval_nimg or state.nimg >= end_nimg

            # Measure the averaged generator at each snapshot once the networks are fully grown and fully conditional.
            measured: LogRow = {}
            fully_grown = point.resolution == config.resolution and min(point.alpha, point.condition_weight) >= 1.0
            if best is not None and fully_grown and is_due(config.snapshot_nimg):
                measured["val_distance"] = best.measure(state.ema, seed=config.seed, nimg=state.nimg)

            # Report a row of the log.
            if is_due(config.report_nimg) or measured:
                now_s = time.monotonic()
                wall_s = now_s - last_report_s
                rate = (state.nimg - last_report_nimg) / max(wall_s, 1e-9)
                row = _build_row(state, point, losses, config, penalty=last_penalty, rate=rate, wall_s=wall_s)
                callbacks.on_row(row | measured)
                last_report_s, last_report_nimg = now_s, state.nimg

            # Report a grid of images. It precedes the checkpoint, so that a killed run makes it again.
            stop_requested = ranks.any(stop.requested)
            checkpoint_due = is_due(config.checkpoint_nimg) or stop_requested
            if checkpoint_due:
                _require_finite(state, folder)
            if is_due(config.snapshot_nimg):
                callbacks.on_grid(state.nimg, generate_grid(state.ema, config, point, condition_table))

            # Save a checkpoint, and stop if a signal has requested it on any rank.
            if checkpoint_due:
                if ranks.is_first:
                    save_checkpoint(folder, state, identity)
                ranks.barrier()
            if stop_requested:
                callbacks.on_message(f"stopped after {state.nimg:,} of {end_nimg:,} images; a checkpoint is saved")
                raise stop.build_stop()

    # Return the best averaged generator instead of the last one.
    if best is not None:
        best.load_into(state.ema)
    return state


def generate_grid(
    generator: Generator, config: GanConfig, point: SchedulePoint, table: ConditionTable | None = None
) -> NDArray[np.uint8]:
    """Generate the images of 64 fixed latents and conditions, uint8 [64, R, R]."""
    device = next(generator.parameters()).device
    z = torch.from_numpy(random_streams.draw_latents(config.seed, 0, N_GRID_IMAGES, config.latent)).to(device)
    condition = None
    if table is not None:
        drawn = torch.from_numpy(draw_conditions(table, config.seed, range(N_GRID_IMAGES))).to(device)
        condition = step.fade_condition(drawn, point.condition_weight)
    with torch.no_grad():
        return images.to_uint8(generator(z, point.resolution, point.alpha, condition).cpu().numpy())


def _build_row(
    state: GanState,
    point: SchedulePoint,
    losses: step.Losses,
    config: GanConfig,
    *,
    penalty: float,
    rate: float,
    wall_s: float,
) -> LogRow:
    feature_losses = {"feature_loss_d": losses.feature_loss_d, "feature_loss_g": losses.feature_loss_g}
    return {
        "nimg": state.nimg,
        "resolution": point.resolution,
        "alpha": point.alpha,
        "lr": config.lr_g * point.lr_factor,
        "loss_d": losses.loss_d,
        "loss_g": losses.loss_g,
        "penalty": penalty,
        "real_logit": losses.real_logit,
        "synthetic_logit": losses.synthetic_logit,
        "images_per_s": rate,
        "wall_s": wall_s,
    } | {name: value for name, value in feature_losses.items() if not math.isnan(value)}


def _build_step_factory(
    config: GanConfig, read_films: ReadFilms, device: torch.device
) -> Callable[[bool], mixed_precision.RunStep]:
    """Return a function that builds, for bf16 or fp32, a step at the final resolution on separate networks."""
    batch = config.batch[config.resolution]
    point = SchedulePoint(config.resolution, alpha=1.0, batch=batch, lr_factor=1.0, phase_start=0)
    real = load_real_batch(read_films, seed=config.seed, resolution=config.resolution, nimg=0, batch=batch).to(device)

    def create_step(bf16: bool) -> mixed_precision.RunStep:
        state = create_state(config, device)

        def run_step(index: int) -> None:
            step.run_step(state, point, real.images, config, bf16=bf16, index=index, conditions=real.conditions)

        return run_step

    return create_step


def _require_finite(state: GanState, folder: Path) -> None:
    for network in (state.generator, state.discriminator, state.ema):
        if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
            raise _build_divergence_error("a weight", state, folder)


def _build_divergence_error(what: str, state: GanState, folder: Path) -> ArtifactError:
    checkpoints = list_checkpoints(folder)
    last = f"the last good checkpoint is {checkpoints[-1]}" if checkpoints else "there is no checkpoint yet"
    return ArtifactError(
        f"training stopped: {what} is not finite at nimg {state.nimg}; {last}; lower train_gan.lr_g and lr_d"
    )

"""Train a PGGAN: grow, step, average, report, checkpoint; the same command again goes on where it stopped."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from synthcxr.config.schema import GanConfig
from synthcxr.data import images, random_streams
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.networks import net2wider, safetensors_files
from synthcxr.networks.device import pick
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator
from synthcxr.training import mixed_precision, moment_matching, schedule, step
from synthcxr.training.best_checkpoint import Distance, Selection
from synthcxr.training.checkpoint import State, checkpoints, resume, save
from synthcxr.training.distributed import ALONE, Ranks, divide
from synthcxr.training.feature_critic import FeatureCritic
from synthcxr.training.film_order import Films, reals
from synthcxr.training.graceful_stop import held_back
from synthcxr.training.malloc import keep_pages
from synthcxr.training.moment_matching import Moments

Row = dict[str, float]
GRID = 64


@dataclasses.dataclass(frozen=True)
class Start:
    """The weight files of an earlier training's averaged generator and of its discriminator."""

    generator: Path
    discriminator: Path


@dataclasses.dataclass(frozen=True)
class Listeners:
    """Who hears of progress: a row of figures, a grid of synthetic images uint8 [64, R, R], a line of text.

    `resumed` is told the nimg from which the run goes on, before anything else.
    """

    row: Callable[[Row], None]
    grid: Callable[[int, NDArray[np.uint8]], None]
    say: Callable[[str], None]
    resumed: Callable[[int], None]


NOBODY = Listeners(row=lambda row: None, grid=lambda nimg, grid: None, say=lambda line: None, resumed=lambda nimg: None)


def train(
    config: GanConfig,
    films: Films,
    *,
    fingerprint: str,
    folder: Path,
    listeners: Listeners,
    start: Start | None = None,
    ranks: Ranks = ALONE,
    val_distance: Distance | None = None,
    feature_weights: Path | None = None,
) -> State:
    """Train to the end of the schedule and return the final state; checkpoints lie in `folder`.

    `start` holds the networks of an earlier training to go on from, unless a checkpoint is there. Several `ranks`
    share each batch and see one `folder`; the first alone writes and is heard. With `val_distance`, the averaged
    generator returned is the one of those snapshots that it is smallest for. `feature_weights` is the checked file
    of the backbone that `config.feature_critic` wants.
    """
    listeners = listeners if ranks.first else NOBODY
    phases = schedule.phases(config.nimg, config.batch, fade_nimg=config.fade_nimg, resolution=config.resolution)
    device = pick(config.device)
    keep_pages()
    state = new_state(config, device, feature_weights)
    if start is not None:
        begin(state, start, config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    divide(phases, ranks, listeners.say)
    ranks.require_same(fingerprint)
    quicker = ranks.first and mixed_precision.choose(config, folder, _ready(config, films, device), listeners.say)
    bf16 = bool(ranks.from_first(quicker))
    identity = {"fingerprint": fingerprint, "bf16": str(bf16)}
    resume(folder, state, identity, listeners.say, ranks)
    listeners.resumed(state.nimg)
    best = None
    if val_distance is not None:
        best = Selection(folder, identity, val_distance, config.n_val_distance, listeners.say)
    done = phases[-1].end
    reported_at, reported_nimg = time.monotonic(), state.nimg
    last_penalty = math.nan

    with (
        held_back() as interruption,
        tqdm(
            total=done,
            initial=state.nimg,
            unit="img",
            unit_scale=True,
            disable=None if ranks.first else True,
            desc="train-gan",
        ) as bar,
    ):
        while state.nimg < done:
            moment = schedule.at(state.nimg, phases, lr_decay_share=config.lr_decay_share)
            if moment.start != state.phase_start:
                restart_optimisers(config, state)
                state.phase_start = moment.start
            set_lr(config, state, moment)

            share = moment.batch // ranks.count
            at = state.nimg + ranks.rank * share
            real = reals(films, seed=config.seed, resolution=moment.resolution, nimg=at, batch=share).to(device)
            index = (state.nimg - moment.start) // moment.batch
            losses = step.run(state, moment, real, config, bf16=bf16, index=index, ranks=ranks)
            if not math.isfinite(losses.loss_d + losses.loss_g):
                raise _diverged("the loss", state, folder)
            average(state, moment.batch, config.ema_half_life_nimg)
            before, state.nimg = state.nimg, state.nimg + moment.batch
            last_penalty = last_penalty if math.isnan(losses.penalty) else losses.penalty
            bar.update(moment.batch)

            def due(every: int, before: int = before) -> bool:
                return before // every != state.nimg // every or state.nimg >= done

            measured: Row = {}
            grown = moment.resolution == config.resolution and moment.alpha >= 1.0
            if best is not None and grown and due(config.snapshot_nimg):
                measured["val_distance"] = best.offer(state.ema, seed=config.seed, nimg=state.nimg)
            if due(config.report_nimg) or measured:
                now = time.monotonic()
                rate = (state.nimg - reported_nimg) / max(now - reported_at, 1e-9)
                listeners.row(
                    _row(state, moment, losses, config, penalty=last_penalty, rate=rate, wall_s=now - reported_at)
                    | measured
                )
                reported_at, reported_nimg = now, state.nimg
            asked = ranks.any(interruption.asked)
            if due(config.checkpoint_nimg) or asked:
                _require_finite(state, folder)
                if ranks.first:
                    save(folder, state, identity)
                ranks.wait()
            if asked:
                raise KeyboardInterrupt
            if due(config.snapshot_nimg):
                listeners.grid(state.nimg, sample(state.ema, config, moment))
    if best is not None:
        best.restore(state.ema)
    return state


def new_state(config: GanConfig, device: torch.device, feature_weights: Path | None = None) -> State:
    """Fresh networks, seeded by the config alone; heads on frozen features only with `feature_weights`."""
    channels = {side: n for side, n in config.channels.items() if side <= config.resolution}
    side = 4
    while side <= config.resolution:
        if side not in channels:
            raise ConfigError(f"train_gan.channels.{side}: missing")
        side *= 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = Generator(config.latent, channels, config.blocks)
        discriminator = Discriminator(channels, config.blocks)
        features = None
        if config.feature_critic is not None and feature_weights is not None:
            features = FeatureCritic(config.feature_critic, feature_weights, device)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    generator.to(device, memory_format=layout)  # type: ignore[call-overload]
    discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]
    ema = copy.deepcopy(generator).requires_grad_(False)
    adam_g, adam_d = _adam(config, generator, config.lr_g), _adam(config, discriminator, config.lr_d)
    adam_h = None if features is None else _adam(config, features.heads, config.lr_d)
    held = {
        name: Moments(moment_matching.N_CELLS).to(device) for name in moment_matching.OF_IMAGES if getattr(config, name)
    }
    return State(generator, discriminator, ema, adam_g, adam_d, 0, -1, features, adam_h, held)


def begin(state: State, start: Start, seed: int) -> None:
    """Take over an earlier training's networks; resolutions that it had not grown to keep their fresh weights.

    Networks narrower by a whole factor are widened and compute the same. The averaged generator is all that is kept
    of G, so that it begins as both. Raises ArtifactError for files of networks of other widths, latents or blocks.
    """
    for network, path in ((state.generator, start.generator), (state.discriminator, start.discriminator)):
        tensors, _ = safetensors_files.load(path)
        fresh = network.state_dict()
        try:
            taken = net2wider.widen(tensors, {name: tensor.shape for name, tensor in fresh.items()}, seed)
        except ArtifactError as error:
            raise ArtifactError(
                f"{path}: does not fit train_gan.latent, channels and blocks ({error}); take over those of"
                " the model that start_from names, or whole multiples of its channels beyond 4 px"
            ) from error
        network.load_state_dict(fresh | taken)
    state.ema.load_state_dict(state.generator.state_dict())


def restart_optimisers(config: GanConfig, state: State) -> None:
    """Give every network a fresh Adam, as each resolution starts with."""
    state.adam_g = _adam(config, state.generator, config.lr_g)
    state.adam_d = _adam(config, state.discriminator, config.lr_d)
    state.adam_h = None if state.features is None else _adam(config, state.features.heads, config.lr_d)


def _adam(config: GanConfig, network: nn.Module, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=config.betas, eps=1e-8, foreach=True)


def set_lr(config: GanConfig, state: State, moment: schedule.Moment) -> None:
    """Give every optimiser the moment's learning rate; heads on frozen features learn at the discriminator's."""
    for adam, lr in ((state.adam_g, config.lr_g), (state.adam_d, config.lr_d), (state.adam_h, config.lr_d)):
        if adam is not None:
            adam.param_groups[0]["lr"] = lr * moment.lr


def average(state: State, batch: int, half_life_nimg: int) -> None:
    """Move the averaged generator towards the live one."""
    keep = 0.5 ** (batch / half_life_nimg)
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.parameters()), list(state.generator.parameters()), 1 - keep)


def sample(generator: Generator, config: GanConfig, moment: schedule.Moment) -> NDArray[np.uint8]:
    """The same 64 latents' images at any time, uint8 [64, R, R]."""
    device = next(generator.parameters()).device
    z = torch.from_numpy(random_streams.latents(config.seed, 0, GRID, config.latent)).to(device)
    with torch.no_grad():
        return images.to_uint8(generator(z, moment.resolution, moment.alpha).cpu().numpy())


def _row(
    state: State,
    moment: schedule.Moment,
    losses: step.Losses,
    config: GanConfig,
    *,
    penalty: float,
    rate: float,
    wall_s: float,
) -> Row:
    looked = {"feature_loss_d": losses.feature_loss_d, "feature_loss_g": losses.feature_loss_g}
    return {
        "nimg": state.nimg,
        "resolution": moment.resolution,
        "alpha": moment.alpha,
        "lr": config.lr_g * moment.lr,
        "loss_d": losses.loss_d,
        "loss_g": losses.loss_g,
        "penalty": penalty,
        "real_logit": losses.real_logit,
        "synthetic_logit": losses.synthetic_logit,
        "images_per_s": rate,
        "wall_s": wall_s,
    } | {name: value for name, value in looked.items() if not math.isnan(value)}


def _ready(config: GanConfig, films: Films, device: torch.device) -> Callable[[bool], mixed_precision.TakeStep]:
    """Steps of the final resolution on networks of their own, by whether they run in bf16."""
    batch = config.batch[config.resolution]
    moment = schedule.Moment(config.resolution, 1.0, batch, 1.0, 0)
    real = reals(films, seed=config.seed, resolution=config.resolution, nimg=0, batch=batch).to(device)

    def ready(bf16: bool) -> mixed_precision.TakeStep:
        state = new_state(config, device)

        def take(index: int) -> None:
            step.run(state, moment, real, config, bf16=bf16, index=index)

        return take

    return ready


def _require_finite(state: State, folder: Path) -> None:
    for network in (state.generator, state.discriminator, state.ema):
        if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
            raise _diverged("a weight", state, folder)


def _diverged(what: str, state: State, folder: Path) -> ArtifactError:
    kept = checkpoints(folder)
    last = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
    return ArtifactError(
        f"training stopped: {what} is not finite at nimg {state.nimg}; {last}; lower train_gan.lr_g and lr_d"
    )

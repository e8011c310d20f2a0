"""Progressive growing as a pure function of time, where time is images shown to the discriminator (`nimg`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from synthcxr.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Phase:
    """One resolution's span start <= nimg < end; the first `fade_nimg` images fade it in."""

    resolution: int
    start: int
    end: int
    fade_nimg: int
    batch: int


@dataclasses.dataclass(frozen=True)
class Moment:
    """What holds at one nimg: `lr` is a factor on both learning rates, `start` names the phase."""

    resolution: int
    alpha: float
    batch: int
    lr: float
    start: int


def phases(
    nimg: Mapping[int, int], batch: Mapping[int, int], *, fade_nimg: Mapping[int, int], resolution: int
) -> tuple[Phase, ...]:
    """The phases up to `resolution`; a resolution shown no images is left out, the first is never faded."""
    sides = [side for side in sorted(nimg) if side <= resolution and nimg[side] > 0]
    if not sides or sides[-1] != resolution:
        raise ConfigError(f"train_gan.nimg.{resolution}: the final resolution is shown no images")
    built: list[Phase] = []
    start = 0
    for side in sides:
        if side not in batch:
            raise ConfigError(f"train_gan.batch.{side}: missing")
        fade = min(fade_nimg.get(side, 0), nimg[side]) if built else 0
        built.append(Phase(side, start, start + nimg[side], fade, batch[side]))
        start += nimg[side]
    return tuple(built)


def at(nimg: int, phases: Sequence[Phase], *, lr_decay_share: float) -> Moment:
    """The moment at `nimg`; the learning rate falls linearly to 0 over the last share of all images."""
    phase = next((phase for phase in phases if nimg < phase.end), phases[-1])
    alpha = 1.0 if phase.fade_nimg == 0 else min(1.0, (nimg - phase.start) / phase.fade_nimg)
    total = phases[-1].end
    decay_nimg = total * lr_decay_share
    lr = 1.0 if decay_nimg == 0 else min(1.0, max(0.0, (total - nimg) / decay_nimg))
    return Moment(phase.resolution, alpha, phase.batch, lr, phase.start)

"""Progressive growing as a pure function of time. Time is `nimg`, the number of images shown to the discriminator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from synthcxr.config.gan_sections import ConditionFadeConfig
from synthcxr.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Phase:
    """The span start <= nimg < end of one resolution; its first `fade_nimg` images fade the resolution in."""

    resolution: int
    start: int
    end: int
    fade_nimg: int
    batch: int


@dataclasses.dataclass(frozen=True)
class SchedulePoint:
    """The settings at one nimg: `lr_factor` scales both learning rates, `phase_start` identifies the phase.

    `condition_weight` is the effect of the condition, from 0 (none) to 1.
    """

    resolution: int
    alpha: float
    batch: int
    lr_factor: float
    phase_start: int
    condition_weight: float = 1.0


def build_phases(
    nimg: Mapping[int, int], batch: Mapping[int, int], *, fade_nimg: Mapping[int, int], resolution: int
) -> tuple[Phase, ...]:
    """Return the phases up to `resolution`.

    A resolution with no images has no phase, and the first phase has no fade. Raises ConfigError if the final
    resolution has no images or a batch size is missing.
    """
    sides = [side for side in sorted(nimg) if side <= resolution and nimg[side] > 0]
    if not sides or sides[-1] != resolution:
        raise ConfigError(f"train_gan.nimg.{resolution}: the final resolution is shown no images; set it above 0")
    phases: list[Phase] = []
    start = 0
    for side in sides:
        if side not in batch:
            raise ConfigError(f"train_gan.batch.{side}: missing; set the batch size of this resolution")
        fade = min(fade_nimg.get(side, 0), nimg[side]) if phases else 0
        phases.append(Phase(side, start, start + nimg[side], fade, batch[side]))
        start += nimg[side]
    return tuple(phases)


def describe_phases(phases: Sequence[Phase]) -> str:
    """Say how many images are shown in all, and at each resolution."""
    if len(phases) == 1:
        return f"the training shows {phases[0].end:,} images"
    parts = [f"{phase.end - phase.start:,} at {phase.resolution} px" for phase in phases]
    return f"the training shows {phases[-1].end:,} images, {', '.join(parts)}; larger images take longer"


def find_phase(nimg: int, phases: Sequence[Phase]) -> Phase:
    """Find the phase in which the image after `nimg` is shown; the last one at the end of the schedule."""
    return next((phase for phase in phases if nimg < phase.end), phases[-1])


def point_at(
    nimg: int, phases: Sequence[Phase], *, lr_decay_share: float, condition_fade: ConditionFadeConfig | None = None
) -> SchedulePoint:
    """Return the settings at `nimg`; the learning rate falls linearly to 0 over the last `lr_decay_share` of images.

    Without a `condition_fade`, the condition has its full effect.
    """
    phase = find_phase(nimg, phases)
    alpha = 1.0 if phase.fade_nimg == 0 else min(1.0, (nimg - phase.start) / phase.fade_nimg)
    total_nimg = phases[-1].end
    decay_nimg = total_nimg * lr_decay_share
    lr_factor = 1.0 if decay_nimg == 0 else min(1.0, max(0.0, (total_nimg - nimg) / decay_nimg))
    condition_weight = _fade_condition(nimg, condition_fade)
    return SchedulePoint(phase.resolution, alpha, phase.batch, lr_factor, phase.start, condition_weight)


def _fade_condition(nimg: int, fade: ConditionFadeConfig | None) -> float:
    if fade is None or nimg >= fade.end_nimg:
        return 1.0
    if nimg <= fade.start_nimg:
        return 0.0
    return (nimg - fade.start_nimg) / (fade.end_nimg - fade.start_nimg)

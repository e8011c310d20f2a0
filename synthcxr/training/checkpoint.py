"""The state of a GAN's training, and its checkpoints: written whole, checked on reading, the last few kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator
from synthcxr.training.distributed import ALONE, Ranks
from synthcxr.training.feature_critic import FeatureCritic
from synthcxr.training.moment_matching import Moments

KEPT = 3


@dataclasses.dataclass
class State:
    """Networks, optimisers and time. The optimisers belong to the phase that began at `phase_start`.

    `features` is the critic on frozen features, where there is one; `adam_h` trains its heads. `moments` are those of
    the images themselves that are matched, by the parameter that weighs them.
    """

    generator: Generator
    discriminator: Discriminator
    ema: Generator
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam
    nimg: int
    phase_start: int
    features: FeatureCritic | None = None
    adam_h: torch.optim.Adam | None = None
    moments: dict[str, Moments] = dataclasses.field(default_factory=dict)


def save(folder: Path, state: State, identity: dict[str, str]) -> Path:
    """Write a checkpoint named by its nimg and drop all but the last few."""
    path = _path(folder, state.nimg)
    metadata = identity | {"nimg": str(state.nimg), "phase_start": str(state.phase_start)}
    try:
        safetensors_files.save(path, _tensors(state), metadata)
    except OSError as error:
        raise ArtifactError(f"{path}: checkpoint not written ({error.strerror}); the one before it stands") from error
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The folder's checkpoints, oldest first."""
    return sorted(folder.glob("nimg-*.safetensors"))


def resume(
    folder: Path, state: State, identity: dict[str, str], say: Callable[[str], None], ranks: Ranks = ALONE
) -> None:
    """Load the newest sound checkpoint into `state`; broken or foreign ones are refused by name, aloud.

    Rank 0 chooses and the others load the same file; ArtifactError names one that they do not see.
    """
    if ranks.first:
        _load_newest(folder, state, identity, say)
    chosen = ranks.from_first(state.nimg)
    if not ranks.first and chosen:
        _load(_path(folder, chosen), state, identity)


def _load_newest(folder: Path, state: State, identity: dict[str, str], say: Callable[[str], None]) -> None:
    for path in reversed(checkpoints(folder)):
        try:
            _load(path, state, identity)
        except ArtifactError as error:
            say(f"{error}; trying the one before it")
            continue
        say(f"going on from {path.name}")
        return


def _load(path: Path, state: State, identity: dict[str, str]) -> None:
    tensors, metadata = safetensors_files.load(path)
    _require(metadata, identity, path)
    _restore(state, tensors)
    state.nimg, state.phase_start = int(metadata["nimg"]), int(metadata["phase_start"])


def _path(folder: Path, nimg: int) -> Path:
    return folder / f"nimg-{nimg:09d}.safetensors"


def _require(metadata: dict[str, str], identity: dict[str, str], path: Path) -> None:
    for key, value in identity.items():
        if metadata.get(key) != value:
            raise ArtifactError(f"{path}: is of another {key} ({metadata.get(key)}, wanted {value})")


def _networks(state: State) -> dict[str, nn.Module]:
    held: dict[str, nn.Module] = {"generator": state.generator, "discriminator": state.discriminator, "ema": state.ema}
    if state.features is not None:
        held |= {"heads": state.features.heads, "moments": state.features.moments}
    return held | state.moments


def _optimisers(state: State) -> dict[str, torch.optim.Adam]:
    held = {"adam_g": state.adam_g, "adam_d": state.adam_d}
    return held if state.adam_h is None else held | {"adam_h": state.adam_h}


def _tensors(state: State) -> dict[str, Tensor]:
    held: dict[str, Tensor] = {}
    for name, network in _networks(state).items():
        held |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
    for name, adam in _optimisers(state).items():
        moments = adam.state_dict()["state"]
        for row, columns in moments.items():
            held |= {f"{name}/{row}/{column}": value for column, value in columns.items()}
    return held


def _restore(state: State, tensors: dict[str, Tensor]) -> None:
    for name, network in _networks(state).items():
        prefix = f"{name}/"
        network.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
    for name, adam in _optimisers(state).items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}/"):
                _, row, column = key.split("/")
                moments.setdefault(int(row), {})[column] = value
        adam.load_state_dict(adam.state_dict() | {"state": moments})

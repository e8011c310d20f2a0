"""Checkpoints of a GAN training: written atomically, verified on loading, and limited to the newest few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import RefusedContentError
from synthcxr.training.distributed import SINGLE_PROCESS, Ranks
from synthcxr.training.gan_state import GanState

MAX_CHECKPOINTS = 3


def save_checkpoint(folder: Path, state: GanState, identity: dict[str, str]) -> Path:
    """Write a checkpoint named by its nimg, and delete all but the newest few."""
    path = _checkpoint_path(folder, state.nimg)
    metadata = identity | {"nimg": str(state.nimg), "phase_start": str(state.phase_start)}
    try:
        safetensors_files.save(path, _collect_tensors(state), metadata)
    except OSError as error:
        raise ArtifactError(
            f"{path}: checkpoint not written ({error.strerror}); the previous checkpoint is intact, run the same"
            " command again to resume"
        ) from error
    for outdated in list_checkpoints(folder)[:-MAX_CHECKPOINTS]:
        outdated.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in the folder, oldest first."""
    return sorted(folder.glob("nimg-*.safetensors"))


def resume_from_checkpoint(
    folder: Path,
    state: GanState,
    identity: dict[str, str],
    on_message: Callable[[str], None],
    ranks: Ranks = SINGLE_PROCESS,
) -> None:
    """Load the newest valid checkpoint into `state`; a message names each damaged or foreign one.

    Rank 0 selects the file and the other ranks load the same one. Raises ArtifactError if they cannot read it.
    """
    if ranks.is_first:
        _load_newest(folder, state, identity, on_message)
    nimg = ranks.broadcast(state.nimg)
    if not ranks.is_first and nimg:
        _load(_checkpoint_path(folder, nimg), state, identity)


def _load_newest(folder: Path, state: GanState, identity: dict[str, str], on_message: Callable[[str], None]) -> None:
    for path in reversed(list_checkpoints(folder)):
        try:
            _load(path, state, identity)
        except ArtifactError as error:
            on_message(f"{error}; trying the previous checkpoint")
            continue
        on_message(f"resuming from {path.name}, after {state.nimg:,} images")
        return


def _load(path: Path, state: GanState, identity: dict[str, str]) -> None:
    tensors, metadata = safetensors_files.load(path)
    _require_identity(metadata, identity, path)
    with guarded_files.report_failure(path, "a checkpoint of this training", error=ArtifactError):
        nimg, phase_start = int(metadata["nimg"]), int(metadata["phase_start"])
        if path != _checkpoint_path(path.parent, nimg) or not -1 <= phase_start <= nimg:
            raise RefusedContentError(f"has nimg {nimg} and phase_start {phase_start}, which do not fit its name")
        _require_fit(state, tensors)  # before anything is restored: the previous checkpoint needs the state unchanged
        _restore_tensors(state, tensors)
    state.nimg, state.phase_start = nimg, phase_start


def _checkpoint_path(folder: Path, nimg: int) -> Path:
    return folder / f"nimg-{nimg:09d}.safetensors"


def _require_identity(metadata: dict[str, str], identity: dict[str, str], path: Path) -> None:
    for key, value in identity.items():
        if metadata.get(key) != value:
            raise ArtifactError(f"{path}: has another {key} ({metadata.get(key)}, expected {value})")


def _list_networks(state: GanState) -> dict[str, nn.Module]:
    """The modules by the prefix of their tensors in the file."""
    networks: dict[str, nn.Module] = {
        "generator": state.generator,
        "discriminator": state.discriminator,
        "ema": state.ema,
    }
    if state.feature_critic is not None:
        networks |= {"heads": state.feature_critic.heads, "moments": state.feature_critic.moments}
    return networks | state.image_moments


def _list_optimisers(state: GanState) -> dict[str, torch.optim.Adam]:
    """The optimisers by the prefix of their tensors in the file."""
    optimisers = {"adam_g": state.adam_g, "adam_d": state.adam_d}
    return optimisers if state.adam_h is None else optimisers | {"adam_h": state.adam_h}


def _collect_tensors(state: GanState) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, network in _list_networks(state).items():
        tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
    for name, adam in _list_optimisers(state).items():
        for row, columns in adam.state_dict()["state"].items():
            tensors |= {f"{name}/{row}/{column}": value for column, value in columns.items()}
    return tensors


def _restore_tensors(state: GanState, tensors: dict[str, Tensor]) -> None:
    for name, network in _list_networks(state).items():
        prefix = f"{name}/"
        network.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
    for name, adam in _list_optimisers(state).items():
        adam_state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}/"):
                _, row, column = key.split("/")
                adam_state.setdefault(int(row), {})[column] = value
        adam.load_state_dict(adam.state_dict() | {"state": adam_state})


def _require_fit(state: GanState, tensors: dict[str, Tensor]) -> None:
    """Raise RefusedContentError unless the tensors have the names, shapes and types of this training's state."""
    expected = {
        f"{name}/{key}": value
        for name, network in _list_networks(state).items()
        for key, value in network.state_dict().items()
    }
    optional: dict[str, Tensor] = {}
    for name, adam in _list_optimisers(state).items():
        for row, parameter in enumerate(adam.param_groups[0]["params"]):
            columns = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
            optional |= {f"{name}/{row}/{column}": value for column, value in columns.items()}
    known = expected | optional
    rows = {name.rpartition("/")[0] for name in tensors.keys() & optional.keys()}
    expected |= {name: value for name, value in optional.items() if name.rpartition("/")[0] in rows}
    names = sorted((expected.keys() - tensors.keys()) | (tensors.keys() - known.keys()))
    names += [
        name
        for name, tensor in tensors.items()
        if name in known and (tensor.shape, tensor.dtype) != (known[name].shape, known[name].dtype)
    ]
    if names:
        raise RefusedContentError(f"has other tensors than this training: {names[0][:80]}")

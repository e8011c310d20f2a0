"""Checkpoints that cannot be used are named, and leave the state of the training unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.small_gan import CONFIG
from torch import Tensor

from synthcxr.networks import safetensors_files
from synthcxr.training import gan_state
from synthcxr.training.checkpoint import resume_from_checkpoint, save_checkpoint
from synthcxr.training.gan_state import GanState

IDENTITY = {"fingerprint": "f"}
Tensors = dict[str, Tensor]


def create_state(nimg: int, *, fill: float) -> GanState:
    """A state at `nimg` whose generator has weights of one value, and whose optimiser has made a step."""
    state = gan_state.create_state(CONFIG, torch.device("cpu"))
    state.nimg, state.phase_start = nimg, 0
    for parameter in state.generator.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.adam_g.step()
    with torch.no_grad():
        for parameter in state.generator.parameters():
            parameter.fill_(fill)
    return state


def remove(name: str) -> Callable[[Tensors], Tensors]:
    """A change that removes the tensors whose name starts with `name`."""
    return lambda tensors: {key: value for key, value in tensors.items() if not key.startswith(name)}


def replace_first(prefix: str, tensor: Tensor) -> Callable[[Tensors], Tensors]:
    """A change that replaces the first tensor whose name starts with `prefix`."""
    return lambda tensors: tensors | {min(key for key in tensors if key.startswith(prefix)): tensor}


@pytest.mark.parametrize(
    ("change", "metadata"),
    [
        (remove("discriminator"), {}),
        (remove("adam_g/0/step"), {}),
        (lambda tensors: tensors | {"other/weight": torch.zeros(1)}, {}),
        (lambda tensors: tensors | {"adam_g/x": torch.zeros(1)}, {}),
        (replace_first("discriminator", torch.zeros(3)), {}),
        (replace_first("adam_g/0/exp_avg", torch.zeros(1, dtype=torch.int64)), {}),
        (dict, {"nimg": "many"}),
        (dict, {"nimg": "64"}),
        (dict, {"phase_start": "1000"}),
        (dict, {"phase_start": ""}),
    ],
)
def test_a_foreign_checkpoint_is_skipped_for_the_previous_one(
    tmp_path: Path, change: Callable[[Tensors], Tensors], metadata: dict[str, str]
) -> None:
    """Other tensors, shapes, types and metadata under a valid digest are one line, and the older one is loaded."""
    save_checkpoint(tmp_path, create_state(64, fill=0.25), IDENTITY)
    newest = save_checkpoint(tmp_path, create_state(128, fill=0.5), IDENTITY)
    tensors, stored = safetensors_files.load(newest)
    safetensors_files.save(newest, change(tensors), stored | metadata)
    state, messages = create_state(0, fill=1.0), list[str]()
    resume_from_checkpoint(tmp_path, state, IDENTITY, messages.append)
    assert state.nimg == 64
    assert all((parameter == 0.25).all() for parameter in state.generator.parameters())
    assert [newest.name in line for line in messages] == [True, False]
    assert all("\n" not in line for line in messages)


def test_a_checkpoint_without_a_usable_one_before_it_leaves_the_state(tmp_path: Path) -> None:
    """If no checkpoint fits, training starts from its own initial weights: nothing of the foreign one is restored."""
    newest = save_checkpoint(tmp_path, create_state(128, fill=0.5), IDENTITY)
    tensors, stored = safetensors_files.load(newest)
    safetensors_files.save(newest, remove("adam_d")(remove("discriminator")(tensors)), stored)
    state = create_state(0, fill=1.0)
    resume_from_checkpoint(tmp_path, state, IDENTITY, lambda line: None)
    assert state.nimg == 0
    assert all((parameter == 1.0).all() for parameter in state.generator.parameters())


@pytest.mark.parametrize("kind", ["folder", "pipe", "text", "empty"])
def test_what_is_not_a_checkpoint_is_skipped(tmp_path: Path, kind: str) -> None:
    """A folder, a named pipe, text and an empty file under the name of a checkpoint are each one line."""
    import os

    save_checkpoint(tmp_path, create_state(64, fill=0.25), IDENTITY)
    path = tmp_path / "nimg-000000999.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("not a checkpoint" if kind == "text" else "")
    state, messages = create_state(0, fill=1.0), list[str]()
    resume_from_checkpoint(tmp_path, state, IDENTITY, messages.append)
    assert state.nimg == 64
    assert path.name in messages[0]

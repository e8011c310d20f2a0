"""The gradient of the logits with respect to the latent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exported_models import LATENT, write_folder

from synthcxr.data import images, random_streams
from synthcxr.networks import latent_gradient
from synthcxr.networks.latent_gradient import logits_of_latents
from synthcxr.synthesis.runtime.onnx_session import Session


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("models") / "onnx")


def test_logits_are_those_of_the_image_that_is_written(models: Path) -> None:
    """They agree with the two sessions' on the uint8 image."""
    z = random_streams.latents(1, 0, 6, LATENT)
    logits, _ = logits_of_latents(models / "generator.onnx", models / "classifier.onnx", 2)(z)
    made = Session.open(models / "generator.onnx", device="cpu").run(z)["image"]
    seen = Session.open(models / "classifier.onnx", device="cpu").run(images.to_float(images.to_uint8(made)))["logits"]
    assert np.abs(logits - seen).max() < 1e-2 * np.abs(seen).max()  # a pixel may round the other way


def test_a_small_step_does_what_the_gradient_says(models: Path) -> None:
    """Along the gradient the wanted logit rises by about the step times the gradient's length."""
    differentiate = logits_of_latents(models / "generator.onnx", models / "classifier.onnx", 2)
    z = random_streams.latents(1, 0, 8, LATENT)
    before, pull = differentiate(z)
    cotangent = np.zeros_like(before)
    cotangent[:, 2] = 1
    gradient = pull(cotangent)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    step = 0.2
    after, _ = differentiate(z + step * gradient / length)
    risen = (after - before)[:, 2]
    assert (risen > 0).all()
    assert np.median(risen / (step * length[:, 0])) == pytest.approx(1, abs=0.25)


def test_the_length_of_a_latent_changes_nothing(models: Path) -> None:
    """The generator normalises its input, so the gradient has no part along the latent."""
    differentiate = logits_of_latents(models / "generator.onnx", models / "classifier.onnx", 2)
    z = random_streams.latents(2, 0, 4, LATENT)
    gradient = differentiate(z)[1](np.ones((4, 14), np.float32))
    along = np.abs((gradient * z).sum(axis=1)) / (np.linalg.norm(gradient, axis=1) * np.linalg.norm(z, axis=1))
    assert along.max() < 1e-3


def test_the_threads_are_those_asked_for_and_no_others_stay(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward each run with the number given, whatever it is in the process, which gets its own back."""
    before, worked = torch.get_num_threads(), []

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (worked.append(torch.get_num_threads()), work(*given))[1]

    monkeypatch.setattr(latent_gradient, "_rounded", counted(latent_gradient._rounded))
    monkeypatch.setattr(torch.autograd, "grad", counted(torch.autograd.grad))
    for threads in (1, 3):
        differentiate = logits_of_latents(models / "generator.onnx", models / "classifier.onnx", threads)
        logits, pull = differentiate(random_streams.latents(1, 0, 2, LATENT))
        pull(np.ones_like(logits))
        assert torch.get_num_threads() == before
    assert worked == [1, 1, 3, 3]

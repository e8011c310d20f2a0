"""The gradient of the logits with respect to the latent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exported_models import LATENT, write_conditional_models, write_exported_models

from synthcxr.data import images, random_streams
from synthcxr.data.condition_table import draw_conditions
from synthcxr.model_files.model_folder import read_condition_table
from synthcxr.networks import latent_gradient
from synthcxr.networks.latent_gradient import build_latents_to_logits
from synthcxr.synthesis.runtime.onnx_session import Session


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported_models(tmp_path_factory.mktemp("models") / "onnx")


def test_logits_are_those_of_the_uint8_image(models: Path) -> None:
    """They agree with the logits that both sessions give for the image as it is written."""
    z = random_streams.draw_latents(1, 0, 6, LATENT)
    logits, _ = build_latents_to_logits(models / "generator.onnx", models / "classifier.onnx", 2)(z)
    pixels = images.to_uint8(Session.open(models / "generator.onnx", device="cpu").run(z)["image"])
    expected = Session.open(models / "classifier.onnx", device="cpu").run(images.to_float(pixels))["logits"]
    assert np.abs(logits - expected).max() < 1e-2 * np.abs(expected).max()  # a pixel may round to another grey level


def test_a_small_step_changes_the_logit_as_the_gradient_predicts(models: Path) -> None:
    """Along the gradient, the logit rises by about the step times the norm of the gradient."""
    differentiate = build_latents_to_logits(models / "generator.onnx", models / "classifier.onnx", 2)
    z = random_streams.draw_latents(1, 0, 8, LATENT)
    logits, pull_back = differentiate(z)
    cotangent = np.zeros_like(logits)
    cotangent[:, 2] = 1
    gradient = pull_back(cotangent)
    norm = np.linalg.norm(gradient, axis=1, keepdims=True)
    step = 0.2
    moved_logits, _ = differentiate(z + step * gradient / norm)
    rise = (moved_logits - logits)[:, 2]
    assert (rise > 0).all()
    assert np.median(rise / (step * norm[:, 0])) == pytest.approx(1, abs=0.25)


def test_the_gradient_is_orthogonal_to_the_latent(models: Path) -> None:
    """The generator normalises its input, so the norm of a latent has no effect."""
    differentiate = build_latents_to_logits(models / "generator.onnx", models / "classifier.onnx", 2)
    z = random_streams.draw_latents(2, 0, 4, LATENT)
    gradient = differentiate(z)[1](np.ones((4, 14), np.float32))
    cosine = np.abs((gradient * z).sum(axis=1)) / (np.linalg.norm(gradient, axis=1) * np.linalg.norm(z, axis=1))
    assert cosine.max() < 1e-3


def test_conditions_stay_fixed(tmp_path: Path) -> None:
    """Logits are those of both sessions at the condition; a step along the gradient raises them there."""
    models = write_conditional_models(tmp_path / "onnx")
    differentiate = build_latents_to_logits(models / "generator.onnx", models / "classifier.onnx", 2)
    session = Session.open(models / "generator.onnx", device="cpu")
    table = read_condition_table(models, session.metadata)
    assert table is not None
    z, condition = random_streams.draw_latents(1, 0, 8, LATENT), draw_conditions(table, 1, range(8))
    logits, pull_back = differentiate(z, condition)
    pixels = images.to_uint8(session.run(z, condition)["image"])
    expected = Session.open(models / "classifier.onnx", device="cpu").run(images.to_float(pixels))["logits"]
    assert np.abs(logits - expected).max() < 1e-2 * np.abs(expected).max()
    of_other_conditions, _ = differentiate(z, np.roll(condition, 1, axis=0))
    assert np.abs(of_other_conditions - logits).mean() > 0.2 * logits.std(axis=0).mean()
    cotangent = np.zeros_like(logits)
    cotangent[:, 2] = 1
    gradient = pull_back(cotangent)
    assert gradient.shape == z.shape
    moved_logits, _ = differentiate(z + 0.2 * gradient / np.linalg.norm(gradient, axis=1, keepdims=True), condition)
    assert ((moved_logits - logits)[:, 2] > 0).all()


def test_both_passes_use_the_given_number_of_threads(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward run on `threads` threads, and the number of the process is restored afterwards."""
    n_process_threads, n_used_threads = torch.get_num_threads(), []

    def record_threads(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (n_used_threads.append(torch.get_num_threads()), function(*arguments))[1]

    round_to_grey_levels = record_threads(latent_gradient._round_to_grey_levels)
    monkeypatch.setattr(latent_gradient, "_round_to_grey_levels", round_to_grey_levels)
    monkeypatch.setattr(torch.autograd, "grad", record_threads(torch.autograd.grad))
    for threads in (1, 3):
        differentiate = build_latents_to_logits(models / "generator.onnx", models / "classifier.onnx", threads)
        logits, pull_back = differentiate(random_streams.draw_latents(1, 0, 2, LATENT))
        pull_back(np.ones_like(logits))
        assert torch.get_num_threads() == n_process_threads
    assert n_used_threads == [1, 1, 3, 3]

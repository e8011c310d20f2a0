"""Conditional training: unconditional before the fade, resumable within it, and started from an unconditional model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_gan import CONDITIONAL, CONFIG, TABLE, ProgressRecorder, read_conditional_films, read_films

from synthcxr.config.gan_sections import ConditionFadeConfig
from synthcxr.config.schema import GanConfig
from synthcxr.data.condition import FilmAttributes, encode_conditions
from synthcxr.data.condition_table import draw_conditions
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.readers import phantom
from synthcxr.training import gan, gan_state, schedule
from synthcxr.training.film_order import ReadFilms, ShownFilms
from synthcxr.training.gan_state import GanState, InitialWeights

LATE = ConditionFadeConfig(start_nimg=10**6, end_nimg=10**7)
WGAN = {"blocks": "paper", "loss": "wgan-gp", "penalty": 10.0, "penalty_interval": 1, "drift": 1e-3}


def train(
    config: GanConfig,
    folder: Path,
    *,
    recorder: ProgressRecorder | None = None,
    films: ReadFilms = read_conditional_films,
    weights: InitialWeights | None = None,
    distance: Callable[..., float] | None = None,
) -> GanState:
    return gan.train_gan(
        config,
        films,
        fingerprint="f",
        folder=folder,
        callbacks=(recorder or ProgressRecorder()).callbacks(),
        initial_weights=weights,
        val_distance=distance,
        condition_table=TABLE if config.condition == CONDITIONAL.condition else None,
    )


def collect(state: GanState) -> dict[str, torch.Tensor]:
    networks = {"generator": state.generator, "discriminator": state.discriminator, "ema": state.ema}
    return {f"{name}/{key}": value for name, network in networks.items() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("changes", [{}, pytest.param(WGAN, marks=pytest.mark.slow)], ids=["r1", "wgan-gp"])
def test_training_is_unconditional_before_the_fade(tmp_path: Path, changes: dict[str, object]) -> None:
    """Every bit of every weight is that of the unconditional training, and the embeddings are 0."""
    plain = collect(train(dataclasses.replace(CONFIG, **changes), tmp_path / "plain", films=read_films))  # type: ignore[arg-type]
    config = dataclasses.replace(CONDITIONAL, condition_fade=LATE, **changes)  # type: ignore[arg-type]
    conditional = collect(train(config, tmp_path / "conditional"))
    embeddings = conditional.keys() - plain.keys()
    assert embeddings == {f"{network}/embed_condition.weight" for network in ("generator", "discriminator", "ema")}
    assert all(torch.equal(conditional[name], plain[name]) for name in plain)
    assert not any(conditional[name].any() for name in embeddings)


@pytest.mark.parametrize(("nimg", "weight"), [(0, 0.0), (100, 0.0), (125, 0.25), (199, 0.99), (200, 1.0), (10**6, 1.0)])
def test_the_condition_fades_in_linearly(nimg: int, weight: float) -> None:
    """It has no effect up to start_nimg and its full effect from end_nimg on; without a fade it always has."""
    phases = schedule.build_phases({8: 1000}, {8: 8}, fade_nimg={}, resolution=8)
    fade = ConditionFadeConfig(start_nimg=100, end_nimg=200)
    assert schedule.point_at(nimg, phases, lr_decay_share=0, condition_fade=fade).condition_weight == weight
    assert schedule.point_at(nimg, phases, lr_decay_share=0).condition_weight == 1.0
    at_once = ConditionFadeConfig(start_nimg=100, end_nimg=100)
    assert schedule.point_at(nimg, phases, lr_decay_share=0, condition_fade=at_once).condition_weight == (nimg >= 100)


@pytest.mark.parametrize("stop_nimg", [48, 112])
def test_a_resumed_conditional_run_ends_bit_identical(tmp_path: Path, stop_nimg: int) -> None:
    """It is stopped before the fade, where the embeddings have no optimiser state yet, or within it."""
    uninterrupted = train(CONDITIONAL, tmp_path / "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        train(CONDITIONAL, tmp_path / "stopped", recorder=ProgressRecorder(stop_nimg=stop_nimg))
    recorder = ProgressRecorder()
    resumed, expected = collect(train(CONDITIONAL, tmp_path / "stopped", recorder=recorder)), collect(uninterrupted)
    assert recorder.resumed_from == [stop_nimg]
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert all(expected[f"{network}/embed_condition.weight"].any() for network in ("generator", "discriminator", "ema"))


def test_an_unknown_value_is_not_an_absent_one(tmp_path: Path) -> None:
    """Networks learn the code of unlabelled films apart from that of films without findings."""
    state = train(CONDITIONAL, tmp_path)
    films = read_conditional_films(8)
    assert films.conditions is not None
    absent, unknown = torch.from_numpy(films.conditions[[12, 14]]).split(1)  # both are PA
    z, image = torch.randn(1, CONFIG.latent), torch.randn(1, 1, 8, 8)
    assert not torch.allclose(state.ema(z, condition=absent), state.ema(z, condition=unknown), atol=1e-4)
    logits = [state.discriminator(image, condition=condition) for condition in (absent, unknown)]
    assert not torch.allclose(logits[0], logits[1], atol=1e-5)


def test_an_unconditional_model_becomes_a_conditional_one(tmp_path: Path) -> None:
    """At first, its images and logits are those of the unconditional model whatever the condition; then they differ."""
    plain = train(dataclasses.replace(CONFIG, nimg={4: 64, 8: 64}), tmp_path / "plain", films=read_films)
    weights = InitialWeights(tmp_path / "generator.safetensors", tmp_path / "discriminator.safetensors")
    safetensors_files.save(weights.generator, plain.ema, {})
    safetensors_files.save(weights.discriminator, plain.discriminator, {})
    config = dataclasses.replace(CONDITIONAL, condition_fade=None)
    state = gan_state.create_state(config, torch.device("cpu"))
    gan_state.load_initial_weights(state, weights, seed=1)
    z, condition = torch.randn(4, CONFIG.latent), torch.from_numpy(draw_conditions(TABLE, 1, range(4)))
    images = state.generator(z, condition=condition)
    assert torch.equal(images, plain.ema(z))
    assert torch.equal(state.ema(z, condition=condition), images)
    assert torch.equal(state.discriminator(images, condition=condition), plain.discriminator(images))
    continued = train(config, tmp_path / "continued", weights=weights)
    assert not torch.allclose(continued.ema(z, condition=condition), continued.ema(z), atol=1e-4)
    weights_of_conditional = dataclasses.replace(weights, generator=tmp_path / "conditional.safetensors")
    safetensors_files.save(weights_of_conditional.generator, continued.ema, {})
    for other in (CONFIG, dataclasses.replace(CONDITIONAL, condition=("findings",))):
        state = gan_state.create_state(other, torch.device("cpu"))
        with pytest.raises(ArtifactError, match=r"blocks and condition \(first at embed_condition\.weight\)"):
            gan_state.load_initial_weights(state, weights_of_conditional, seed=1)


def test_conditional_images_are_measured_only_with_the_full_condition(tmp_path: Path) -> None:
    """A generator of the fade is not the best one, because an export has the full condition."""
    config = dataclasses.replace(
        CONDITIONAL,
        fade_nimg={8: 8},
        snapshot_nimg=32,
        n_val_distance=4,
        condition_fade=ConditionFadeConfig(start_nimg=64, end_nimg=180),
    )
    recorder, shapes = ProgressRecorder(), list[tuple[int, ...]]()

    def measure(batches: object) -> float:
        shapes.extend(batch.shape for batch in batches)  # type: ignore[attr-defined]
        return float(len(shapes))

    train(config, tmp_path, recorder=recorder, distance=measure)
    assert [row["nimg"] for row in recorder.rows if "val_distance" in row] == [192, 224, 256]
    assert shapes == [(4, 8, 8)] * 3


@pytest.mark.slow
def test_a_condition_moves_images_as_films_with_it_differ(tmp_path: Path) -> None:
    """After 6,400 drawn films of 8 px, images with emphysema differ from those without it as films do."""
    n, side, finding = 100, 8, FINDINGS.index("Emphysema")
    drawn = [
        np.stack([phantom.draw_with_findings(names, seed=1, index=index, resolution=side) for index in range(n)])
        for names in ((), ("Emphysema",))
    ]
    pixels = np.rint(np.concatenate(drawn) * 255).astype(np.uint8)
    findings = np.zeros((2 * n, len(FINDINGS)), np.float32)
    findings[n:, finding] = 1
    unknown = np.full(2 * n, "")
    attributes = FilmAttributes(findings, unknown, unknown, np.full(2 * n, np.nan, np.float32))
    conditions = encode_conditions(attributes, ("findings",))

    def read(resolution: int) -> ShownFilms:
        factor = side // resolution
        reduced = pixels.reshape(2 * n, resolution, factor, resolution, factor).mean(axis=(2, 4)).astype(np.uint8)
        return ShownFilms(reduced, np.arange(2 * n), conditions=conditions)

    config = dataclasses.replace(
        CONFIG,
        channels={4: 32, 8: 32},
        latent=16,
        nimg={4: 1600, 8: 4800},
        fade_nimg={8: 800},
        lr_g=5e-3,
        lr_d=5e-3,
        batch={4: 16, 8: 16},
        condition=("findings",),
        condition_fade=ConditionFadeConfig(start_nimg=800, end_nimg=3200),
        report_nimg=6400,
        checkpoint_nimg=6400,
        snapshot_nimg=6400,
    )
    state = train(config, tmp_path, films=read)
    z = torch.randn(256, config.latent, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        without, with_emphysema = (
            state.ema(z, condition=torch.from_numpy(conditions[row]).expand(256, -1)).mean(0) for row in (0, -1)
        )
    films = drawn[1].mean(0) - drawn[0].mean(0)
    shift = (with_emphysema - without).numpy()[0]
    assert np.corrcoef(shift.ravel(), films.ravel())[0, 1] > 0.6
    assert 0.3 < np.linalg.norm(shift) / np.linalg.norm(2 * films) < 2

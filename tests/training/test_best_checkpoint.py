"""A training returns the generator nearest to held-out films, also after an interruption."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_gan import CONFIG, ProgressRecorder, read_films

from synthcxr.data import images, random_streams
from synthcxr.data.images import UInt8
from synthcxr.training import gan
from synthcxr.training.gan_state import GanState

pytestmark = pytest.mark.slow

SNAPSHOTS = dataclasses.replace(CONFIG, snapshot_nimg=32, n_val_distance=40)
MEASURED_NIMG = [160, 192, 224, 256]


class DistanceToImages:
    """A distance that is smallest for the generator of the given images; it records all images."""

    def __init__(self, best: UInt8 | None = None) -> None:
        self.best = best
        self.recorded: list[UInt8] = []

    def __call__(self, batches: Iterator[UInt8]) -> float:
        self.recorded.append(np.concatenate(list(batches)))
        return 1.0 if self.best is None else float(np.abs(self.recorded[-1].astype(float) - self.best).mean())


def train(folder: Path, distance: DistanceToImages, recorder: ProgressRecorder | None = None) -> GanState:
    callbacks = (recorder or ProgressRecorder()).callbacks()
    return gan.train_gan(
        SNAPSHOTS, read_films, fingerprint="f", folder=folder, callbacks=callbacks, val_distance=distance
    )


def generate(state: GanState) -> UInt8:
    z = torch.from_numpy(random_streams.draw_latents(SNAPSHOTS.seed, 0, 40, SNAPSHOTS.latent))
    with torch.no_grad():
        return images.to_uint8(state.ema(z).numpy())


@pytest.fixture(scope="module")
def measured_images(tmp_path_factory: pytest.TempPathFactory) -> list[UInt8]:
    """The images of each measured generator of an uninterrupted run."""
    distance, recorder = DistanceToImages(), ProgressRecorder()
    train(tmp_path_factory.mktemp("measured"), distance, recorder)
    assert [row["nimg"] for row in recorder.rows if "val_distance" in row] == MEASURED_NIMG
    return distance.recorded


def test_training_returns_the_nearest_generator(tmp_path: Path, measured_images: list[UInt8]) -> None:
    """Each snapshot of the fully grown networks is measured, and the nearest averaged generator is returned."""
    state = train(tmp_path, DistanceToImages(measured_images[1]))
    assert state.nimg == MEASURED_NIMG[-1]
    assert np.array_equal(generate(state), measured_images[1])
    assert not np.array_equal(measured_images[1], measured_images[-1])


@pytest.mark.parametrize("stop_nimg", [208, 240])
def test_a_resumed_run_keeps_the_nearest_generator(
    tmp_path: Path, measured_images: list[UInt8], stop_nimg: int
) -> None:
    """A run that is stopped after the best measurement still returns that generator when it is resumed."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, DistanceToImages(measured_images[1]), ProgressRecorder(stop_nimg=stop_nimg))
    resumed = train(tmp_path, DistanceToImages(measured_images[1]))
    assert np.array_equal(generate(resumed), measured_images[1])


def test_a_damaged_file_is_named_and_the_selection_starts_again(tmp_path: Path, measured_images: list[UInt8]) -> None:
    """A truncated file is refused by name, and later measurements select the generator."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, DistanceToImages(measured_images[1]), ProgressRecorder(stop_nimg=208))
    best = tmp_path / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-7])
    recorder = ProgressRecorder()
    state = train(tmp_path, DistanceToImages(measured_images[3]), recorder)
    assert any("best.safetensors" in line and "selected again" in line for line in recorder.messages)
    assert np.array_equal(generate(state), measured_images[3])

"""The generator nearest to held-out films is what training ends with, also when it was stopped in between."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_gan import CONFIG, Heard, films

from synthcxr.data import images, random_streams
from synthcxr.data.images import UInt8
from synthcxr.training import gan
from synthcxr.training.checkpoint import State

pytestmark = pytest.mark.slow

SNAPSHOTS = dataclasses.replace(CONFIG, snapshot_nimg=32, n_val_distance=40)
TRIED = [160, 192, 224, 256]


class Nearest:
    """A distance that is smallest for one generator of a known run, whenever it is asked."""

    def __init__(self, best: UInt8 | None = None) -> None:
        self.best = best
        self.shown: list[UInt8] = []

    def __call__(self, batches: Iterator[UInt8]) -> float:
        self.shown.append(np.concatenate(list(batches)))
        return 1.0 if self.best is None else float(np.abs(self.shown[-1].astype(float) - self.best).mean())


def train(folder: Path, distance: Nearest, heard: Heard | None = None) -> State:
    listeners = (heard or Heard()).listeners()
    return gan.train(SNAPSHOTS, films, fingerprint="f", folder=folder, listeners=listeners, val_distance=distance)


def drawn(end: State) -> UInt8:
    z = torch.from_numpy(random_streams.latents(SNAPSHOTS.seed, 0, 40, SNAPSHOTS.latent))
    with torch.no_grad():
        return images.to_uint8(end.ema(z).numpy())


@pytest.fixture(scope="module")
def every_try(tmp_path_factory: pytest.TempPathFactory) -> list[UInt8]:
    """What the generator drew at each try of a run that was never stopped."""
    asked, heard = Nearest(), Heard()
    train(tmp_path_factory.mktemp("tries"), asked, heard)
    assert [row["nimg"] for row in heard.rows if "val_distance" in row] == TRIED
    return asked.shown


def test_training_ends_with_the_nearest_generator(tmp_path: Path, every_try: list[UInt8]) -> None:
    """Tries come at each snapshot once fully grown; the averaged generator returned is that of the nearest."""
    end = train(tmp_path, Nearest(every_try[1]))
    assert end.nimg == TRIED[-1]
    assert np.array_equal(drawn(end), every_try[1])
    assert not np.array_equal(every_try[1], every_try[-1])


@pytest.mark.parametrize("stop_at", [208, 240])
def test_a_stopped_run_keeps_the_nearest(tmp_path: Path, every_try: list[UInt8], stop_at: int) -> None:
    """Stopped after the best try and started again: the best is still that one."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Nearest(every_try[1]), Heard(stop_at=stop_at))
    assert np.array_equal(drawn(train(tmp_path, Nearest(every_try[1]))), every_try[1])


def test_a_broken_best_is_named_and_chosen_anew(tmp_path: Path, every_try: list[UInt8]) -> None:
    """A best file cut short is refused by name; what comes after it is chosen from."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Nearest(every_try[1]), Heard(stop_at=208))
    best = tmp_path / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-7])
    heard = Heard()
    end = train(tmp_path, Nearest(every_try[3]), heard)
    assert any("best.safetensors" in line and "choosing anew" in line for line in heard.said)
    assert np.array_equal(drawn(end), every_try[3])

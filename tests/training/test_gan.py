"""The training loop: it changes the networks, resumes bit-identically, and survives damage and divergence."""

import dataclasses
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from support.file_digests import digest_files
from support.killable_training import LONG_CONFIG, training_process
from support.killable_training import train as train_long
from support.small_gan import CONFIG, ProgressRecorder, read_films

from synthcxr.config.schema import GanConfig
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.networks import safetensors_files
from synthcxr.networks.device import select_device
from synthcxr.storage import progress
from synthcxr.training import gan, gan_state, step
from synthcxr.training.checkpoint import MAX_CHECKPOINTS, list_checkpoints
from synthcxr.training.film_order import ShownFilms
from synthcxr.training.gan_state import GanState

CONFIGS = {
    "r1": CONFIG,
    "wgan-gp": dataclasses.replace(
        CONFIG, blocks="paper", loss="wgan-gp", penalty=10.0, penalty_interval=1, drift=1e-3
    ),
}


def train(config: GanConfig, folder: Path, recorder: ProgressRecorder | None = None) -> GanState:
    callbacks = (recorder or ProgressRecorder()).callbacks()
    return gan.train_gan(config, read_films, fingerprint="f", folder=folder, callbacks=callbacks)


def is_equal(first: GanState, second: GanState) -> bool:
    for name in ("generator", "discriminator", "ema"):
        tensors, other_tensors = getattr(first, name).state_dict(), getattr(second, name).state_dict()
        if not all(torch.equal(tensors[key], other_tensors[key]) for key in tensors):
            return False
    return True


@pytest.mark.parametrize("name", ["r1", pytest.param("wgan-gp", marks=pytest.mark.slow)])
def test_a_resumed_run_ends_bit_identical(tmp_path: Path, name: str) -> None:
    """Ctrl-C saves a checkpoint at the current step, and the same command resumes there and ends with the same bits."""
    uninterrupted = train(CONFIGS[name], tmp_path / "uninterrupted")
    stopped = ProgressRecorder(stop_nimg=112)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIGS[name], tmp_path / "stopped", stopped)
    assert list_checkpoints(tmp_path / "stopped")[-1].name == "nimg-000000112.safetensors"
    resumed = ProgressRecorder()
    state = train(CONFIGS[name], tmp_path / "stopped", resumed)
    assert resumed.resumed_from == [112]
    assert state.nimg == uninterrupted.nimg == 256
    assert is_equal(uninterrupted, state)
    assert stopped.grids + resumed.grids == [128, 256]


def test_training_changes_the_networks_and_reports_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is a row every report_nimg, for both resolutions and the fade, with finite values; progress names both."""
    monkeypatch.setattr(progress, "FIRST_S", 0.0)
    recorder = ProgressRecorder()
    state = train(CONFIG, tmp_path, recorder)
    lines = capsys.readouterr().err.splitlines()
    assert list(dict.fromkeys(line.partition(":")[0] for line in lines)) == [
        "train-gan at 4 px, resolution 1 of 2",
        "train-gan at 8 px, resolution 2 of 2",
    ]
    assert not is_equal(state, gan_state.create_state(CONFIG, torch.device("cpu")))
    assert [row["nimg"] for row in recorder.rows] == list(range(16, 257, 16))
    assert {row["resolution"] for row in recorder.rows} == {4, 8}
    assert all(np.isfinite(list(row.values())).all() for row in recorder.rows)
    assert len(list_checkpoints(tmp_path)) == MAX_CHECKPOINTS


@pytest.mark.slow
def test_a_finished_training_does_not_run_again(tmp_path: Path) -> None:
    """The same command on a finished training loads the final state and runs no step."""
    first, recorder = train(CONFIG, tmp_path), ProgressRecorder()
    assert is_equal(first, train(CONFIG, tmp_path, recorder))
    assert recorder.rows == []


@pytest.mark.slow
def test_unusable_checkpoints_are_named_and_the_previous_one_is_used(tmp_path: Path) -> None:
    """Truncated, damaged and foreign checkpoints are named, and the final weights are the same."""
    uninterrupted = train(CONFIG, tmp_path)
    *_, middle, last = list_checkpoints(tmp_path)
    last.write_bytes(last.read_bytes()[:-10])
    content = bytearray(middle.read_bytes())
    content[-100] ^= 1
    middle.write_bytes(bytes(content))
    recorder = ProgressRecorder()
    assert is_equal(uninterrupted, train(CONFIG, tmp_path, recorder))
    assert any(last.name in line for line in recorder.messages)
    assert any(middle.name in line for line in recorder.messages)
    assert recorder.resumed_from[0] < 256
    tensors, metadata = safetensors_files.load(list_checkpoints(tmp_path)[-1])
    safetensors_files.save(tmp_path / "nimg-000000999.safetensors", tensors, metadata | {"fingerprint": "other"})
    recorder = ProgressRecorder()
    train(CONFIG, tmp_path, recorder)
    assert any("another fingerprint" in line for line in recorder.messages)


def test_divergence_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    """With a learning rate that overflows, the error names nimg and a checkpoint, and that checkpoint is valid."""
    train(dataclasses.replace(CONFIG, nimg={4: 64, 8: 8}), tmp_path)
    divergent = dataclasses.replace(CONFIG, lr_g=1e30, lr_d=1e30)
    with pytest.raises(ArtifactError, match=r"not finite at nimg \d+; the last good checkpoint is .*nimg-\d+"):
        train(divergent, tmp_path)
    safetensors_files.load(list_checkpoints(tmp_path)[-1])


def test_cuda_without_a_gpu_is_an_error() -> None:
    """`device: cuda` without a GPU raises ConfigError instead of running on the CPU."""
    if torch.cuda.is_available():
        assert select_device("cuda").type == "cuda"
    else:
        with pytest.raises(ConfigError, match="no GPU"):
            select_device("cuda")


def test_every_film_is_shown_once_per_pass() -> None:
    """The positions of a pass are a permutation, in a new order for each pass, for any batch size."""
    films = ShownFilms(np.zeros((20, 4, 4), np.uint8), np.arange(20))
    first_pass = np.concatenate([films.select(3, nimg, 5) for nimg in range(0, 20, 5)])
    assert sorted(first_pass) == list(range(20))
    assert list(films.select(3, 0, 20)) == list(first_pass)
    assert list(films.select(3, 20, 20)) != list(first_pass)


def test_every_seed_has_its_own_stream() -> None:
    """This also holds for a seed that does not fit into 64 bits once it is shifted."""
    values = {float(torch.rand(1, generator=step.step_stream(seed, 0))) for seed in (0, 1, 20201106, 2**63)}
    assert len(values) >= 3


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_bit_identical(tmp_path: Path) -> None:
    """After ten SIGKILLs at random steps, the final weights and the best generator, which is not the last, are equal
    to those of an uninterrupted run."""
    recorder = ProgressRecorder()
    uninterrupted = train_long(LONG_CONFIG, tmp_path / "uninterrupted", recorder)
    distances = [row["val_distance"] for row in recorder.rows if "val_distance" in row]
    assert 0 < int(np.argmin(distances)) < len(distances) - 1
    rng, reached_nimg = np.random.default_rng(0), []
    for _ in range(10):
        with training_process(LONG_CONFIG, tmp_path / "killed") as (process, rows):
            received = [rows.recv() for _ in range(rng.integers(0, 17))]
            time.sleep(rng.uniform(0.0, 0.02))
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            reached_nimg += received[-1:]
    assert max(reached_nimg) > LONG_CONFIG.nimg[4]
    recorder = ProgressRecorder()
    resumed = train_long(LONG_CONFIG, tmp_path / "killed", recorder)
    assert 0 < recorder.resumed_from[0] < resumed.nimg == 2048
    assert is_equal(uninterrupted, resumed)


@pytest.mark.slow
def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    """If no file may exceed 1 kB, the error names the checkpoint; with enough space, the run ends bit-identical."""
    uninterrupted = train(CONFIG, tmp_path / "uninterrupted")
    folder = tmp_path / "full"
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, folder, ProgressRecorder(stop_nimg=112))
    before = digest_files(folder)
    with (
        limited_file_size(1000),
        pytest.raises(ArtifactError, match=r"nimg-000000128\.safetensors: checkpoint not written"),
    ):
        train(CONFIG, folder)
    assert digest_files(folder) == before
    assert is_equal(uninterrupted, train(CONFIG, folder))


@contextmanager
def limited_file_size(n_bytes: int) -> Iterator[None]:
    """Limit the size of the files that this process writes: a longer write raises OSError, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

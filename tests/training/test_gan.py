"""Training: learning moves, stopping and resuming change nothing, damage and divergence lose nothing."""

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
from support.killable_training import LONG, running
from support.killable_training import train as train_long
from support.small_gan import CONFIG, Heard, films

from synthcxr.config.schema import GanConfig
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.networks import device, safetensors_files
from synthcxr.training import checkpoint, film_order, gan, step

CONFIGS = {
    "r1": CONFIG,
    "wgan-gp": dataclasses.replace(
        CONFIG, blocks="paper", loss="wgan-gp", penalty=10.0, penalty_interval=1, drift=1e-3
    ),
}


def train(config: GanConfig, folder: Path, heard: Heard | None = None) -> checkpoint.State:
    return gan.train(config, films, fingerprint="f", folder=folder, listeners=(heard or Heard()).listeners())


def same(one: checkpoint.State, other: checkpoint.State) -> bool:
    pairs = [
        (getattr(one, n).state_dict(), getattr(other, n).state_dict()) for n in ("generator", "discriminator", "ema")
    ]
    return all(torch.equal(a[key], b[key]) for a, b in pairs for key in a)


@pytest.mark.parametrize("name", ["r1", pytest.param("wgan-gp", marks=pytest.mark.slow)])
def test_interrupted_and_resumed_ends_bit_identical(tmp_path: Path, name: str) -> None:
    """Ctrl-C leaves a checkpoint at the step it came in; the same command goes on from there to the same weights."""
    whole = train(CONFIGS[name], tmp_path / "whole")
    heard = Heard(stop_at=112)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIGS[name], tmp_path / "stopped", heard)
    assert checkpoint.checkpoints(tmp_path / "stopped")[-1].name == "nimg-000000112.safetensors"
    again = Heard()
    resumed = train(CONFIGS[name], tmp_path / "stopped", again)
    assert again.began == [112]
    assert resumed.nimg == whole.nimg == 256
    assert same(whole, resumed)
    assert heard.grids + again.grids == [128, 256]


def test_training_changes_the_networks_and_reports_figures(tmp_path: Path) -> None:
    """Rows come every report_nimg, with both resolutions, finite losses and the fade."""
    heard = Heard()
    end = train(CONFIG, tmp_path, heard)
    assert not same(end, gan.new_state(CONFIG, torch.device("cpu")))
    assert [row["nimg"] for row in heard.rows] == list(range(16, 257, 16))
    assert {row["resolution"] for row in heard.rows} == {4, 8}
    assert all(np.isfinite(list(row.values())).all() for row in heard.rows)
    assert len(checkpoint.checkpoints(tmp_path)) == checkpoint.KEPT


@pytest.mark.slow
def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    """The same command on a finished folder loads the end and takes no step."""
    first, heard = train(CONFIG, tmp_path), Heard()
    assert same(first, train(CONFIG, tmp_path, heard))
    assert heard.rows == []


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_used(tmp_path: Path) -> None:
    """Cut short, flipped by a bit, or of other films: each is named, and the weights still end the same."""
    whole = train(CONFIG, tmp_path)
    *_, middle, last = checkpoint.checkpoints(tmp_path)
    last.write_bytes(last.read_bytes()[:-10])
    held = bytearray(middle.read_bytes())
    held[-100] ^= 1
    middle.write_bytes(bytes(held))
    heard = Heard()
    assert same(whole, train(CONFIG, tmp_path, heard))
    assert any(last.name in line for line in heard.said)
    assert any(middle.name in line for line in heard.said)
    assert heard.began[0] < 256
    tensors, metadata = safetensors_files.load(checkpoint.checkpoints(tmp_path)[-1])
    safetensors_files.save(tmp_path / "nimg-000000999.safetensors", tensors, metadata | {"fingerprint": "other"})
    heard = Heard()
    train(CONFIG, tmp_path, heard)
    assert any("another fingerprint" in line for line in heard.said)


def test_divergence_stops_with_the_step_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A learning rate that overflows: the error names nimg and the checkpoint, which still loads."""
    train(dataclasses.replace(CONFIG, nimg={4: 64, 8: 8}), tmp_path)
    wild = dataclasses.replace(CONFIG, lr_g=1e30, lr_d=1e30)
    with pytest.raises(ArtifactError, match=r"not finite at nimg \d+; the last good checkpoint is .*nimg-\d+"):
        train(wild, tmp_path)
    safetensors_files.load(checkpoint.checkpoints(tmp_path)[-1])


def test_cuda_without_a_gpu_is_an_error() -> None:
    """Never a silent CPU run."""
    if torch.cuda.is_available():
        assert device.pick("cuda").type == "cuda"
    else:
        with pytest.raises(ConfigError, match="no GPU"):
            device.pick("cuda")


def test_every_film_is_shown_once_a_pass() -> None:
    """Positions over a whole pass are a permutation, in another order the next time, whatever the batch."""
    one = np.concatenate([film_order.positions(3, 20, at, 5) for at in range(0, 20, 5)])
    assert sorted(one) == list(range(20))
    assert list(film_order.positions(3, 20, 0, 20)) == list(one)
    assert list(film_order.positions(3, 20, 20, 20)) != list(one)


def test_any_seed_gives_a_stream_of_its_own() -> None:
    """Also one that, shifted, would not fit into 64 bits."""
    draws = {float(torch.rand(1, generator=step.stream(seed, 0))) for seed in (0, 1, 20201106, 2**63)}
    assert len(draws) >= 3


@pytest.mark.slow
def test_killed_at_random_steps_ten_times_ends_bit_identical(tmp_path: Path) -> None:
    """SIGKILL leaves nothing half-written: the run that was killed ten times ends like one never killed, with the same
    generator as its best, which is not its last."""
    heard = Heard()
    whole = train_long(LONG, tmp_path / "whole", heard)
    tried = [row["val_distance"] for row in heard.rows if "val_distance" in row]
    assert 0 < int(np.argmin(tried)) < len(tried) - 1
    rng, reached = np.random.default_rng(0), []
    for _ in range(10):
        with running(LONG, tmp_path / "killed") as (process, rows):
            seen = [rows.recv() for _ in range(rng.integers(0, 17))]
            time.sleep(rng.uniform(0.0, 0.02))
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            reached += seen[-1:]
    assert max(reached) > LONG.nimg[4]
    heard = Heard()
    again = train_long(LONG, tmp_path / "killed", heard)
    assert 0 < heard.began[0] < again.nimg == 2048
    assert same(whole, again)


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """No file may grow beyond 1 kB: the error names what was not written, and with room again the end is the same."""
    whole = train(CONFIG, tmp_path / "whole")
    folder = tmp_path / "full"
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, folder, Heard(stop_at=112))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with small_files(1000), pytest.raises(ArtifactError, match=r"nimg-000000128\.safetensors: checkpoint not written"):
        train(CONFIG, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert same(whole, train(CONFIG, folder))


@contextmanager
def small_files(n_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond `n_bytes`: an OSError in the middle of a write, as of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

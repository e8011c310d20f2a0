"""Training: learning moves, stopping and resuming change nothing, damage and divergence lose nothing."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_gan import CONFIG, Heard, films

from synthcxr.config import GanConfig
from synthcxr.errors import ArtifactError, ConfigError
from synthcxr.networks import weights
from synthcxr.training import batches, device, gan, state, step

CONFIGS = {
    "r1": CONFIG,
    "wgan-gp": dataclasses.replace(
        CONFIG, blocks="paper", loss="wgan-gp", penalty=10.0, penalty_interval=1, drift=1e-3
    ),
}


def train(config: GanConfig, folder: Path, heard: Heard | None = None) -> state.State:
    return gan.train(config, films, fingerprint="f", folder=folder, listeners=(heard or Heard()).listeners())


def same(one: state.State, other: state.State) -> bool:
    pairs = [
        (getattr(one, n).state_dict(), getattr(other, n).state_dict()) for n in ("generator", "discriminator", "ema")
    ]
    return all(torch.equal(a[key], b[key]) for a, b in pairs for key in a)


@pytest.mark.parametrize("name", CONFIGS)
def test_interrupted_and_resumed_ends_bit_identical(tmp_path: Path, name: str) -> None:
    """Ctrl-C leaves a checkpoint at the step it came in; the same command goes on from there to the same weights."""
    whole = train(CONFIGS[name], tmp_path / "whole")
    heard = Heard(stop_at=112)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIGS[name], tmp_path / "stopped", heard)
    assert state.checkpoints(tmp_path / "stopped")[-1].name == "nimg-000000112.safetensors"
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
    assert len(state.checkpoints(tmp_path)) == state.KEPT


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    """The same command on a finished folder loads the end and takes no step."""
    first, heard = train(CONFIG, tmp_path), Heard()
    assert same(first, train(CONFIG, tmp_path, heard))
    assert heard.rows == []


def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_used(tmp_path: Path) -> None:
    """Cut short, flipped by a bit, or of other films: each is named, and the weights still end the same."""
    whole = train(CONFIG, tmp_path)
    *_, middle, last = state.checkpoints(tmp_path)
    last.write_bytes(last.read_bytes()[:-10])
    held = bytearray(middle.read_bytes())
    held[-100] ^= 1
    middle.write_bytes(bytes(held))
    heard = Heard()
    assert same(whole, train(CONFIG, tmp_path, heard))
    assert any(last.name in line for line in heard.said)
    assert any(middle.name in line for line in heard.said)
    assert heard.began[0] < 256
    tensors, metadata = weights.load(state.checkpoints(tmp_path)[-1])
    weights.save(tmp_path / "nimg-000000999.safetensors", tensors, metadata | {"fingerprint": "other"})
    heard = Heard()
    train(CONFIG, tmp_path, heard)
    assert any("another fingerprint" in line for line in heard.said)


def test_divergence_stops_with_the_step_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A learning rate that overflows: the error names nimg and the checkpoint, which still loads."""
    train(dataclasses.replace(CONFIG, nimg={4: 64, 8: 8}), tmp_path)
    wild = dataclasses.replace(CONFIG, lr_g=1e30, lr_d=1e30)
    with pytest.raises(ArtifactError, match=r"not finite at nimg \d+; the last good checkpoint is .*nimg-\d+"):
        train(wild, tmp_path)
    weights.load(state.checkpoints(tmp_path)[-1])


def test_cuda_without_a_gpu_is_an_error() -> None:
    """Never a silent CPU run."""
    if torch.cuda.is_available():
        assert device.pick("cuda").type == "cuda"
    else:
        with pytest.raises(ConfigError, match="no GPU"):
            device.pick("cuda")


def test_every_film_is_shown_once_a_pass() -> None:
    """Positions over a whole pass are a permutation, in another order the next time, whatever the batch."""
    one = np.concatenate([batches.positions(3, 20, at, 5) for at in range(0, 20, 5)])
    assert sorted(one) == list(range(20))
    assert list(batches.positions(3, 20, 0, 20)) == list(one)
    assert list(batches.positions(3, 20, 20, 20)) != list(one)


def test_any_seed_gives_a_stream_of_its_own() -> None:
    """Also one that, shifted, would not fit into 64 bits."""
    draws = {float(torch.rand(1, generator=step.stream(seed, 0))) for seed in (0, 1, 20201106, 2**63)}
    assert len(draws) >= 3


KILLED = """
import sys, time
sys.path[:0] = {paths!r}
from pathlib import Path
from test_gan import CONFIG, Heard, train
heard = Heard()
heard.row = lambda row: time.sleep(0.02)
train(CONFIG, Path(sys.argv[1]), heard)
"""


@pytest.mark.slow
def test_killed_at_random_steps_ten_times_ends_bit_identical(tmp_path: Path) -> None:
    """SIGKILL leaves nothing half-written: the run that was killed ten times ends like one never killed."""
    whole = train(CONFIG, tmp_path / "whole")
    script = KILLED.format(paths=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    rng, kills = np.random.default_rng(0), 0
    for _ in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "killed")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = len(list((tmp_path / "killed").glob("*")))
        while child.poll() is None and len(list((tmp_path / "killed").glob("*"))) == before and before < 3:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.3))
        kills += child.poll() is None
        child.kill()
        child.wait()
    assert kills >= 5
    assert same(whole, train(CONFIG, tmp_path / "killed"))

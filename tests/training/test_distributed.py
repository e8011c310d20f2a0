"""Two ranks, real processes over loopback, do what one rank does with the joined batch; one of them writes."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import distributed_worker as two_ranks
from support.servers import free_port
from support.small_gan import CONFIG, Heard, films
from torch import Tensor

from synthcxr.errors import ConfigError
from synthcxr.networks import safetensors_files
from synthcxr.training import checkpoint, distributed, gan, schedule
from synthcxr.training.step_rng import Draws

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two ranks that torchrun started left behind."""
    folder = tmp_path_factory.mktemp("two")
    done = launched("everything", folder)
    assert done.returncode == 0, done.stderr
    return folder


def launched(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    paths = [str(Path(two_ranks.__file__).parent), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [*launch, two_ranks.__file__, what, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def norm(tensors: list[Tensor]) -> Tensor:
    return torch.linalg.norm(torch.cat([tensor.flatten() for tensor in tensors]))


def held(folder: Path, name: str) -> dict[str, Tensor]:
    return safetensors_files.load(folder / name)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", two_ranks.CONFIGS)
def test_gradients_are_those_of_the_joined_batch(two: Path, name: str) -> None:
    """In fp32 they agree to 1e-5 relative, penalty and group statistics included.

    Each tensor does, but for one whose terms cancel (D's last bias under WGAN): it agrees to rounding of the terms.
    """
    one = two_ranks.gradients(two_ranks.CONFIGS[name], distributed.ALONE)
    together = held(two, f"gradients-{name}-0")
    assert one.keys() == together.keys()
    assert any(key.startswith("generator/blocks") for key in one)
    for side in ("generator", "discriminator"):
        whole = float(norm([gradient for key, gradient in one.items() if key.startswith(side)]))
        for key, gradient in one.items():
            if key.startswith(side):
                assert norm([together[key] - gradient]) <= 1e-5 * norm([gradient]) + 1e-7 * whole, key


@pytest.mark.slow
@pytest.mark.parametrize("name", two_ranks.CONFIGS)
def test_weights_after_three_steps_are_those_of_one_rank(two: Path, name: str) -> None:
    """In float64 G, D and the average agree to 1e-8, and have moved."""
    config = two_ranks.CONFIGS[name]
    one, together = two_ranks.three_steps(config, distributed.ALONE), held(two, f"three-steps-{name}-0")
    fresh = two_ranks.tensors(gan.new_state(config, CPU))
    assert max(float((together[key] - one[key]).abs().max()) for key in one) <= 1e-8
    assert float((one["generator/conv.weight"] - fresh["generator/conv.weight"]).abs().max()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gradients-r1", "three-steps-wgan-gp", "trained", "resumed"])
def test_ranks_never_part(two: Path, what: str) -> None:
    """Both hold the same bits of every weight and of the average, without ever sending one."""
    first, second = held(two, f"{what}-0"), held(two, f"{what}-1")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_stopped_and_started_again_the_ranks_end_bit_identical(two: Path) -> None:
    """A signal to one rank stops both at one step; both go on from the one checkpoint that was written."""
    whole, resumed = held(two, "trained-0"), held(two, "resumed-0")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert json.loads((two / "heard-0.json").read_text())["began"] == [112]


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_others_and_loses_nothing(two: Path, tmp_path: Path) -> None:
    """SIGKILL of one: the other says so and ends, does not wait; started again, both end as if nothing had been."""
    folder = tmp_path / "killed"
    first = launched("killed", folder)
    assert first.returncode != 0
    assert "a rank of this training is not there or has gone" in first.stderr
    assert [path.name for path in checkpoint.checkpoints(folder)] == [
        f"nimg-{nimg:09d}.safetensors" for nimg in (64, 96, 128)
    ]
    assert launched("killed", folder).returncode == 0
    whole, ended = held(two, "trained-0"), held(folder, "ended-0")
    assert all(torch.equal(whole[key], ended[key]) for key in whole)


@pytest.mark.slow
def test_the_first_rank_alone_is_heard_and_writes(two: Path) -> None:
    """Rows and grids once, and as many checkpoints as one rank keeps."""
    first, second = (json.loads((two / f"heard-{rank}.json").read_text()) for rank in (0, 1))
    assert first["rows"] == list(range(16, 257, 16))
    assert first["grids"] == [128, 256]
    assert second == {"rows": [], "grids": [], "began": []}
    assert len(checkpoint.checkpoints(two / "whole")) == checkpoint.KEPT


def test_draws_join_to_those_of_one_rank() -> None:
    """Four ranks' rows, one below the other, are the rows of one."""

    def rows(team: distributed.Ranks, n: int) -> Tensor:
        draws = Draws(torch.Generator().manual_seed(1), team)
        return torch.cat([draws.normal(n, 3), draws.uniform(n, 3)], dim=1)

    whole = rows(distributed.ALONE, 8)
    assert torch.equal(torch.cat([rows(distributed.Ranks(rank, 4, CPU), 2) for rank in range(4)]), whole)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    """By the name of its parameter; one whose groups become others is said aloud."""
    phases = schedule.phases({4: 8, 8: 12}, {4: 8, 8: 12}, fade_nimg={}, resolution=8)
    with pytest.raises(ConfigError, match=r"train_gan\.batch\.4: 8 images do not divide among 3 ranks"):
        distributed.divide(phases, distributed.Ranks(0, 3, CPU), pytest.fail)
    said: list[str] = []
    distributed.divide(phases, distributed.Ranks(0, 4, CPU), said.append)
    assert [line.split(":")[0] for line in said] == ["train_gan.batch.4", "train_gan.batch.8"]
    assert "in groups of 3" in said[1]


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """WORLD_SIZE left over from elsewhere: one line that says what to do, not a wait for nobody."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="RANK is not: start with torchrun"), distributed.joined("cpu"):
        pass


def test_a_training_alone_sends_nothing(tmp_path: Path) -> None:
    """One rank needs no torchrun, no process group and no port."""
    config = dataclasses.replace(CONFIG, nimg={4: 16, 8: 16})
    with distributed.joined("cpu") as team:
        assert team == distributed.ALONE
        gan.train(config, films, fingerprint="f", folder=tmp_path, listeners=Heard().listeners(), ranks=team)
    assert not torch.distributed.is_initialized()

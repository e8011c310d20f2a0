"""Two ranks, in real processes over loopback, compute what one rank computes with the whole batch; one rank writes."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import distributed_worker
from support.loopback_server import find_free_port
from support.small_gan import CONFIG, ProgressRecorder, read_films
from torch import Tensor

from synthcxr.errors import ConfigError
from synthcxr.networks import safetensors_files
from synthcxr.training import checkpoint, gan, gan_state, schedule
from synthcxr.training.distributed import SINGLE_PROCESS, Ranks, check_batches, join_ranks
from synthcxr.training.step_rng import StepRng

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of two ranks that torchrun started."""
    folder = tmp_path_factory.mktemp("two_ranks")
    process = run_two_ranks("all", folder)
    assert process.returncode == 0, process.stderr
    return folder


def run_two_ranks(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    paths = [str(Path(distributed_worker.__file__).parent), *sys.path]
    return subprocess.run(
        [*torchrun, "--master-port", str(find_free_port()), distributed_worker.__file__, command, str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def compute_norm(tensors: list[Tensor]) -> Tensor:
    return torch.linalg.norm(torch.cat([tensor.flatten() for tensor in tensors]))


def load(folder: Path, name: str) -> dict[str, Tensor]:
    return safetensors_files.load(folder / name)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", distributed_worker.CONFIGS)
def test_gradients_equal_those_of_the_whole_batch(two_ranks: Path, name: str) -> None:
    """In fp32 they agree to 1e-5 relative, including the penalty and the minibatch standard deviation.

    The terms of D's last bias cancel under WGAN, so it agrees to the rounding error of the terms.
    """
    single = distributed_worker.compute_gradients(distributed_worker.CONFIGS[name], SINGLE_PROCESS)
    distributed = load(two_ranks, f"gradients-{name}-0")
    assert single.keys() == distributed.keys()
    assert any(key.startswith("generator/blocks") for key in single)
    for network in ("generator", "discriminator"):
        gradients = {key: gradient for key, gradient in single.items() if key.startswith(network)}
        total_norm = float(compute_norm(list(gradients.values())))
        for key, gradient in gradients.items():
            tolerance = 1e-5 * compute_norm([gradient]) + 1e-7 * total_norm
            assert compute_norm([distributed[key] - gradient]) <= tolerance, key


@pytest.mark.slow
@pytest.mark.parametrize("name", distributed_worker.CONFIGS)
def test_weights_after_three_steps_equal_those_of_one_rank(two_ranks: Path, name: str) -> None:
    """In float64, G, D and the average agree to 1e-8, and they have changed."""
    config = distributed_worker.CONFIGS[name]
    single = distributed_worker.run_three_steps(config, SINGLE_PROCESS)
    distributed = load(two_ranks, f"three-steps-{name}-0")
    untrained = distributed_worker.collect_weights(gan_state.create_state(config, CPU))
    assert max(float((distributed[key] - single[key]).abs().max()) for key in single) <= 1e-8
    key = "generator/conv.weight"
    assert float((single[key] - untrained[key]).abs().max()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gradients-r1", "three-steps-wgan-gp", "trained", "resumed"])
def test_ranks_have_identical_weights(two_ranks: Path, name: str) -> None:
    """Both ranks have the same bits of every weight and of the average, although no weight is sent."""
    first, second = load(two_ranks, f"{name}-0"), load(two_ranks, f"{name}-1")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_a_resumed_run_of_two_ranks_ends_bit_identical(two_ranks: Path) -> None:
    """A signal to one rank stops both at the same step, and both resume from the one checkpoint."""
    uninterrupted, resumed = load(two_ranks, "trained-0"), load(two_ranks, "resumed-0")
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in uninterrupted)
    assert json.loads((two_ranks / "progress-0.json").read_text())["resumed_from"] == [112]


@pytest.mark.slow
def test_a_killed_rank_ends_the_other_and_the_run_can_be_resumed(two_ranks: Path, tmp_path: Path) -> None:
    """After SIGKILL of one rank, the other ends with an error; a new run of both ends bit-identical."""
    folder = tmp_path / "killed"
    killed = run_two_ranks("killed", folder)
    assert killed.returncode != 0
    assert "another rank of this training is missing or has stopped" in killed.stderr
    assert [path.name for path in checkpoint.list_checkpoints(folder)] == [
        f"nimg-{nimg:09d}.safetensors" for nimg in (64, 96, 128)
    ]
    assert run_two_ranks("killed", folder).returncode == 0
    uninterrupted, resumed = load(two_ranks, "trained-0"), load(folder, "ended-0")
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in uninterrupted)


@pytest.mark.slow
def test_only_the_first_rank_reports_and_writes(two_ranks: Path) -> None:
    """Rows and grids are reported once, and there are as many checkpoints as with one rank."""
    first, second = (json.loads((two_ranks / f"progress-{rank}.json").read_text()) for rank in (0, 1))
    assert first["rows"] == list(range(16, 257, 16))
    assert first["grids"] == [128, 256]
    assert second == {"rows": [], "grids": [], "resumed_from": []}
    assert len(checkpoint.list_checkpoints(two_ranks / "uninterrupted")) == checkpoint.MAX_CHECKPOINTS


def test_random_numbers_of_ranks_join_to_those_of_one_rank() -> None:
    """The rows of four ranks, concatenated, are the rows of a single rank."""

    def draw_rows(ranks: Ranks, n: int) -> Tensor:
        rng = StepRng(torch.Generator().manual_seed(1), ranks)
        return torch.cat([rng.normal(n, 3), rng.uniform(n, 3)], dim=1)

    single = draw_rows(SINGLE_PROCESS, 8)
    assert torch.equal(torch.cat([draw_rows(Ranks(rank, 4, CPU), 2) for rank in range(4)]), single)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    """The error names the parameter; a change of the group size is reported."""
    phases = schedule.build_phases({4: 8, 8: 12}, {4: 8, 8: 12}, fade_nimg={}, resolution=8)
    with pytest.raises(ConfigError, match=r"train_gan\.batch\.4: 8 images do not divide among 3 ranks"):
        check_batches(phases, Ranks(0, 3, CPU), pytest.fail)
    messages: list[str] = []
    check_batches(phases, Ranks(0, 4, CPU), messages.append)
    assert [line.split(":")[0] for line in messages] == ["train_gan.batch.4", "train_gan.batch.8"]
    assert "in groups of 3" in messages[1]


def test_an_incomplete_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a leftover WORLD_SIZE, the error says what to do instead of waiting for ranks that do not exist."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="RANK is not; start with torchrun"), join_ranks("cpu"):
        pass


def test_a_single_process_does_not_communicate(tmp_path: Path) -> None:
    """One rank needs no torchrun, process group or port."""
    config = dataclasses.replace(CONFIG, nimg={4: 16, 8: 16})
    callbacks = ProgressRecorder().callbacks()
    with join_ranks("cpu") as ranks:
        assert ranks == SINGLE_PROCESS
        gan.train_gan(config, read_films, fingerprint="f", folder=tmp_path, callbacks=callbacks, ranks=ranks)
    assert not torch.distributed.is_initialized()

"""The benchmarks: both sides of a comparison compute the same thing, and scripts run on small models."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support.distributed_worker import collect_weights
from support.exported_models import write_exported_models
from support.paths import REPOSITORY

from synthcxr.config.schema import GanConfig, load_config

pytestmark = pytest.mark.slow


def load_benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_benchmark(name: str, *arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "benchmarks" / f"{name}.py"
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(params=["starter", "nih-1024"])
def config(request: pytest.FixtureRequest) -> GanConfig:
    """The training of a profile, reduced to 16 px and an eighth of the channels."""
    profile = load_config(REPOSITORY / "params" / f"{request.param}.yaml").train_gan
    channels = {side: n // 8 for side, n in profile.channels.items() if side <= 16}
    return dataclasses.replace(profile, resolution=16, channels=channels, device="cpu")


def test_the_reference_networks_compute_the_same(config: GanConfig) -> None:
    """The networks in plain torch operations give the images and logits of the package's networks to 1e-5."""
    assert load_benchmark("reference_training_step").largest_difference(config) < 1e-5


def test_the_reference_step_trains_all_networks(config: GanConfig) -> None:
    """The step changes generator, discriminator and average: it omits nothing that the compared step does."""
    reference = load_benchmark("reference_training_step")
    state, before = reference.create_reference_state(config), collect_weights(reference.create_reference_state(config))
    reference.make_step(config, state, 4)(0)
    changed = {
        name.split("/")[0] for name, value in collect_weights(state).items() if not torch.equal(value, before[name])
    }
    assert changed == {"generator", "discriminator", "ema"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_gpu_benchmark_without_a_gpu_is_one_line() -> None:
    """It exits with code 2 and does not measure on the CPU instead."""
    process = run_benchmark("cuda")
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr == "no GPU found by torch; nothing was measured\n"


def test_the_lift_of_finding_pairs_has_known_signs() -> None:
    """Edema occurs with Infiltration more often than by chance and with Hernia less often; the lift is symmetric."""
    benchmark = load_benchmark("label_correlation")
    lift = benchmark.compute_lift()
    indices = {name: index for index, name in enumerate(benchmark.FINDINGS)}
    assert (lift == lift.T).all()
    assert lift[indices["Edema"], indices["Infiltration"]] > 1 > lift[indices["Hernia"], indices["Edema"]]
    correlation = benchmark.correlate(lift, lift)
    assert correlation["spearman"] == pytest.approx(1)
    assert correlation["pairs"] == 182


def test_the_label_correlation_has_a_row_for_each_requested_finding(tmp_path: Path) -> None:
    """JSON and table have the requested findings in order, with 32 candidates each, and a figure is written."""
    models = write_exported_models(tmp_path / "onnx", rate=0.1)
    sizes = ("--blocks", 2, "--batch", 16)
    process = run_benchmark("label_correlation", models, *sizes, "--findings", "Mass", "Edema", "--out", tmp_path)
    assert process.returncode == 0, process.stderr
    rows = json.loads((tmp_path / "related.json").read_text())["searches"]
    assert [(row["finding"], row["led"]) for row in rows] == [("Mass", 32), ("Edema", 32)]
    assert len((tmp_path / "related.csv").read_text().splitlines()) == 3
    assert (tmp_path / "related.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_throughput_is_measured_on_the_command_itself(tmp_path: Path) -> None:
    """The result has peak memory and rate for both lengths, and the rate of the networks alone."""
    models = write_exported_models(tmp_path / "onnx", rate=0.1)
    sizes = ("--short", 40, "--long", 80, "--alone", 64, "--batch", 16)
    process = run_benchmark("throughput", models, *sizes, "--out", tmp_path / "throughput.json")
    assert process.returncode == 0, process.stderr
    result = json.loads((tmp_path / "throughput.json").read_text())
    assert result["short"]["n"] == 40
    assert result["long"]["n"] == 80
    assert result["short"]["peak_mib"] > 20
    assert result["memory_ratio"] == pytest.approx(result["long"]["peak_mib"] / result["short"]["peak_mib"])
    assert len(result["alone_images_per_s"]) == 2
    assert result["rate_ratio"] > 0


def test_prepare_is_measured_with_two_checkouts(tmp_path: Path) -> None:
    """The result has the wall and processor seconds of each run with either code, and all films are packed."""
    sizes = ("--n", 24, "--side", 256, "--rounds", 1)
    process = run_benchmark("prepare", REPOSITORY, *sizes, "--out", tmp_path / "prepare.json")
    assert process.returncode == 0, process.stderr
    result = json.loads((tmp_path / "prepare.json").read_text())["compressed DICOM"]
    assert result["n"] == 24
    for unit in ("wall_s", "cpu_s"):
        assert len(result[unit]["this"]) == len(result[unit]["other"]) == 1
        assert result[unit]["ratio_of_medians"] > 0


def test_the_shares_of_generate_add_up(tmp_path: Path) -> None:
    """The steps and the rest are all of the processor time, and both networks and the PNG files take some of it."""
    write_exported_models(tmp_path / "onnx")
    result = run_benchmark(
        *("generate_shares", "--models", tmp_path / "onnx", "--n", 40, "--rounds", 1, "--out", tmp_path / "shares.json")
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "shares.json").read_text())
    assert sum(record["shares"].values()) == pytest.approx(1, abs=0.01)
    assert all(record["seconds"][step] > 0 for step in ("generator", "classifier", "PNG", "checks", "other"))


def test_packing_the_release_is_measured(tmp_path: Path) -> None:
    """All films are packed: the first run is killed at half of them, and the second one continues."""
    sizes = ("--n", 1200, "--n-drawn", 8, "--work", tmp_path / "work")
    process = run_benchmark("release", *sizes, "--out", tmp_path / "release.json")
    assert process.returncode == 0, process.stderr
    result = json.loads((tmp_path / "release.json").read_text())
    assert 600 <= result["killed"]["n_packed"] < 1200
    assert len(result["decoding_films_per_s"]) == 2
    wall = result["killed"]["wall_s"] + result["resumed"]["wall_s"]
    assert result["films_per_s"] == pytest.approx(1200 / wall, abs=0.06)
    about = json.loads((tmp_path / "work" / "packed" / "dataset.json").read_text())
    assert about["counts"]["films"] == about["counts"]["same_films"] == 1200

"""What the benchmarks claim to compare is the same thing, and one that wants a GPU says so where there is none."""

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


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["starter", "nih-1024"])
def config(request: pytest.FixtureRequest) -> GanConfig:
    """A profile's training at 16 px, eight times narrower."""
    held = load_config(REPOSITORY / "params" / f"{request.param}.yaml").train_gan
    channels = {side: n // 8 for side, n in held.channels.items() if side <= 16}
    return dataclasses.replace(held, resolution=16, channels=channels, device="cpu")


def test_the_plain_side_is_the_same_networks(config: GanConfig) -> None:
    """In torch's own operations they make the same images and logits."""
    assert load("reference_training_step").difference(config) < 1e-5


def test_the_plain_step_trains(config: GanConfig) -> None:
    """It moves both networks and the average: nothing that is timed on the other side is left out here."""
    plain = load("reference_training_step")
    state, before = plain.fresh(config), collect_weights(plain.fresh(config))
    plain.step_of(config, state, 4)(0)
    moved = {
        name.split("/")[0] for name, value in collect_weights(state).items() if not torch.equal(value, before[name])
    }
    assert moved == {"generator", "discriminator", "ema"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_line_says_so() -> None:
    """Exit 2, nothing measured on a CPU in its place."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "cuda.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "no GPU found by torch; nothing was measured\n"


def test_related_findings_are_told_from_others(tmp_path: Path) -> None:
    """Edema stands with Infiltration more often than chance has it, Hernia with Edema less; the table has every row."""
    related = load("label_correlation")
    lift = related.together()
    at = {name: index for index, name in enumerate(related.FINDINGS)}
    assert (lift == lift.T).all() and lift[at["Edema"], at["Infiltration"]] > 1 > lift[at["Hernia"], at["Edema"]]
    found = related.correlation(lift, lift)
    assert found["spearman"] == pytest.approx(1) and found["pairs"] == 182
    models = write_exported_models(tmp_path / "onnx", rate=0.1)
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "label_correlation.py"), str(models), "--blocks", "2"]
    command += ["--batch", "16", "--findings", "Mass", "Edema", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "related.json").read_text())["searches"]
    assert [row["finding"] for row in rows] == ["Mass", "Edema"] and rows[0]["led"] == 32
    assert len((tmp_path / "related.csv").read_text().splitlines()) == 3 and (tmp_path / "related.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_streaming_is_measured_on_the_command_itself(tmp_path: Path) -> None:
    """Peak and rate of both lengths, and of the sessions alone on the same candidates."""
    models = write_exported_models(tmp_path / "onnx", rate=0.1)
    command = [
        sys.executable,
        str(REPOSITORY / "benchmarks" / "throughput.py"),
        str(models),
        "--short",
        "40",
        "--long",
        "80",
    ]
    command += ["--alone", "64", "--batch", "16", "--out", str(tmp_path / "stream.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held = json.loads((tmp_path / "stream.json").read_text())
    assert held["short"]["n"] == 40 and held["long"]["n"] == 80 and held["short"]["peak_mib"] > 20
    assert held["memory_ratio"] == pytest.approx(held["long"]["peak_mib"] / held["short"]["peak_mib"])
    assert len(held["alone_images_per_s"]) == 2 and held["rate_ratio"] > 0

"""Sessions: a model file is checked against its metadata, and runs on the requested device or raises an error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.storage.cores import count_usable_cores
from synthcxr.synthesis.runtime.onnx_session import Session

SaveModel = Callable[..., Path]


def skip_with_gpu() -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")


def test_a_session_returns_outputs_by_name(save_generator: SaveModel, save_classifier: SaveModel) -> None:
    """A generator returns `image`, a classifier and a judge return `logits` and `features`, for any N."""
    generator = Session.open(save_generator(), kind="generator", device="cpu")
    assert generator.provider == "CPUExecutionProvider"
    assert generator.digest == generator.metadata.digest == onnx_metadata.read(save_generator()).digest
    for n in (1, 3, 32):
        assert generator.run(np.zeros((n, 4), np.float32))["image"].shape == (n, 1, 8, 8)
    for kind in ("classifier", "judge"):
        session = Session.open(save_classifier(kind), kind=kind)
        outputs = session.run(np.ones((3, 1, 8, 8), np.float32))
        assert {name: value.shape for name, value in outputs.items()} == {"logits": (3, 14), "features": (3, 64)}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"latent": 5}, "input 'z'"),
        ({"resolution": 16}, "output 'image'"),
        ({"findings": FINDINGS[::-1]}, "findings differ"),
    ],
)
def test_a_generator_must_match_its_metadata(save_generator: SaveModel, overrides: dict, message: str) -> None:
    """Metadata that does not match the graph is an error that names the difference."""
    with pytest.raises(ArtifactError, match=message):
        Session.open(save_generator(**overrides), device="cpu")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"resolution": 16}, "input 'image'"),
        ({"outputs": ("logits",)}, "has no output 'features'; it has logits"),
        ({"thresholds": dict.fromkeys(FINDINGS[1:], 0.5)}, "no threshold for Atelectasis"),
    ],
)
def test_a_classifier_must_match_its_metadata(save_classifier: SaveModel, overrides: dict, message: str) -> None:
    """A classifier needs both outputs, the resolution of its metadata, and a threshold for each finding."""
    with pytest.raises(ArtifactError, match=message):
        Session.open(save_classifier(**overrides), device="cpu")


def test_a_judge_cannot_replace_the_classifier(save_classifier: SaveModel) -> None:
    """Opening a judge as a classifier is an error: the model that selects images must not judge them."""
    with pytest.raises(ArtifactError, match="is a judge"):
        Session.open(save_classifier("judge"), kind="classifier")


def test_a_damaged_file_is_one_error(save_generator: SaveModel, tmp_path: Path) -> None:
    """Changed weights, a truncated file, another format and a missing file each give an error with the name."""
    path = save_generator()
    model = onnx.load(path)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((4, 64), np.float32), "w"))
    onnx.save(model, tmp_path / "changed.onnx")
    (tmp_path / "truncated.onnx").write_bytes(path.read_bytes()[:-40])
    (tmp_path / "text.onnx").write_text("not a model")
    for name in ("changed", "truncated", "text", "missing"):
        with pytest.raises(ArtifactError, match=f"{name}.onnx"):
            Session.open(tmp_path / f"{name}.onnx")


def test_a_graph_that_cannot_run_is_an_artifact_error(save_generator: SaveModel) -> None:
    """A file with valid metadata whose graph onnxruntime rejects raises ArtifactError, not a library error."""
    path = save_generator()
    model = onnx.load(path)
    model.graph.node[1].op_type = "Tangle"
    onnx_metadata.stamp(model, onnx_metadata.read(path))
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match="not readable as a model for onnxruntime"):
        Session.open(path)


def test_cuda_is_an_error_without_a_gpu(save_generator: SaveModel) -> None:
    """Device "cuda" never falls back to the CPU silently."""
    skip_with_gpu()
    with pytest.raises(ArtifactError, match="--device cuda: onnxruntime cannot use the GPU"):
        Session.open(save_generator(), device="cuda")


def test_an_input_of_the_wrong_shape_is_an_artifact_error(save_generator: SaveModel) -> None:
    """The error names the model that failed."""
    with pytest.raises(ArtifactError, match="the generator failed on CPUExecutionProvider"):
        Session.open(save_generator(), device="cpu").run(np.zeros((1, 5), np.float32))


def test_opening_prints_nothing_and_loads_no_heavy_library(save_generator: SaveModel) -> None:
    """With device "auto" and no GPU, stdout and stderr stay empty, and neither torch nor mlflow is loaded."""
    skip_with_gpu()
    script = (
        "import sys; from pathlib import Path\n"
        "from synthcxr.synthesis.runtime.onnx_session import Session\n"
        "from synthcxr.synthesis.sampling.rejection import RejectionSampler\n"
        f"session = Session.open(Path({str(save_generator())!r}), device='auto')\n"
        "heavy = {'torch', 'mlflow', 'great_expectations', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{session.provider} {heavy}' if heavy or session.provider != 'CPUExecutionProvider' else 0)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_number_of_threads_is_the_requested_one(save_generator: SaveModel) -> None:
    """A session uses the given number of threads, and by default one per usable core."""
    path = save_generator()
    assert Session.open(path, device="cpu", threads=3).threads == 3
    assert Session.open(path, device="cpu").threads == count_usable_cores()

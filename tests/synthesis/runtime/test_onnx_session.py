"""Sessions: what a model file promises is checked before it runs, and the device asked for is the one that is got."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from synthcxr.data import findings
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.synthesis.runtime.onnx_session import Session, n_threads

Save = Callable[..., Path]


def test_a_session_gives_its_outputs_by_name(save_generator: Save, save_classifier: Save) -> None:
    """A generator gives `image`, a classifier and a judge give `logits` and `features`, for any N."""
    generator = Session.open(save_generator(), kind="generator", device="cpu")
    assert generator.provider == "CPUExecutionProvider"
    assert generator.digest == generator.contract.digest == onnx_metadata.read(save_generator()).digest
    for n in (1, 3, 32):
        assert generator.run(np.zeros((n, 4), np.float32))["image"].shape == (n, 1, 8, 8)
    for kind in ("classifier", "judge"):
        session = Session.open(save_classifier(kind), kind=kind)
        outputs = session.run(np.ones((3, 1, 8, 8), np.float32))
        assert {name: value.shape for name, value in outputs.items()} == {"logits": (3, 14), "features": (3, 64)}


@pytest.mark.parametrize(
    ("promises", "says"),
    [
        ({"latent": 5}, "input 'z'"),
        ({"resolution": 16}, "output 'image'"),
        ({"findings": findings.FINDINGS[::-1]}, "findings differ"),
    ],
)
def test_a_generator_that_breaks_its_promises(save_generator: Save, promises: dict, says: str) -> None:
    """Metadata that does not fit the graph is refused, naming what does not fit."""
    with pytest.raises(ArtifactError, match=says):
        Session.open(save_generator(**promises), device="cpu")


@pytest.mark.parametrize(
    ("promises", "says"),
    [
        ({"resolution": 16}, "input 'image'"),
        ({"outputs": ("logits",)}, "has no output 'features'; it has logits"),
        ({"thresholds": dict.fromkeys(findings.FINDINGS[1:], 0.5)}, "no threshold for Atelectasis"),
    ],
)
def test_a_classifier_that_breaks_its_promises(save_classifier: Save, promises: dict, says: str) -> None:
    """A classifier needs both outputs, images of its size and a threshold for each finding."""
    with pytest.raises(ArtifactError, match=says):
        Session.open(save_classifier(**promises), device="cpu")


def test_the_wrong_kind(save_classifier: Save) -> None:
    """A judge is no classifier: what chose the images may not judge them."""
    with pytest.raises(ArtifactError, match="is a judge, wanted a classifier"):
        Session.open(save_classifier("judge"), kind="classifier")


def test_harmed_files(save_generator: Save, tmp_path: Path) -> None:
    """Changed weights, a cut file, another file and no file are each one error that names the file."""
    path = save_generator()
    model = onnx.load(path)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((4, 64), np.float32), "w"))
    onnx.save(model, tmp_path / "changed.onnx")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-40])
    (tmp_path / "text.onnx").write_text("not a model")
    for name in ("changed", "cut", "text", "absent"):
        with pytest.raises(ArtifactError, match=f"{name}.onnx"):
            Session.open(tmp_path / f"{name}.onnx")


def test_a_graph_that_cannot_run(save_generator: Save) -> None:
    """A stamped file whose graph onnxruntime refuses is an error of ours, not a traceback."""
    path = save_generator()
    model = onnx.load(path)
    model.graph.node[1].op_type = "Tangle"
    onnx_metadata.stamp(model, onnx_metadata.read(path))
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match="onnxruntime cannot load it"):
        Session.open(path)


def test_cuda_is_an_error_where_it_is_not_got(save_generator: Save) -> None:
    """Never a silent CPU run."""
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ArtifactError, match="--device cuda: onnxruntime did not get the GPU"):
        Session.open(save_generator(), device="cuda")


def test_a_wrong_array_is_an_error_of_ours(save_generator: Save) -> None:
    """An array of another shape names the model that refused it."""
    with pytest.raises(ArtifactError, match="the generator failed on CPUExecutionProvider"):
        Session.open(save_generator(), device="cpu").run(np.zeros((1, 5), np.float32))


def test_opening_is_silent_and_light(save_generator: Save) -> None:
    """With `auto` and no GPU nothing reaches stderr or stdout, and neither torch nor mlflow is loaded."""
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    script = (
        "import sys; from pathlib import Path; from synthcxr.synthesis.sampler import Sampler\n"
        "from synthcxr.synthesis.runtime.onnx_session import Session\n"
        f"session = Session.open(Path({str(save_generator())!r}), device='auto')\n"
        "heavy = {'torch', 'mlflow', 'great_expectations', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{session.provider} {heavy}' if heavy or session.provider != 'CPUExecutionProvider' else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_are_those_asked_for(save_generator: Save) -> None:
    """A session works with the number of threads that it is given, and without one with the cores there are."""
    path = save_generator()
    assert Session.open(path, device="cpu", threads=3).threads == 3
    assert Session.open(path, device="cpu").threads == n_threads()

"""The bytes of `generate` for ten fixed requests to the starter, as recorded in generate_digests.json.

They depend on the processor's vector instructions, the thread count and a few packages. A canary, the generator's own
output in a plain onnxruntime session, decides whether this machine computes as the one where they were recorded did.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from support.cli_runner import invoke
from support.file_digests import digest_dataset
from support.paths import REPOSITORY

from synthcxr.storage.cores import count_usable_cores

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("generate_digests.json").read_text(encoding="utf-8"))
STARTER = REPOSITORY / "registry" / "starter"


def compute_canary() -> str:
    """The sha256 of what the starter's two networks return for fixed inputs, without any code of synthcxr."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_usable_cores()
    total = hashlib.sha256()
    rng = np.random.default_rng(0)
    for name in ("generator", "classifier"):
        session = onnxruntime.InferenceSession(STARTER / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        inputs = {
            array.name: rng.standard_normal((8, *array.shape[1:])).astype(np.float32) for array in session.get_inputs()
        }
        for output in session.run(None, inputs):
            total.update(output.tobytes())
    return total.hexdigest()


def describe_machine() -> dict[str, str]:
    """What the bytes depend on."""
    versions = {name: metadata.version(name) for name in ("numpy", "pillow", "torch", "pydicom")}
    return versions | {
        "onnxruntime": onnxruntime.__version__,
        "threads": str(count_usable_cores()),
        "canary": compute_canary(),
    }


@pytest.fixture(scope="module")
def same_machine() -> None:
    """Skip where the digests do not hold: another processor, thread count or package version."""
    machine = describe_machine()
    differing = [name for name, value in RECORDED["machine"].items() if machine[name] != value]
    if differing:
        pytest.skip(f"the digests were recorded with another {', '.join(differing)}")


@pytest.mark.usefixtures("same_machine")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if "optimise" in name else name for name in RECORDED["requests"]],
)
def test_generate_writes_the_recorded_bytes(name: str, tmp_path: Path) -> None:
    """Every file of the dataset but run.json has the recorded digest, for each format and method."""
    recorded = RECORDED["requests"][name]
    options = ["--model", "starter", "--device", "cpu", "--out", str(tmp_path / "dataset")]
    result = invoke("generate", *recorded["options"].split(), *options)
    assert result.exit_code == 0, result.output
    digests = {path: digest[:16] for path, digest in sorted(digest_dataset(tmp_path / "dataset").items())}
    assert digests == recorded["files"]

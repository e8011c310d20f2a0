"""Features that an engine computes in other processes: the figures of one process, and errors of one line."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli_runner import invoke
from support.evaluation_project import EvaluationProject
from support.paths import REPOSITORY

from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features import efficientnet_lite0, extractors
from synthcxr.evaluation.features.engine import Outputs, RunAll, WorkerSpec
from synthcxr.evaluation.features.extractor_spec import ExtractorSpec
from synthcxr.synthesis.runtime.session_spec import SessionSpec

needs_lite0 = pytest.mark.skipif(
    efficientnet_lite0.describe_missing() is not None, reason="needs pip install 'synthcxr[train]'"
)


class RecordingEngine:
    """Runs batches here, with a copy of the specification, as another process would get one."""

    def __init__(self) -> None:
        self.n_images = 0
        self.n_starts = 0

    @contextlib.contextmanager
    def __call__(self, spec: WorkerSpec) -> Iterator[RunAll]:
        self.n_starts += 1
        worker = copy.deepcopy(spec)()

        def run_all(batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
            for batch in batches:
                self.n_images += len(batch)
                yield from worker(batch)

        yield run_all


def test_an_engine_computes_every_feature_and_the_figures_are_the_same(project: EvaluationProject) -> None:
    """All images and all films go through the engine, once; metrics.json is that of one process."""
    project.evaluate()
    expected = project.read_json()
    distributed = dataclasses.replace(project, root=project.root / "distributed")
    engine = RecordingEngine()
    distributed.evaluate(engine=engine)
    assert distributed.read_json() == expected
    assert (engine.n_images, engine.n_starts) == (90 + 161, 1)
    distributed.evaluate(engine=engine)
    assert (engine.n_images, engine.n_starts) == (90 + 161, 1), "the second run reads the cache and starts no worker"


def test_a_worker_on_another_device_is_an_error(project: EvaluationProject) -> None:
    """A worker whose onnxruntime cannot use the device of this process says so."""
    spec = SessionSpec.from_session(project.models / "judge.onnx", project.open_judge())
    with pytest.raises(ArtifactError, match="a worker runs on CPUExecutionProvider, this process on Other"):
        dataclasses.replace(spec, device_type="Other")()


def test_a_worker_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one line, as in this process, and not a traceback of the worker."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    spec = ExtractorSpec(extractors.Provenance(efficientnet_lite0.NAME, "", ""), "cpu", "cpu")
    with pytest.raises(ArtifactError, match="a worker cannot run efficientnet-lite0: install it with"):
        spec()


@needs_lite0
def test_a_worker_with_other_weights_is_an_error() -> None:
    """A worker does not compute features with weights that differ from those of this process."""
    extractor = extractors.open_extractor(efficientnet_lite0.NAME, "cpu")
    spec = ExtractorSpec(extractor.provenance, "cpu", extractor.device)
    pixels = np.zeros((2, 8, 8), np.uint8)
    (outputs,) = spec()(pixels)
    np.testing.assert_array_equal(outputs["features"], extractor.run(pixels)["features"])
    other = dataclasses.replace(extractor.provenance, digest="0" * 64)
    with pytest.raises(ArtifactError, match=f"a worker has other weights of {efficientnet_lite0.NAME}"):
        dataclasses.replace(spec, provenance=other)()


def test_options_of_ray_need_the_engine(tmp_path: Path) -> None:
    """--workers without --engine ray is an error, as for `generate`."""
    result = invoke("evaluate", "--dataset", tmp_path, "--workers", 2)
    assert result.exit_code == 2
    assert result.stderr == "Error: --address and --workers need --engine ray\n"


def run_ray(root: Path, *arguments: object) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests"), *sys.path])}
    script = REPOSITORY / "tests" / "support" / "ray_worker.py"
    command = [sys.executable, str(script), "evaluate", *map(str, arguments)]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'synthcxr[ray]'")
def test_two_workers_of_ray_give_the_figures_of_one_process(project: EvaluationProject) -> None:
    """Also if one of the workers is killed: its batch is computed again."""
    project.evaluate()
    expected: dict[str, Any] = project.read_json()
    out = project.root / "ray"
    out.mkdir()
    run_ray(out, out / "marker", project.films, project.models, project.synthetic)
    assert (out / "marker").exists(), "a worker was killed"
    assert json.loads((out / "results" / "metrics.json").read_text()) == expected

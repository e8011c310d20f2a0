"""The generate stage killed at any write: the same command completes it with the bytes of one run, in every format."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from support.exported_models import write_conditional_models, write_guided_models
from support.file_digests import digest_dataset
from support.kill_at_each_write import run_and_kill, run_generate_stage

from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import ArtifactError
from synthcxr.model_files.model_folder import PROPOSAL_FILE
from synthcxr.storage import output_lock
from synthcxr.writers import staging

pytestmark = pytest.mark.slow

REQUESTS = {
    "unconditional": {"method": "reject", "labels": ()},
    "reject": {"method": "reject"},
    "guided": {"method": "guided"},
    "optimise": {"method": "optimise"},
    "conditional": {"method": "conditional", "view": "PA"},
    "per_label": {"method": "guided", "labels": (), "per_label": 2, "n": 28},
    "with_judge": {"method": "reject", "with_judge": True},
}
FORMATS = ("png", "dicom", "webdataset")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guided_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.15)


@pytest.fixture(scope="module")
def conditional_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_conditional_models(tmp_path_factory.mktemp("conditional") / "onnx")


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_killed_run_is_resumed(
    model: Path, conditional_model: Path, tmp_path: Path, image_format: str, request_name: str
) -> None:
    """After three kills at random file events the run completes with the same bytes, and nothing else is left."""
    model = conditional_model if request_name == "conditional" else model
    settings, flags, out = REQUESTS[request_name], {"image_format": image_format}, tmp_path / "x"
    n_events = run_and_kill(None, model, tmp_path / "direct", settings, flags)
    assert n_events is not None and n_events > 30
    seed = random.randrange(2**32)
    for kill_at in sorted(random.Random(seed).sample(range(2, n_events), 3)):
        run_and_kill(kill_at, model, out, settings, flags)  # a resumed run has fewer events and may end before this one
    run_and_kill(None, model, out, settings, flags)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct"), f"seed {seed}"
    assert {path.name for path in tmp_path.iterdir()} == {"x", "direct"}


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("request_name", ["unconditional", "guided", "optimise"])
def test_killed_append_leaves_a_complete_dataset(
    model: Path, tmp_path: Path, image_format: str, request_name: str
) -> None:
    """Killed anywhere, also within the swap, either the old or the longer dataset is in place."""
    settings, out, flags = REQUESTS[request_name], tmp_path / "x", {"image_format": image_format}
    longer, append = settings | {"n": 70}, flags | {"append": True}
    run_generate_stage(model, tmp_path / "direct", longer, **flags)
    run_generate_stage(model, tmp_path / "short", settings, **flags)
    shutil.copytree(tmp_path / "short", tmp_path / "counted")
    n_events = run_and_kill(None, model, tmp_path / "counted", longer, append)
    assert n_events is not None
    shutil.copytree(tmp_path / "short", out)
    for kill_at in (random.randrange(2, n_events), n_events - 3, n_events - 1):
        run_and_kill(kill_at, model, out, longer, append)
        with output_lock.lock_output(out):
            staging.recover_interrupted_swap(out)
        assert len(read_metadata(out)) in (40, 70)
    run_and_kill(None, model, out, longer, append)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")


def test_append_into_another_format(model: Path, tmp_path: Path) -> None:
    """A PNG dataset extended as DICOM, and that as shards, has the bytes of a run in that format."""
    run_generate_stage(model, tmp_path / "x", REQUESTS["guided"])
    for n, image_format in ((50, "dicom"), (60, "webdataset")):
        longer = REQUESTS["guided"] | {"n": n}
        run_generate_stage(model, tmp_path / "x", longer, image_format=image_format, append=True)
        run_generate_stage(model, tmp_path / image_format, longer, image_format=image_format)
        assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / image_format)


def test_method_guided_needs_a_proposal(model: Path, tmp_path: Path) -> None:
    """A model without proposal.onnx is refused before anything is written."""
    model_without_proposal = shutil.copytree(model, tmp_path / "model")
    (model_without_proposal / PROPOSAL_FILE).unlink()
    with pytest.raises(ArtifactError, match=r"proposal\.onnx"):
        run_generate_stage(model_without_proposal, tmp_path / "x", REQUESTS["guided"])
    assert {path.name for path in tmp_path.iterdir()} == {"model"}

"""SIGKILL at any touch of the disk, then the same command: the bytes of a run never stopped, of every kind."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from support.exported_models import write_guided_folder
from support.file_digests import digest_dataset
from support.kill_at_each_write import make, run

from synthcxr.data import records
from synthcxr.errors import ArtifactError
from synthcxr.synthesis.sampling import importance_guide
from synthcxr.writers import staging

pytestmark = pytest.mark.slow

METHODS = {
    "anything": {"method": "reject", "labels": ()},
    "reject": {"method": "reject"},
    "guided": {"method": "guided"},
    "optimise": {"method": "optimise"},
    "each": {"method": "guided", "labels": (), "per_label": 2, "n": 28},
    "judged": {"method": "reject", "with_judge": True},
}
FORMATS = ("png", "dicom", "webdataset")
CASES = [(form, method) for form in FORMATS for method in METHODS]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guided_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.15)


@pytest.mark.parametrize(("form", "method"), CASES)
def test_killed_anywhere(model: Path, tmp_path: Path, form: str, method: str) -> None:
    """Killed at three places one after the other, then run to its end: the same bytes, and nothing left beside them."""
    asked, flags, out = METHODS[method], {"form": form}, tmp_path / "x"
    total = run(None, model, tmp_path / "direct", asked, flags)
    assert total is not None and total > 40
    seed = random.randrange(2**32)
    for at in sorted(random.Random(seed).sample(range(2, total), 3)):
        run(at, model, out, asked, flags)  # a run that goes on touches less, and may end before it comes to this
    run(None, model, out, asked, flags)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct"), f"seed {seed}"
    assert {path.name for path in tmp_path.iterdir()} == {"x", "direct"}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("method", ["anything", "guided", "optimise"])
def test_killed_while_appending(model: Path, tmp_path: Path, form: str, method: str) -> None:
    """A longer dataset beside the old one, killed anywhere up to and within the swap: one of the two always stands."""
    asked, long, out = METHODS[method], METHODS[method] | {"n": 70}, tmp_path / "x"
    make(model, tmp_path / "direct", long, form=form)
    make(model, tmp_path / "short", asked, form=form)
    shutil.copytree(tmp_path / "short", tmp_path / "counted")
    total = run(None, model, tmp_path / "counted", long, {"form": form, "append": True})
    assert total is not None
    shutil.copytree(tmp_path / "short", out)
    for at in (random.randrange(2, total), total - 3, total - 1):
        run(at, model, out, long, {"form": form, "append": True})
        with staging.locked(out):
            staging.recover(out)
        assert len(records.read_metadata(out)) in (40, 70)
    run(None, model, out, long, {"form": form, "append": True})
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")


def test_append_into_another_format(model: Path, tmp_path: Path) -> None:
    """From PNGs to DICOM and on to shards: what is taken over is written as if it had been drawn in that format."""
    make(model, tmp_path / "x", METHODS["guided"])
    for n, form in ((50, "dicom"), (60, "webdataset")):
        longer = METHODS["guided"] | {"n": n}
        make(model, tmp_path / "x", longer, form=form, append=True)
        make(model, tmp_path / form, longer, form=form)
        assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / form)


def test_a_model_without_what_the_method_needs(model: Path, tmp_path: Path) -> None:
    """Guided without a proposal is refused before anything is touched."""
    bare = shutil.copytree(model, tmp_path / "bare")
    (bare / importance_guide.FILE).unlink()
    with pytest.raises(ArtifactError, match=r"proposal\.onnx"):
        make(bare, tmp_path / "x", METHODS["guided"])
    assert {path.name for path in tmp_path.iterdir()} == {"bare"}

"""Any image again: from its row and the models, the same bytes, or a line that says what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.exported_models import write_folder, write_guided_folder

from synthcxr.config.schema import GenerateConfig
from synthcxr.data import records
from synthcxr.errors import ArtifactError, DataError
from synthcxr.stages import generate, replay

pytestmark = pytest.mark.slow

PLAIN = {"seed": 1, "without": (), "mix": None, "with_judge": False, "max_draws": 2000, "batch": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guided_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.1)


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({"method": "reject", "labels": (), "per_label": None, "n": 6}, "png"),
        ({"method": "reject", "labels": ("Mass", "Edema"), "per_label": 3, "n": 6}, "png"),
        ({"method": "optimise", "labels": ("Mass",), "per_label": None, "n": 6}, "png"),
        ({"method": "guided", "labels": ("Mass",), "per_label": None, "n": 6}, "png"),
        ({"method": "guided", "labels": ("Mass", "Edema"), "per_label": 3, "n": 6}, "dicom"),
        ({"method": "reject", "labels": (), "per_label": None, "n": 6}, "dicom"),
    ],
    ids=["anything", "several sets", "a search", "guided", "guided sets as DICOM", "DICOM"],
)
def test_the_same_bytes(model: Path, tmp_path: Path, asked: dict, form: str) -> None:
    """Every image of a dataset comes again as the file that it is, whatever chose it and however it is written."""
    if form == "dicom":
        pytest.importorskip("pydicom")
    generate.run(GenerateConfig(**PLAIN, **asked), model=model, out=tmp_path / "x", model_name="exported", form=form)
    table = records.read_metadata(tmp_path / "x")
    for at in (0, len(table) - 1):
        index, again = int(table["index"].iloc[at]), tmp_path / "again.png"
        sha256 = replay.run(dataset=tmp_path / "x", index=index, model=model, out=again)
        assert again.read_bytes() == (tmp_path / "x" / table["file_name"].iloc[at]).read_bytes()
        assert sha256 == table["sha256"].iloc[at]


def test_what_differs_is_said(model: Path, tmp_path: Path) -> None:
    """No such image, another model and other bytes are each one line; nothing is written."""
    asked = {"method": "reject", "labels": (), "per_label": None, "n": 4}
    generate.run(GenerateConfig(**PLAIN, **asked), model=model, out=tmp_path / "x", model_name="exported")
    call = {"dataset": tmp_path / "x", "out": tmp_path / "again.png"}
    with pytest.raises(DataError, match="has no image of candidate 99"):
        replay.run(**call, index=99, model=model)
    with pytest.raises(ArtifactError, match="another labelling than the dataset's"):
        replay.run(**call, index=1, model=write_folder(tmp_path / "other", rate=0.4))
    with pytest.raises(DataError, match=r"holds no run.json; is it a finished synthetic dataset"):
        replay.run(**call | {"dataset": tmp_path}, index=1, model=model)
    metadata = tmp_path / "x" / records.METADATA
    sha256 = records.read_metadata(tmp_path / "x")["sha256"].iloc[1]
    metadata.write_text(metadata.read_text().replace(sha256, "0" * 64))
    with pytest.raises(DataError, match="candidate 1 has other bytes here .same models"):
        replay.run(**call, index=1, model=model)
    assert not (tmp_path / "again.png").exists()

"""Work that is finished but cannot be moved to its place: the same command only moves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import REPOSITORY
from support.refused_renames import refuse_renames_to
from support.small_classifier import CONFIG, write_films
from support.stub_models import write_stub_models

from synthcxr.config.schema import PrepareConfig, SplitShares
from synthcxr.errors import DataError
from synthcxr.stages import models, prepare, train_classifier

SHARES = SplitShares(train=0.50, judge=0.20, val=0.12, test=0.18)
PHANTOMS = PrepareConfig(
    sources=({"reader": "phantom", "n_films": 40, "resolution": 16, "seed": 1},),
    resolution=16,
    view="both",
    shares=SHARES,
    seed=1,
    on_bad="error",
)
MESSAGE = "finished result is in .*out.partial: run the same command again to move it"


def refuse_to_work(*_: object, **__: object) -> None:
    raise AssertionError("the work is done again")


def test_prepare_only_moves_the_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run packs no film and has the same summary; a run with another seed packs again."""
    expected = prepare.run(PHANTOMS, out=tmp_path / "expected", report=lambda _: None)
    lines: list[str] = []
    with refuse_renames_to(tmp_path / "out"), pytest.raises(DataError, match=MESSAGE):
        prepare.run(PHANTOMS, out=tmp_path / "out", report=lambda _: None)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "pack_films", refuse_to_work)
        summary = prepare.run(PHANTOMS, out=tmp_path / "out", report=lines.append)
    assert (summary.counts, summary.fingerprint) == (expected.counts, expected.fingerprint)
    assert "was packed by an earlier run" in lines[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out"]


def test_train_classifier_only_moves_the_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run trains nothing and returns the metrics; with other parameters it trains."""
    films = write_films(tmp_path / "cxr", ["train"] * 40 + ["val"] * 20)

    def train(seed: int) -> dict[str, object]:
        config = CONFIG if seed == CONFIG.seed else type(CONFIG)(**vars(CONFIG) | {"seed": seed})
        return train_classifier.run(config, films=films, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")

    with refuse_renames_to(tmp_path / "out"), pytest.raises(DataError, match=MESSAGE):
        train(CONFIG.seed)
    monkeypatch.setattr(train_classifier, "train_classifier", refuse_to_work)
    with refuse_renames_to(tmp_path / "out"), pytest.raises(DataError, match=MESSAGE):
        train(CONFIG.seed)
    assert train(CONFIG.seed)["films"] == "val"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cxr", "log.csv", "out"]
    with pytest.raises(AssertionError, match="done again"):
        train(CONFIG.seed + 1)


def test_models_pull_only_moves_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run copies no file."""
    source = write_stub_models(tmp_path / "model")
    with refuse_renames_to(tmp_path / "out"), pytest.raises(DataError, match=MESSAGE):
        models.pull(str(source), out=tmp_path / "out")
    monkeypatch.setattr("shutil.copyfile", refuse_to_work)
    assert models.pull(str(source), out=tmp_path / "out").note == "already there"


PREPARE_WITH_LIMIT = """
import resource, sys
from synthcxr.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    """A limit of the file size ends `prepare` with exit code 2, one line with the file, and no folder."""
    arguments = ["prepare", "--params", REPOSITORY / "params.yaml", "--out", tmp_path / "out"]
    process = subprocess.run(
        [sys.executable, "-c", PREPARE_WITH_LIMIT, "50000", *arguments], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1].startswith(f"Error: {tmp_path / 'out'}")
    assert "File too large" in process.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []

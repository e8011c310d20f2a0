"""The stage that trains a classifier: which parameters, films and output folders it refuses, before it writes."""

import dataclasses
from pathlib import Path

import pytest
from support.paths import REPOSITORY
from support.small_classifier import CONFIG, write_films

from synthcxr.config.schema import load_config
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.stages import train_classifier


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 4}, "train_judge.resolution: must be at least 8, is 4"),
        ({"batch": 1}, "train_judge.batch: must be at least 2, is 1"),
        ({"n_epochs": 0}, "train_judge.n_epochs: must be at least 1, is 0"),
        ({"backbone": "efficientnet-lite0", "resolution": 48}, "needs a multiple of 32, is 48"),
        ({"weights": "imagenet"}, "train_judge.weights: the small backbone has no imagenet weights"),
        ({"backbone": "densenet121", "resolution": 16}, "train_judge.resolution: densenet121 needs at least 32"),
    ],
)
def test_values_out_of_range_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """The error names the parameter, and nothing is read or written."""
    config = dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        train_classifier.run(
            config, films=tmp_path / "cxr", out=tmp_path / "out", split="judge", log=tmp_path / "log.csv"
        )
    assert not list(tmp_path.iterdir())


def test_missing_imagenet_weights_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to get the file, and nothing is read or written."""
    monkeypatch.setenv("SYNTHCXR_DENSENET121", str(tmp_path / "absent.pth"))
    config = dataclasses.replace(CONFIG, backbone="densenet121", weights="imagenet", resolution=32)
    with pytest.raises(ArtifactError, match="SYNTHCXR_DENSENET121 names .*absent.pth, which is not a file; download"):
        train_classifier.run(
            config, films=tmp_path / "cxr", out=tmp_path / "out", split="train", log=tmp_path / "log.csv"
        )
    assert not list(tmp_path.iterdir())


def test_a_folder_with_foreign_files_is_not_replaced(tmp_path: Path) -> None:
    """The error names the foreign file, and the file stays."""
    (tmp_path / "thesis.docx").write_text("mine")
    with pytest.raises(DataError, match="contains thesis.docx, which synthcxr did not write"):
        train_classifier.run(CONFIG, films=tmp_path / "cxr", out=tmp_path, split="train", log=tmp_path / "log.csv")
    assert (tmp_path / "thesis.docx").read_text() == "mine"


def test_too_few_films_name_their_split(tmp_path: Path) -> None:
    """Without training or val films, the error names the share to raise."""
    for splits, parameter in ((["train"] * 6, "prepare.shares.val"), (["val"] * 6, "prepare.shares.train")):
        films = write_films(tmp_path / parameter, splits)
        with pytest.raises(DataError, match=f"0 .* films at 16 px are too few; .*{parameter}"):
            train_classifier.run(CONFIG, films=films, out=tmp_path / "out", split="train", log=tmp_path / "log.csv")


@pytest.mark.parametrize(
    "profile",
    ["params.yaml", "params/smoke.yaml", "params/nih-64.yaml", "params/starter.yaml", "params/nih-1024.yaml"],
)
def test_every_profile_that_ships_is_accepted(profile: str) -> None:
    """Its values for classifier and judge pass the checks of the stage."""
    config = load_config(REPOSITORY / profile)
    train_classifier._check_parameters(config.train_classifier, "train")
    train_classifier._check_parameters(config.train_judge, "judge")
    assert config.train_classifier.n_epochs > 0

"""The generate stage: requests that it refuses, without touching what is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.file_digests import digest_dataset
from support.linear_models import (
    generate_dataset,
    list_neighbours,
    write_linear_classifier,
    write_linear_generator,
)
from support.refused_renames import refuse_renames_to
from support.small_disk import mount_small_disk

from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.storage.locks import file_lock
from synthcxr.storage.output_lock import LOCK_SUFFIX


@pytest.fixture
def finished(linear_models: Path, tmp_path: Path) -> Path:
    """A finished dataset, alone in its folder."""
    generate_dataset(linear_models, tmp_path / "x")
    return tmp_path / "x"


@pytest.mark.parametrize(
    ("changes", "difference"),
    [({"seed": 2}, "seed 1, not 2"), ({"labels": ("Edema",)}, "labels none, not Edema"), ({"n": 5}, "n 20, not 5")],
)
def test_another_request_is_refused(linear_models: Path, finished: Path, changes: dict, difference: str) -> None:
    """Another request for a finished dataset's folder is an error that names the difference."""
    before = digest_dataset(finished)
    with pytest.raises(DataError, match=difference):
        generate_dataset(linear_models, finished, **changes)
    assert digest_dataset(finished) == before and list_neighbours(finished) == ["x"]


def test_another_model_is_refused(linear_models: Path, finished: Path, tmp_path: Path) -> None:
    """The digest of a model identifies it, not its name."""
    other_model = shutil.copytree(linear_models, tmp_path / "other")
    write_linear_generator(other_model, seed=5)
    with pytest.raises(DataError, match="another generator"):
        generate_dataset(other_model, finished)


@pytest.mark.parametrize("force", [False, True])
def test_other_files_are_not_touched(linear_models: Path, finished: Path, tmp_path: Path, force: bool) -> None:
    """A folder with other files, a dataset with an additional file, and a file are refused, also with --force."""
    thesis = tmp_path / "y/thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    with pytest.raises(DataError, match=r"contains something other than a dataset \(thesis.txt\)"):
        generate_dataset(linear_models, tmp_path / "y", flags={"force": force})
    with pytest.raises(DataError, match="is a file"):
        generate_dataset(linear_models, thesis, flags={"force": force})
    shutil.copy(thesis, finished / "notes.txt")
    with pytest.raises(DataError, match="notes.txt" if force else "seed"):
        generate_dataset(linear_models, finished, seed=2, flags={"force": force})
    assert thesis.read_text() == "years of work" and (finished / "notes.txt").exists()
    assert list_neighbours(finished) == ["x", "y"]


def test_empty_folder_is_accepted(linear_models: Path, tmp_path: Path) -> None:
    """The output folder may exist if it is empty."""
    (tmp_path / "x").mkdir()
    assert generate_dataset(linear_models, tmp_path / "x").n_images == 20


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"labels": ("Cardiomegoly",)},
            DataError,
            "unknown finding 'Cardiomegoly'; known: No Finding, Atelectasis.*Hernia",
        ),
        ({"labels": ("No Finding", "Edema")}, DataError, "contradictory"),
        ({"n": 0}, ConfigError, "generate.n: must be at least 1"),
        ({"batch": 0}, ConfigError, "generate.batch"),
        ({"seed": -1}, ConfigError, "generate.seed"),
        ({"device": "cuda"}, ArtifactError, "--device cuda"),
        ({"n": 10**13, "max_draws": 10**14}, DataError, r"needs about .* TB, but only .* are free"),
    ],
)
def test_bad_requests_write_nothing(
    linear_models: Path, tmp_path: Path, changes: dict, error: type[Exception], message: str
) -> None:
    """A bad request is one error, and the folder stays as it was."""
    if changes.get("device") == "cuda" and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    with pytest.raises(error, match=message):
        generate_dataset(linear_models, tmp_path / "x", **changes)
    assert list(tmp_path.iterdir()) == []


def test_models_of_different_resolution_are_refused(tmp_path: Path) -> None:
    """The classifier must have the resolution of the generator."""
    write_linear_generator(tmp_path / "model")
    write_linear_classifier(tmp_path / "model", side=32)
    with pytest.raises(ArtifactError, match=r"16 px.*32 px"):
        generate_dataset(tmp_path / "model", tmp_path / "x")
    assert list_neighbours(tmp_path / "x") == ["model"]


def test_second_run_into_one_folder_is_refused(linear_models: Path, tmp_path: Path) -> None:
    """A run is refused while the folder is locked; a lock file that no process holds does not matter."""
    with file_lock(tmp_path / f"x{LOCK_SUFFIX}"), pytest.raises(DataError, match="another process is writing here"):
        generate_dataset(linear_models, tmp_path / "x")
    (tmp_path / f"x{LOCK_SUFFIX}").touch()
    assert generate_dataset(linear_models, tmp_path / "x").n_images == 20
    assert list_neighbours(tmp_path / "x") == ["x"]


def test_a_mount_point_is_refused_before_the_first_image(linear_models: Path, tmp_path: Path) -> None:
    """The line says that a folder in the mount point can be chosen, which works; so does a dry run."""
    with mount_small_disk(tmp_path / "disk", "size=2m"):
        for flags in ({}, {"dry_run": True}):
            with pytest.raises(ConfigError, match="is a mount point, .* choose a folder in it, such as --out .*/new"):
                generate_dataset(linear_models, tmp_path / "disk", flags=flags)
        assert list((tmp_path / "disk").iterdir()) == []
        assert generate_dataset(linear_models, tmp_path / "disk/new").n_images == 20
    assert list_neighbours(tmp_path / "disk") == ["disk"]


@pytest.mark.parametrize("force", [False, True])
def test_a_finished_dataset_that_cannot_be_moved_is_moved_by_the_next_run(
    force: bool, linear_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names OUT.partial; the same command then draws nothing, also with --force, which dvc.yaml has."""
    with refuse_renames_to(tmp_path / "x"), pytest.raises(DataError, match="finished result is in .*x.partial: run"):
        generate_dataset(linear_models, tmp_path / "x", flags={"force": force})
    assert list_neighbours(tmp_path / "x") == ["x.partial"]
    with monkeypatch.context() as patch:
        patch.setattr("synthcxr.stages.generate._draw_open_parts", None)
        assert generate_dataset(linear_models, tmp_path / "x", flags={"force": force}).status == "already finished"
    assert list_neighbours(tmp_path / "x") == ["x"]
    if force:
        assert generate_dataset(linear_models, tmp_path / "x", flags={"force": True}).status == "made"


def test_a_foreign_file_is_reported_before_the_lock(linear_models: Path, tmp_path: Path) -> None:
    """A locked folder with another program's file: the file is named."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x/thesis.txt").write_text("mine")
    with (
        file_lock(tmp_path / f"x{LOCK_SUFFIX}"),
        pytest.raises(DataError, match="contains something other than a dataset"),
    ):
        generate_dataset(linear_models, tmp_path / "x")

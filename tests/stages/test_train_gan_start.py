"""The stage that trains the GAN, from an earlier training's networks."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from synthcxr import cli
from synthcxr.errors import ArtifactError
from synthcxr.stages import train_gan


def run(project: Any, folder: Path, start: Path | None) -> dict[str, Any]:
    config = dataclasses.replace(project.config.train_gan, nimg={4: 0, 8: 0, 16: 160})
    return train_gan.run(
        config,
        data=project.data,
        out=folder / "gan",
        log=folder / "log.csv",
        snapshots=folder / "snapshots",
        checkpoints=folder / "checkpoints",
        start=start,
    )


def test_other_networks_to_start_from_are_another_training(trained: Any, tmp_path: Path) -> None:
    """The weights gone on from belong to a checkpoint's name, so that no run resumes another's."""
    for start in (None, trained.gan):
        assert run(trained, tmp_path, start)["nimg"] == 160
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_folder_without_both_networks_is_refused(trained: Any, tmp_path: Path) -> None:
    """One line that names the file that is not there."""
    (tmp_path / "generator.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"discriminator\.safetensors: no such weight file"):
        run(trained, tmp_path, tmp_path)


def test_the_command_goes_on_from_the_address_in_the_parameters(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train_gan.start_from` names a training's own folder; an address that means nothing exits with 2."""
    monkeypatch.chdir(tmp_path)
    tree = json.loads(json.dumps(dataclasses.asdict(trained.config)))
    tree["train_gan"] |= {"nimg": {4: 0, 8: 0, 16: 160}, "start_from": str(trained.gan)}
    for key in ("channels", "nimg", "batch", "fade_nimg"):
        tree["train_gan"][key] = {int(side): n for side, n in tree["train_gan"][key].items()}

    def invoke() -> Any:
        with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(tree, file)
        flags = {
            "--params": tmp_path / "params.yaml",
            "--data": trained.data,
            "--out": tmp_path / "gan",
            "--log": tmp_path / "log.csv",
            "--snapshots": tmp_path / "snapshots",
            "--checkpoints": tmp_path / "checkpoints",
        }
        return CliRunner().invoke(cli.main, ["train-gan", *[str(part) for pair in flags.items() for part in pair]])

    assert invoke().exit_code == 0
    assert (tmp_path / "gan" / "generator.safetensors").is_file()
    tree["train_gan"]["start_from"] = str(tmp_path / "nowhere")
    refused = invoke()
    assert refused.exit_code == 2
    assert "nowhere" in refused.output

"""The stage that trains the GAN, from an earlier training's networks."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from synthcxr.cli.main import main
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.leakage import SPLITS_SEEN_IN_TRAINING, TRAINING_FILMS_FILE, TrainingFilms
from synthcxr.errors import ArtifactError
from synthcxr.stages import prepare, train_gan
from synthcxr.storage import json_files


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


@pytest.mark.slow
def test_other_networks_to_start_from_are_another_training(trained: Any, tmp_path: Path) -> None:
    """The weights gone on from belong to a checkpoint's name, so that no run resumes another's."""
    for start in (None, trained.gan):
        assert run(trained, tmp_path, start)["nimg"] == 160
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.slow
def test_what_the_networks_saw_before_goes_along(trained: Any, tmp_path: Path) -> None:
    """Going on from a model of other films, G has seen those too: they are listed, and their sources are named."""
    source = dict(trained.config.prepare.sources[0]) | {"seed": 2, "n_films": 60}
    other = dataclasses.replace(trained, data=tmp_path / "cxr")
    prepare.run(
        dataclasses.replace(trained.config.prepare, sources=(source,)), out=other.data, report=lambda line: None
    )
    start = shutil.copytree(trained.gan, tmp_path / "start")
    about = json_files.read_json(start / "config.json")
    json_files.write_json(start / "config.json", about | {"attribution": ["Films of a hospital"]})
    run(other, tmp_path, start)
    before = TrainingFilms.from_dataset(open_film_dataset(trained.data), SPLITS_SEEN_IN_TRAINING)
    assert TrainingFilms.read_earlier(tmp_path / "gan" / TRAINING_FILMS_FILE).films.tolist() == sorted(before.films.tolist())
    assert json_files.read_json(tmp_path / "gan" / "config.json")["attribution"] == ["Films of a hospital"]
    (start / TRAINING_FILMS_FILE).unlink()
    with pytest.raises(ArtifactError, match="learned from other films and does not say which; run its train-gan"):
        run(other, tmp_path / "again", start)
    assert run(trained, tmp_path / "same", start)["nimg"] == 160


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
            "--films": trained.data,
            "--out": tmp_path / "gan",
            "--log": tmp_path / "log.csv",
            "--snapshots": tmp_path / "snapshots",
            "--checkpoints": tmp_path / "checkpoints",
        }
        return CliRunner().invoke(main.main, ["train-gan", *[str(part) for pair in flags.items() for part in pair]])

    assert invoke().exit_code == 0
    assert (tmp_path / "gan" / "generator.safetensors").is_file()
    tree["train_gan"]["start_from"] = str(tmp_path / "nowhere")
    refused = invoke()
    assert refused.exit_code == 2
    assert "nowhere" in refused.output

"""The stage that trains the GAN, with the networks of an earlier training as initial weights."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.cli_runner import invoke

from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.leakage import SPLITS_SEEN_IN_TRAINING, TRAINING_FILMS_FILE, TrainingFilms
from synthcxr.errors import ArtifactError
from synthcxr.stages import prepare, train_gan
from synthcxr.storage import json_files


def train(project: Any, folder: Path, initial_weights: Path | None) -> dict[str, Any]:
    config = dataclasses.replace(project.config.train_gan, nimg={4: 0, 8: 0, 16: 160})
    return train_gan.run(
        config,
        films=project.data,
        out=folder / "gan",
        log=folder / "log.csv",
        snapshots=folder / "snapshots",
        checkpoints=folder / "checkpoints",
        initial_weights=initial_weights,
    )


@pytest.mark.slow
def test_other_initial_weights_are_another_training(trained: Any, tmp_path: Path) -> None:
    """The fingerprint includes the initial weights, so no run resumes the checkpoint of another."""
    for initial_weights in (None, trained.gan):
        assert train(trained, tmp_path, initial_weights)["nimg"] == 160
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.slow
def test_the_output_lists_the_films_of_earlier_trainings(trained: Any, tmp_path: Path) -> None:
    """A generator that starts from a model of other films lists these films and names their sources."""
    source = dict(trained.config.prepare.sources[0]) | {"seed": 2, "n_films": 60}
    other = dataclasses.replace(trained, data=tmp_path / "cxr")
    prepare.run(
        dataclasses.replace(trained.config.prepare, sources=(source,)), out=other.data, report=lambda line: None
    )
    earlier = shutil.copytree(trained.gan, tmp_path / "earlier")
    description = json_files.read_json(earlier / "config.json")
    json_files.write_json(earlier / "config.json", description | {"attribution": ["Films of a hospital"]})
    train(other, tmp_path, earlier)
    earlier_films = TrainingFilms.from_dataset(open_film_dataset(trained.data), SPLITS_SEEN_IN_TRAINING)
    listed_films = TrainingFilms.read_earlier(tmp_path / "gan" / TRAINING_FILMS_FILE)
    assert listed_films.films.tolist() == sorted(earlier_films.films.tolist())
    assert json_files.read_json(tmp_path / "gan" / "config.json")["attribution"] == ["Films of a hospital"]
    (earlier / TRAINING_FILMS_FILE).unlink()
    with pytest.raises(ArtifactError, match="trained on other films, which it does not list; run its train-gan"):
        train(other, tmp_path / "again", earlier)
    assert train(trained, tmp_path / "same", earlier)["nimg"] == 160


def test_a_folder_without_both_networks_is_refused(trained: Any, tmp_path: Path) -> None:
    """The error names the missing file."""
    (tmp_path / "generator.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"discriminator\.safetensors: no such weight file"):
        train(trained, tmp_path, tmp_path)


def test_the_command_starts_from_the_address_in_the_parameters(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train_gan.start_from` can name the output folder of a training; an unknown address exits with code 2."""
    monkeypatch.chdir(tmp_path)
    params = json.loads(json.dumps(dataclasses.asdict(trained.config)))
    params["train_gan"] |= {"nimg": {4: 0, 8: 0, 16: 160}, "start_from": str(trained.gan)}
    for key in ("channels", "nimg", "batch", "fade_nimg"):
        params["train_gan"][key] = {int(side): n for side, n in params["train_gan"][key].items()}

    def invoke_train_gan() -> Any:
        with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(params, file)
        options = {
            "--params": tmp_path / "params.yaml",
            "--films": trained.data,
            "--out": tmp_path / "gan",
            "--log": tmp_path / "log.csv",
            "--snapshots": tmp_path / "snapshots",
            "--checkpoints": tmp_path / "checkpoints",
        }
        return invoke("train-gan", *[part for pair in options.items() for part in pair])

    assert invoke_train_gan().exit_code == 0
    assert (tmp_path / "gan" / "generator.safetensors").is_file()
    params["train_gan"]["start_from"] = str(tmp_path / "nowhere")
    refused = invoke_train_gan()
    assert refused.exit_code == 2
    assert "nowhere" in refused.output

"""The two walks of docs/mlops.md: every block runs, one after another, on a few films."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import installed_package as installed
from support import postgres_server
from support.run_doc_blocks import Walk, blocks
from support.servers import find_free_port
from support.paths import REPOSITORY
from support.small_pipeline import SIDE, write_params

from synthcxr.data import images
from synthcxr.data.findings import format_finding_labels
from synthcxr.readers import phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
PROJECT, TEAM = (REPOSITORY / "docs" / "mlops.md").read_text(encoding="utf-8").split("\n## With a team's server\n")


def test_the_walk_of_a_project(tmp_path: Path) -> None:
    """From an empty folder to a clone that evaluates; the parameters are made small once the project is there."""
    walk = Walk(tmp_path)
    for number, block in enumerate(blocks(PROJECT)):
        walk.type(block)
        if number == 0:
            write_params(walk.folder / "params.yaml", max_distance=1e9)
    for expected in ("Running stage 'train_gan'", "quick", "results/summary.json", "ok     every film has a name"):
        assert expected in walk.said


GAN = {"nimg": {4: 1600, 8: 3200, 16: 6400}, "batch": {4: 32, 8: 32, 16: 32}}
"""Enough that a generator which learns is told from one that does not, on real films too."""
LR_REAL, LR_DRAWN = 3.0e-4, 9.0e-4
"""Of the first champion: slower than the walk's better one, or, where that would show in coverage, much as fast."""
MADE = {"n": 300, "max_draws": 300}


def write_drawn(folder: Path) -> Path:
    """Drawn films in the NIH's layout, for a machine that holds no real ones."""
    (folder / "images").mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Image Index", "Finding Labels", "Patient ID", "View Position"])
        for at, film in enumerate(phantom.read(n_films=330, resolution=SIDE, seed=1)):
            name = f"{at:08}.png"
            pixels = np.rint(film.read() * 255).astype(np.uint8)
            (folder / "images" / name).write_bytes(images.encode_png(pixels))
            table.writerow([name, format_finding_labels(film.findings), film.patient_id, film.view])
    return folder


@pytest.fixture
def team() -> Iterator[Walk]:
    """A folder to walk in: a clone of this repository, an environment without torch, $FILMS; the server ends too."""
    if problem := postgres_server.find_missing_requirement():
        pytest.skip(problem)
    with postgres_server.open_scratch_folder() as folder:
        (folder / "synthcxr").symlink_to(REPOSITORY)
        installed.create_environment_without_torch(folder / "no-torch", installed.build_wheel(folder / "wheel"))
        real = os.environ.get("SYNTHCXR_TEST_FILMS")
        films = Path(real).resolve() / "nih_64" if real else write_drawn(folder / "films")
        try:
            yield Walk(folder, FILMS=str(films), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        finally:
            if (folder / "team" / "pid").is_file():
                postgres_server.stop(folder / "team")


def test_the_walk_of_a_team(team: Walk) -> None:
    """From a server to a project, an environment without torch, a refusal, a promotion and the way back.

    On real films where SYNTHCXR_TEST_FILMS names them, else on drawn ones.
    """
    port, folder, said = str(find_free_port()), team.folder, []
    source = {name: value for name, value in team.environment.items() if name == "PYTHONPATH"}
    for block in blocks(TEAM):
        if "no-torch" in block:
            team.environment.pop("PYTHONPATH", None)  # the wheel is what is imported there
        if block.startswith("deactivate"):
            team.environment |= source
        said.append(team.type(block.replace("5001", port)))
        if block.startswith("synthcxr init"):
            films = {"sources": [{"reader": "nih", "path": team.environment["FILMS"]}]}
            gan = GAN | {"lr_g": LR_REAL if "SYNTHCXR_TEST_FILMS" in os.environ else LR_DRAWN}
            write_params(team.folder / "params.yaml", max_distance=1e9, prepare=films, train_gan=gan, generate=MADE)
        if "no-torch" in block:
            assert "No module named 'torch'" in team.type("! python -c 'import torch'")
    _, _, trained, elsewhere, _, judged, worse, better, _ = said
    assert "Running stage 'train_gan'" in trained
    assert aliases(trained) == {"1": "candidate,champion"}
    assert "models:/synthcxr-generator/1" in elsewhere
    assert len(list((folder / "elsewhere" / "chests" / "images").rglob("*.png"))) == 40
    assert (folder / "elsewhere" / "model" / "generator.onnx").is_file()
    assert len(json.loads((folder / "elsewhere" / "answer.json").read_text())["predictions"]) == 4
    assert re.search(r"^\d+\.\d+ 0\.0$", judged, flags=re.MULTILINE)
    assert "worse than the champion: " in worse
    assert "refused, exit 1" in worse
    promoted, back = better.rsplit("champion: version 1", 1)
    assert aliases(promoted) == {"3": "candidate,champion", "2": "", "1": ""}
    assert aliases(back) == {"3": "candidate", "2": "", "1": "champion"}


def aliases(listed: str) -> dict[str, str]:
    """What `synthcxr models list` names each version of the generator."""
    return dict(re.findall(r"^models:/synthcxr-generator/(\d+)  ([a-z,]*)", listed, flags=re.MULTILINE))

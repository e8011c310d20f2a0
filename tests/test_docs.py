"""Every block of docs/mlops.md runs, one after another, on a few films; so do those of README.md and the tutorial."""

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
from support.loopback_server import find_free_port
from support.paths import REPOSITORY
from support.run_doc_blocks import DocSession, find_blocks, find_blocks_with_output, to_bash
from support.small_pipeline import SIDE, write_params

from synthcxr.data import images
from synthcxr.data.findings import format_finding_labels
from synthcxr.readers import phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
PROJECT, TEAM = (REPOSITORY / "docs" / "mlops.md").read_text(encoding="utf-8").split("\n## With a team's server\n")


def test_the_blocks_of_a_project_run(tmp_path: Path) -> None:
    """The blocks lead from an empty folder to a clone that evaluates; `init` is followed by small parameters."""
    session = DocSession(tmp_path)
    for number, block in enumerate(find_blocks(PROJECT)):
        session.run(block)
        if number == 0:
            write_params(session.folder / "params.yaml", max_distance=1e9)
    for expected in ("Running stage 'train_gan'", "quick", "results/summary.json", "ok     every film has a name"):
        assert expected in session.output


GAN = {"nimg": {4: 1600, 8: 3200, 16: 6400}, "batch": {4: 32, 8: 32, 16: 32}}
"""Long enough to distinguish a generator that learns from one that does not, on real films too."""
LR_REAL, LR_PHANTOM = 3.0e-4, 9.0e-4
"""Learning rate of the first champion, below that of the better version. On phantoms, a low rate reduces coverage."""
GENERATE = {"n": 300, "max_draws": 300}


def write_phantoms(folder: Path) -> Path:
    """Write phantoms in the layout of the NIH release, for a machine without real films."""
    (folder / "images").mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Image Index", "Finding Labels", "Patient ID", "View Position"])
        for index, film in enumerate(phantom.read_films(n_films=330, resolution=SIDE, seed=1)):
            name = f"{index:08}.png"
            pixels = np.rint(film.read() * 255).astype(np.uint8)
            (folder / "images" / name).write_bytes(images.encode_png(pixels))
            table.writerow([name, format_finding_labels(film.findings), film.patient_id, film.view])
    return folder


@pytest.fixture
def team() -> Iterator[DocSession]:
    """A session with this repository, an environment without torch and $FILMS; stops the server at the end."""
    if problem := postgres_server.find_missing_requirement():
        pytest.skip(problem)
    with postgres_server.open_scratch_folder() as folder:
        (folder / "synthcxr").symlink_to(REPOSITORY)
        installed.create_environment_without_torch(folder / "no-torch", installed.build_wheel(folder / "wheel"))
        real_films = os.environ.get("SYNTHCXR_TEST_FILMS")
        films = Path(real_films).resolve() / "nih_64" if real_films else write_phantoms(folder / "films")
        try:
            yield DocSession(folder, FILMS=str(films), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        finally:
            if (folder / "team" / "pid").is_file():
                postgres_server.stop(folder / "team")


def test_the_blocks_of_a_team_run(team: DocSession) -> None:
    """The blocks register and serve models, refuse a worse version, promote a better one and roll it back.

    They use real films if SYNTHCXR_TEST_FILMS names them, else phantoms.
    """
    port, folder, outputs = str(find_free_port()), team.folder, []
    source = {name: value for name, value in team.environment.items() if name == "PYTHONPATH"}
    for block in find_blocks(TEAM):
        if "no-torch" in block:
            team.environment.pop("PYTHONPATH", None)  # so that the wheel is imported there
        if block.startswith("deactivate"):
            team.environment |= source
        outputs.append(team.run(block.replace("5001", port)))
        if block.startswith("synthcxr init"):
            films = {"sources": [{"reader": "nih", "path": team.environment["FILMS"]}]}
            gan = GAN | {"lr_g": LR_REAL if "SYNTHCXR_TEST_FILMS" in os.environ else LR_PHANTOM}
            write_params(team.folder / "params.yaml", max_distance=1e9, prepare=films, train_gan=gan, generate=GENERATE)
        if "no-torch" in block:
            assert "No module named 'torch'" in team.run("! python -c 'import torch'")
    _, _, trained, elsewhere, _, evaluated, worse, better, _ = outputs
    assert "Running stage 'train_gan'" in trained
    assert read_aliases(trained) == {"1": "candidate,champion"}
    assert "models:/synthcxr-generator/1" in elsewhere
    assert len(list((folder / "elsewhere" / "chests" / "images").rglob("*.png"))) == 40
    assert (folder / "elsewhere" / "model" / "generator.onnx").is_file()
    assert len(json.loads((folder / "elsewhere" / "answer.json").read_text())["predictions"]) == 4
    assert re.search(r"^\d+\.\d+ 0\.0$", evaluated, flags=re.MULTILINE)
    assert "worse than the champion: " in worse
    assert "refused, exit 1" in worse
    promoted, back = better.rsplit("champion: version 1", 1)
    assert read_aliases(promoted) == {"3": "candidate,champion", "2": "", "1": ""}
    assert read_aliases(back) == {"3": "candidate", "2": "", "1": "champion"}


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_the_page_shows_the_real_output(name: str, tmp_path: Path) -> None:
    """Each line of output on the page is printed by the block above it, apart from the digits."""
    session = DocSession(tmp_path)
    for language, code, expected in find_blocks_with_output((REPOSITORY / name).read_text(encoding="utf-8")):
        if "pip install" in code or "/path/to/films" in code:
            continue
        printed = {_mask_digits(line) for line in session.run(to_bash(language, code)).splitlines()}
        assert {_mask_digits(line) for line in expected.splitlines()} <= printed, code


def _mask_digits(line: str) -> str:
    return re.sub(r"\b[0-9a-f]{64}\b|[\d.,]*\d|\s+", "#", line)


def read_aliases(listing: str) -> dict[str, str]:
    """The aliases of each generator version in the output of `synthcxr models list`."""
    return dict(re.findall(r"^models:/synthcxr-generator/(\d+)  ([a-z,]*)", listing, flags=re.MULTILINE))

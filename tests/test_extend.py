"""The package of docs/extend.md, installed with pip: its reader, format, extractor and metric work everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from support.paths import REPOSITORY

from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, parse_finding_labels
from synthcxr.readers import phantom

PACKAGE = REPOSITORY / "docs/extend"
N_FILMS = 300
GATES = [
    {"metric": "metrics.symmetry.value", "max": None, "min": 0.5},
    {"metric": "distance.thumbnails.relative", "max": 1000.0, "min": None},
]

Run = Callable[..., subprocess.CompletedProcess[str]]


def install(source: Path, site: Path) -> None:
    """Install a package into a folder that a process puts on its path."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(source)], check=True, capture_output=True)


def build_environment(site: Path, folder: Path) -> dict[str, str]:
    """The environment of a process with the packages of `site` installed."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(site)]),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


def open_runner(site: Path, folder: Path) -> Run:
    """A function that runs synthcxr in `folder`, with the packages of `site` installed."""
    environment = build_environment(site, folder)

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "synthcxr", *map(str, arguments)]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == code, result.stderr + result.stdout
        return result

    return run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the toy package is installed."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(PACKAGE, folder / "source")
    install(folder / "source", folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def run(site: Path) -> Run:
    """Runs synthcxr with the toy package."""
    return open_runner(site, site.parent)


def write_films(folder: Path, *, n: int, side: int) -> None:
    """Write drawn films as NumPy files, with all combinations that the names can express."""
    folder.mkdir()
    labels = ("No Finding", "Mass", "Cardiomegaly", "Effusion+Edema")
    for index in range(n):
        pixels = images.quantise(phantom.draw_film(1, index, side))
        np.save(folder / f"{index}_{labels[index % len(labels)]}_0.npy", pixels, allow_pickle=False)


def test_help_and_doctor_list_the_extensions(run: Run) -> None:
    """The help of `init` and `generate` and the list of `doctor` name the extensions."""
    assert "folder|numpy]" in run("init", "--help").stdout
    assert "webdataset|numpy]" in run("generate", "--help").stdout
    lines = run("doctor").stdout.splitlines()
    assert [line.split(": ")[1] for line in lines if "extensions" in line] == [
        "reader numpy of toy-films 1.0",
        "format numpy of toy-films 1.0",
        "extractor thumbnails of toy-films 1.0",
        "metric symmetry of toy-films 1.0",
    ]


@pytest.mark.slow
def test_the_reader_is_detected_and_its_films_are_packed(run: Run, tmp_path: Path) -> None:
    """`init` recognises the layout, and `prepare` packs the films with patients and findings."""
    write_films(tmp_path / "films", n=40, side=64)
    run("init", tmp_path / "project", "--profile", "nih-64", "--source", tmp_path / "films")
    params = tmp_path / "project/params.yaml"
    assert "reader: numpy" in params.read_text(encoding="utf-8")
    result = run("prepare", "--params", params, "--out", tmp_path / "packed")
    assert "40 films of 40 patients" in result.stdout + result.stderr
    assert json.loads((tmp_path / "packed/dataset.json").read_text(encoding="utf-8"))["sources"][0]["reader"] == "numpy"
    params.write_text(params.read_text(encoding="utf-8").replace("{reader: numpy,", "{reader: numpy, colour: 1,"))
    message = run("prepare", "--params", params, "--out", tmp_path / "packed", code=2).stderr
    assert "prepare.sources[0].colour: unknown option of reader numpy; known: path, source" in message


@pytest.mark.slow
def test_the_lock_of_a_project_knows_the_packages(run: Run, tmp_path: Path) -> None:
    """The digests of the stages that may run an extension differ from those without the package; others are equal."""
    run("init", tmp_path / "with", "--profile", "phantom")
    open_runner(tmp_path / "nothing", tmp_path)("init", tmp_path / "without", "--profile", "phantom")
    extended, plain = (YAML().load(tmp_path / name / "synthcxr.lock")["stages"] for name in ("with", "without"))
    assert {stage for stage in plain if extended[stage] != plain[stage]} == {
        *("prepare", "generate", "evaluate", "register", "report")
    }


@pytest.mark.slow
def test_images_in_the_format_can_be_checked_converted_and_replayed(run: Run, tmp_path: Path) -> None:
    """Images of the format pass the checks, are extended, are converted to PNG, and are replayed byte for byte."""
    dataset = tmp_path / "dataset"
    generate = ("generate", "--model", "starter", "--seed", "1", "--out", dataset)
    run(*generate, "--n", "4", "--format", "numpy")
    files = sorted((dataset / "numpy").rglob("*.npy"))
    assert [file.name for file in files] == [f"{index:08d}.npy" for index in range(4)]
    assert json.loads((dataset / "run.json").read_text(encoding="utf-8"))["versions"]["toy-films"] == "1.0"
    assert "numpy/*/*.npy" in (dataset / "croissant.json").read_text(encoding="utf-8")
    run("check", dataset)
    run("replay", "--dataset", dataset, "--index", "2", "--out", tmp_path / "image.npy")
    assert (tmp_path / "image.npy").read_bytes() == files[2].read_bytes()
    run(*generate, "--n", "6", "--format", "png", "--append")
    pixels = [images.decode_png(file.read_bytes(), name="x") for file in sorted((dataset / "images").rglob("*.png"))]
    assert len(pixels) == 6
    np.testing.assert_array_equal(pixels[2], np.load(tmp_path / "image.npy", allow_pickle=False))


@pytest.mark.slow
def test_the_commands_of_the_page_make_films_that_the_reader_reads(run: Run, site: Path, tmp_path: Path) -> None:
    """The block that turns images into films, with fewer images; each has the findings of its image."""
    page = (REPOSITORY / "docs/extend.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```bash\n(synthcxr generate .*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    script = script.replace("--n 300", "--n 40")
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=build_environment(site, tmp_path), check=True)
    run("prepare", "--params", tmp_path / "project/params.yaml", "--out", tmp_path / "packed")
    films = pd.read_parquet(tmp_path / "packed/manifest.parquet").set_index("patient_id")[list(FINDINGS)]
    rows = pd.read_csv(tmp_path / "images/metadata.csv", dtype=str)
    assert {patient: tuple(row) for patient, *row in films.itertuples()} == {
        row["index"]: parse_finding_labels(row["Finding Labels"]) for row in rows.to_dict("records")
    }


@pytest.mark.slow
def test_a_damaged_image_of_the_format_fails_the_checks(run: Run, tmp_path: Path) -> None:
    """A truncated image is counted by `check`, with exit code 1."""
    run("generate", "--model", "starter", "--seed", "1", "--out", tmp_path / "x", "--n", "2", "--format", "numpy")
    (file, *_) = sorted((tmp_path / "x/numpy").rglob("*.npy"))
    file.write_bytes(file.read_bytes()[:100])
    assert "FAILED" in run("check", tmp_path / "x", code=1).stdout.upper()


def test_an_unknown_format_names_those_that_are_installed(tmp_path: Path) -> None:
    """Without the package, its format is a usage error."""
    run_without = open_runner(tmp_path / "nothing", tmp_path)
    message = run_without("generate", "--n", "1", "--format", "numpy", code=2).stderr
    assert "'numpy' is not one of png, dicom, webdataset" in message


@pytest.mark.slow
def test_extractor_and_metric_enter_evaluation_gates_and_report(run: Run, tmp_path: Path) -> None:
    """The distance in the extractor's features and the metric are computed, gated and reported."""
    write_films(tmp_path / "films", n=N_FILMS, side=128)
    run("init", tmp_path / "project", "--profile", "starter", "--source", tmp_path / "films")
    yaml, params = YAML(), tmp_path / "project/params.yaml"
    document = yaml.load(params)
    document["evaluate"] |= {"extractors": ["judge", "thumbnails"], "gates": GATES, "n_bootstrap": 3}
    yaml.dump(document, params)
    packed, dataset, results = tmp_path / "packed", tmp_path / "dataset", tmp_path / "results"
    run("prepare", "--params", params, "--out", packed)
    run("generate", "--model", "starter", "--n", "60", "--out", dataset)
    models = ("--models", REPOSITORY / "registry/starter")
    run("evaluate", "--params", params, "--films", packed, "--dataset", dataset, "--out", results, *models, "--record")
    metrics = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["distance"]["thumbnails"]["status"] == "computed"
    assert metrics["distance"]["thumbnails"]["relative"] > 1
    assert 0.5 < metrics["metrics"]["symmetry"]["value"] < 1
    assert metrics["metrics"]["symmetry"]["films"] > metrics["metrics"]["symmetry"]["value"]  # phantoms are symmetric
    verdict = json.loads((results / "verdict.json").read_text(encoding="utf-8"))
    sentences = {gate["metric"]: gate["sentence"] for gate in verdict["gates"]}
    assert sentences["metrics.symmetry.value"].startswith("Agreement of an image with its mirror image: 0.")
    assert "thumbnails features" in sentences["distance.thumbnails.relative"]
    page = tmp_path / "report.html"
    run("report", "--params", params, "--results", results, "--dataset", dataset, "--out", page)
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    assert "agreement of an image with its mirror image" in text
    assert "thumbnails of 8 x 8 px" in text


def write_png(folder: Path) -> None:
    """Write a folder with one PNG film."""
    folder.mkdir()
    (folder / "a.png").write_bytes(images.encode_png(images.quantise(phantom.draw_film(1, 0, 16))))


def write_package(folder: Path, entry_points: str, code: str) -> None:
    """Write the metadata and the code of an installed package "other 2.0"."""
    information = folder / "other-2.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    (information / "entry_points.txt").write_text(entry_points)
    (folder / "other.py").write_text(code)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library", "reader 'other' of other 2.0 cannot be imported: ModuleNotFoundError"),
        ("READER = 1", "reader 'other' of other 2.0: other:READER is not a Reader named 'other'"),
        (
            "from synthcxr.extend import Reader\nREADER = Reader('others', '', print, {})",
            "reader 'other' of other 2.0: other:READER is not a Reader named 'other'",
        ),
    ],
)
def test_a_package_that_cannot_be_used_is_named(tmp_path: Path, code: str, message: str) -> None:
    """A package that cannot be imported, or declares something else, is one line; `doctor` says the same."""
    write_package(tmp_path / "site", "[synthcxr.readers]\nother = other:READER\n", code)
    run = open_runner(tmp_path / "site", tmp_path)
    (tmp_path / "films").mkdir()
    arguments = ("init", "p", "--profile", "nih-64", "--source", "films", "--reader", "other")
    assert message in run(*arguments, code=2).stderr
    assert f"TO DO extensions: {message}" in run("doctor", code=1).stdout


@pytest.mark.slow
def test_a_name_that_is_taken_is_an_error(tmp_path: Path) -> None:
    """A package cannot replace a shipped reader."""
    write_package(tmp_path / "site", "[synthcxr.readers]\nnih = other:READER\n", "READER = 1")
    run = open_runner(tmp_path / "site", tmp_path)
    (tmp_path / "films").mkdir()
    message = run("init", "p", "--profile", "nih-64", "--source", "films", code=2).stderr
    assert "other 2.0 adds the reader 'nih', a name that synthcxr uses already; uninstall the package" in message


@pytest.mark.slow
def test_an_error_in_the_code_of_a_package_names_it(tmp_path: Path) -> None:
    """An unexpected error of an extension is one line that says whose code raised it."""
    code = (
        "from synthcxr.extend import Reader\n"
        "def read_films(path, *, report=print):\n"
        "    raise RuntimeError('disk on fire')\n"
        "READER = Reader('other', 'films', read_films, {'path': ''}, matches=lambda path: True)\n"
    )
    write_package(tmp_path / "site", "[synthcxr.readers]\nother = other:READER\n", code)
    run = open_runner(tmp_path / "site", tmp_path)
    (tmp_path / "films").mkdir()
    message = run("init", "p", "--profile", "nih-64", "--source", "films", code=2).stderr
    assert "unexpected RuntimeError: disk on fire" in message
    assert "to the authors of other 2.0, whose code raised it" in message


@pytest.mark.slow
def test_readers_of_packages_come_before_the_reader_of_any_images(tmp_path: Path) -> None:
    """A folder of PNG files that a package recognises is read by it; a generator with a required `report` is tried."""
    code = (
        "from synthcxr.extend import Reader\n"
        "def read_films(path, *, report):\n"
        "    report('a line')\n"
        "    yield 1\n"
        "READER = Reader('other', 'films', read_films, {'path': ''}, matches=lambda path: True)\n"
    )
    write_package(tmp_path / "site", "[synthcxr.readers]\nother = other:READER\n", code)
    run = open_runner(tmp_path / "site", tmp_path)
    write_png(tmp_path / "films")
    run("init", "p", "--profile", "nih-64", "--source", "films")
    assert "{reader: other," in (tmp_path / "p/params.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_broken_package_does_not_stop_what_does_not_need_it(tmp_path: Path) -> None:
    """A known layout is read, and a dataset is replaced, with packages that cannot be imported."""
    entry_points = "[synthcxr.readers]\nother = other:READER\n[synthcxr.writers]\nother = other:FORMAT\n"
    write_package(tmp_path / "site", entry_points, "import no_such_library")
    run = open_runner(tmp_path / "site", tmp_path)
    write_png(tmp_path / "films")
    run("init", "p", "--profile", "nih-64", "--source", "films")
    for seed in (1, 2):
        run("generate", "--model", "starter", "--n", "1", "--seed", seed, "--out", "images", "--force")


def test_two_packages_with_one_name_are_named(tmp_path: Path) -> None:
    """`doctor` says which package to uninstall."""
    for name in ("first", "second"):
        information = tmp_path / f"site/{name}-2.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        (information / "entry_points.txt").write_text(f"[synthcxr.metrics]\nsame = {name}:METRIC\n")
    report = open_runner(tmp_path / "site", tmp_path)("doctor", code=1).stdout
    assert "the metric 'same', a name that" in report
    assert "uninstall one of them" in report


def test_the_page_includes_the_package() -> None:
    """docs/extend.md includes both files of the package, with the marks that the site's builder replaces."""
    page = (REPOSITORY / "docs/extend.md").read_text(encoding="utf-8")
    assert {f"extend/{file.name}" for file in PACKAGE.iterdir() if file.is_file()} == set(
        re.findall(r'^--8<-- "(\S+)"$', page, flags=re.MULTILINE)
    )

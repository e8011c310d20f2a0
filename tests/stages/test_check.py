"""`synthcxr check` and the Data Docs of both suites."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.cli_runner import invoke
from support.paths import REPOSITORY
from support.stub_models import write_stub_models

from synthcxr.config.schema import load_config
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import DataError
from synthcxr.stages import check, generate

PARAMS = REPOSITORY / "params.yaml"


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    """A dataset of five images from stub models."""
    config = dataclasses.replace(load_config(PARAMS).generate, n=5, max_draws=5, batch=4, device="cpu", method="reject")
    models, out = write_stub_models(tmp_path / "models"), tmp_path / "synthetic"
    generate.run(
        config,
        model=models,
        out=out,
        model_name="stand-in",
        force=False,
        append=False,
        dry_run=False,
        build_copy_filter=None,
        command=["synthcxr"],
    )
    return out


@pytest.mark.slow
def test_data_docs_of_both_suites(trained: Any, synthetic: Path, tmp_path: Path) -> None:
    """Data Docs have an index and one page each for films and images, with the sentences of the checks."""
    results = check.run([trained.data, synthetic], docs=tmp_path / "docs")
    assert all(result.passed for result in results.values())
    assert (tmp_path / "docs/index.html").is_file()
    pages = {path.parts[-4]: path for path in (tmp_path / "docs/validations").rglob("*.html")}
    assert set(pages) == {"films", "synthetic"}
    films = pages["films"].read_text(encoding="utf-8")
    assert "no patient is in two splits" in films
    assert "every image file exists and matches its sha256" in pages["synthetic"].read_text(encoding="utf-8")


def test_data_docs_name_a_patient_in_two_splits(trained: Any, tmp_path: Path) -> None:
    """The page names the rows that fail, and the result equals that of a check without Data Docs."""
    films = open_film_dataset(trained.data).manifest.copy()
    films.loc[films.index[1], "patient_id"] = films["patient_id"].iloc[0]
    films.loc[films.index[0], "split"], films.loc[films.index[1], "split"] = "train", "test"
    docs = check.DataDocs(tmp_path / "docs")
    with_pages = check.films.check_films(films, resolution=16, docs=docs)
    assert docs.build() == tmp_path / "docs/index.html"
    assert with_pages == check.films.check_films(films, resolution=16)
    (line,) = with_pages.failed
    assert line.name == "patients on one side"
    assert set(films["image_index"].iloc[:2]) <= set(line.rows)
    (page,) = (tmp_path / "docs/validations").rglob("*.html")
    assert films["image_index"].iloc[0] in page.read_text(encoding="utf-8")


def test_check_command(synthetic: Path, tmp_path: Path) -> None:
    """The command prints one line per check with value and bound; a damaged image is named and gives exit code 1."""
    docs = tmp_path / "docs"
    good = invoke("check", synthetic, "--docs", docs)
    assert good.exit_code == 0
    assert "ok     there are 5 images (5, exactly 5)" in good.stdout
    assert "ok     no two images have the same file name (0 of 5 rows differ, at most 0)" in good.stdout
    assert good.stdout.splitlines()[-1] == f"Data Docs: open {docs}/index.html"
    name = read_metadata(synthetic)["file_name"][2]
    (synthetic / name).write_bytes(b"no image")
    bad = invoke("check", synthetic)
    assert bad.exit_code == 1
    assert "FAILED every image file exists and matches its sha256: fails for 1 of 5 rows" in bad.stdout
    assert name in bad.stdout


def test_unknown_folders_are_refused(trained: Any, tmp_path: Path) -> None:
    """A folder of another kind, and two folders of one kind with Data Docs, raise DataError."""
    with pytest.raises(DataError, match="contains neither packed films nor a synthetic dataset"):
        check.run([tmp_path], docs=None)
    with pytest.raises(DataError, match=r"absent: does not exist$"):
        check.run([tmp_path / "absent"], docs=None)
    (tmp_path / "stopped.partial").mkdir()
    with pytest.raises(
        DataError, match=r"stopped: does not exist, but .*stopped\.partial is unfinished; repeat the comm"
    ):
        check.run([tmp_path / "stopped"], docs=None)
    other = tmp_path / "other"
    other.symlink_to(trained.data)
    with pytest.raises(DataError, match="one folder of films and one synthetic dataset"):
        check.run([trained.data, other], docs=tmp_path / "docs")

"""The pipeline as DVC runs it, on a few phantoms at 16 px, in a copy of the repository."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from support.small_pipeline import copy_repository, list_run_stages, run, write_params

from synthcxr.project import import_closure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with small parameters, in which `dvc repro` has run once."""
    folder = copy_repository(tmp_path_factory.mktemp("clone") / "synthcxr")
    assert list_run_stages(run(folder, "dvc", "repro")) == ["lock", *import_closure.STAGE_MODULES]
    return folder


def test_the_pipeline_ends_with_a_champion_and_a_report(clone: Path) -> None:
    """The model is registered as champion, the gate passed, and the report says that all films are phantoms."""
    registered = json.loads((clone / "results/registered.json").read_text())
    assert registered["champion"] is True
    assert set(registered["versions"].values()) == {"1"}
    text = (clone / "results/report.html").read_text(encoding="utf-8")
    assert json.loads((clone / "results/verdict.json").read_text())["passed"] is True
    assert "phantoms" in text
    assert "say nothing about realism" in text
    assert len(list((clone / "data/synthetic/images").rglob("*.png"))) == 80
    assert "synthcxr-generator" in run(clone, "synthcxr", "models", "list")


def test_a_second_run_only_updates_the_lock(clone: Path) -> None:
    """A second `dvc repro` runs the stage `lock` and no other."""
    assert list_run_stages(run(clone, "dvc", "repro")) == ["lock"]


def test_dvc_shows_metrics_and_plots(clone: Path) -> None:
    """`dvc metrics show` and `dvc plots show` read what the stages wrote."""
    metrics = json.loads(run(clone, "dvc", "metrics", "show", "--json"))[""]["data"]
    assert {"results/summary.json", "models/gan/metrics.json"} <= set(metrics)
    assert "error" not in json.dumps(metrics)
    assert "index.html" in run(clone, "dvc", "plots", "show")
    page = (clone / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "loss_d" in page
    assert "val_auroc_mean" in page


@pytest.mark.parametrize(
    ("file", "stages"),
    [("report/plots.py", {"report"}), ("writers/staging.py", {"generate"}), ("training/gan.py", {"train_gan"})],
)
def test_changed_code_reruns_only_the_stages_that_import_it(clone: Path, file: str, stages: set[str]) -> None:
    """After a change in a module, `dvc repro lock` and `dvc status` report the stages that import it."""
    path = clone / "synthcxr" / file
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\n# another line\n", encoding="utf-8")
    run(clone, "dvc", "repro", "lock")
    changed = json.loads(run(clone, "dvc", "status", "--json"))
    path.write_text(before, encoding="utf-8")
    run(clone, "dvc", "repro", "lock")
    assert set(changed) - {"lock"} == stages
    assert set(json.loads(run(clone, "dvc", "status", "--json"))) <= {"lock"}


def test_a_failed_gate_does_not_stop_the_pipeline(clone: Path) -> None:
    """With a gate that every dataset fails, the pipeline ends without a champion and the report says so."""
    write_params(clone / "params.yaml", max_distance=0.0)
    assert list_run_stages(run(clone, "dvc", "repro")) == ["lock", "evaluate", "register", "report"]
    assert json.loads((clone / "results/verdict.json").read_text())["passed"] is False
    assert json.loads((clone / "results/registered.json").read_text())["champion"] is False
    assert "The evidence speaks against this dataset" in (clone / "results/report.html").read_text(encoding="utf-8")
    assert list_run_stages(run(clone, "dvc", "repro")) == ["lock"]


def test_a_project_reruns_for_changed_films_and_code(clone: Path, tmp_path: Path) -> None:
    """A project of `synthcxr init` reruns `prepare` after an upgrade and after a change of the films, and only then."""
    films, folder = tmp_path / "films", tmp_path / "project"
    films.mkdir()
    images = sorted((clone / "data/synthetic/images").rglob("*.png"))
    rows = ["Image Index,Finding Labels,Patient ID"]
    for number, path in enumerate(images):
        shutil.copyfile(path, films / path.name)
        rows.append(f"{path.name},{'No Finding' if number % 2 else 'Mass'},{number}")
    (films / "labels.csv").write_text("\n".join(rows) + "\n")
    run(tmp_path, "synthcxr", "init", str(folder), "--profile", "nih-64", "--source", str(films))
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    head, tail = re.split(r"(?m)^train_classifier:", params, maxsplit=1)
    small = head.replace("resolution: 64", "resolution: 16") + "train_classifier:" + tail
    (folder / "params.yaml").write_text(re.sub(r"(?m)^(train_gan:\n  resolution: )\d+", r"\g<1>16", small))
    assert list_run_stages(run(folder, "dvc", "repro", "prepare")) == ["lock", "prepare"]
    assert list_run_stages(run(folder, "dvc", "repro", "prepare")) == ["lock"]
    lock_of_older_version = (
        (folder / "dvc.lock")
        .read_text()
        .replace(import_closure.compute_digest(import_closure.STAGE_MODULES["prepare"]), "0123456789abcdef")
    )
    (folder / "dvc.lock").write_text(lock_of_older_version)
    assert "Stage 'prepare' didn't change" not in run(folder, "dvc", "repro", "prepare")
    (films / images[0].name).unlink()
    assert list_run_stages(run(folder, "dvc", "repro", "prepare")) == ["lock", "prepare"]

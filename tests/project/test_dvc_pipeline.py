"""The pipeline as DVC runs it, on a few drawn phantoms at 16 px, in a copy of the repository."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from support.small_pipeline import copied, run, stages_run, write_params

from synthcxr.project import import_closure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone with small parameters, where `dvc repro` has run once."""
    folder = copied(tmp_path_factory.mktemp("clone") / "synthcxr")
    assert stages_run(run(folder, "dvc", "repro")) == list(import_closure.STAGE_MODULES)
    return folder


def test_ends_with_a_champion_and_a_report(clone: Path) -> None:
    """Every promised file is there, the gate passed, and the report says that all of it was drawn."""
    registered = json.loads((clone / "results/registered.json").read_text())
    assert registered["champion"] is True
    assert set(registered["versions"].values()) == {"1"}
    text = (clone / "results/report.html").read_text(encoding="utf-8")
    assert "The one gate passed" in text
    assert "say nothing about realism" in text
    assert len(list((clone / "data/synthetic/images").rglob("*.png"))) == 80
    assert "synthcxr-generator" in run(clone, "synthcxr", "models", "list")


def test_again_does_nothing(clone: Path) -> None:
    """A second `dvc repro` runs no stage."""
    output = run(clone, "dvc", "repro")
    assert stages_run(output) == []
    assert "up to date" in output


def test_metrics_and_plots_show(clone: Path) -> None:
    """`dvc metrics show` and `dvc plots show` read what the stages wrote."""
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    held = shown[""]["data"]
    assert {"results/summary.json", "models/gan/metrics.json"} <= set(held)
    assert "error" not in json.dumps(held)
    assert "index.html" in run(clone, "dvc", "plots", "show")
    page = (clone / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "loss_d" in page
    assert "val_auroc_mean" in page


def test_changed_code_reruns_its_stages_only(clone: Path) -> None:
    """Another line in the plots reruns the report; another line in the writers what generates."""
    for name, stages in (("report/plots.py", {"report"}), ("writers/png.py", {"generate"})):
        path = clone / "synthcxr" / name
        before = path.read_text(encoding="utf-8")
        path.write_text(before + "\n# another line\n", encoding="utf-8")
        changed = json.loads(run(clone, "dvc", "status", "--json"))
        path.write_text(before, encoding="utf-8")
        assert set(changed) == stages


def test_a_failed_gate_ends_the_pipeline_in_peace(clone: Path) -> None:
    """With a gate that no set passes the pipeline ends well, names no champion, says so, and has nothing more to do."""
    write_params(clone / "params.yaml", worst=0.0)
    assert stages_run(run(clone, "dvc", "repro")) == ["evaluate", "register", "report"]
    assert json.loads((clone / "results/verdict.json").read_text())["passed"] is False
    assert json.loads((clone / "results/registered.json").read_text())["champion"] is False
    assert "1 of 1 gate failed" in (clone / "results/report.html").read_text(encoding="utf-8")
    assert stages_run(run(clone, "dvc", "repro")) == []


def test_a_project_around_films_reruns_after_an_upgrade(clone: Path, tmp_path: Path) -> None:
    """`synthcxr init` makes a project whose stages rerun for films and for changed code, and else do not."""
    films, folder = tmp_path / "films", tmp_path / "project"
    films.mkdir()
    drawn = sorted((clone / "data/synthetic/images").rglob("*.png"))
    rows = ["Image Index,Finding Labels,Patient ID"]
    for number, path in enumerate(drawn):
        shutil.copyfile(path, films / path.name)
        rows.append(f"{path.name},{'No Finding' if number % 2 else 'Mass'},{number}")
    (films / "labels.csv").write_text("\n".join(rows) + "\n")
    run(tmp_path, "synthcxr", "init", str(folder), "--profile", "nih-64", "--source", str(films))
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    head, tail = re.split(r"(?m)^train_classifier:", params, maxsplit=1)
    small = head.replace("resolution: 64", "resolution: 16") + "train_classifier:" + tail
    (folder / "params.yaml").write_text(re.sub(r"(?m)^(train_gan:\n  resolution: )\d+", r"\g<1>16", small))
    assert stages_run(run(folder, "dvc", "repro", "prepare")) == ["lock", "prepare"]
    assert stages_run(run(folder, "dvc", "repro", "prepare")) == ["lock"]
    older = (
        (folder / "dvc.lock")
        .read_text()
        .replace(import_closure.compute_digest(import_closure.STAGE_MODULES["prepare"]), "0123456789abcdef")
    )
    (folder / "dvc.lock").write_text(older)
    assert "Stage 'prepare' didn't change" not in run(folder, "dvc", "repro", "prepare")
    (films / drawn[0].name).unlink()
    assert stages_run(run(folder, "dvc", "repro", "prepare")) == ["lock", "prepare"]

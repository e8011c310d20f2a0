"""The pipeline as DVC runs it, on a few drawn phantoms at 16 px, in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from synthcxr import closure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parent.parent
SIDE = 16
CHANGES: dict[str, dict[str, Any]] = {
    "prepare": {
        "sources": [{"reader": "phantom", "n_films": 330, "resolution": SIDE, "seed": 1}],
        "resolution": SIDE,
        "shares": {"train": 0.4, "judge": 0.2, "val": 0.2, "test": 0.2},
    },
    "train_classifier": {"resolution": SIDE, "width": 8, "n_epochs": 2, "n_bootstrap": 20},
    "train_judge": {"resolution": SIDE, "width": 8, "n_epochs": 2, "n_bootstrap": 20},
    "train_gan": {
        "resolution": SIDE,
        "latent": 16,
        "channels": {4: 16, 8: 16, 16: 16},
        "nimg": {4: 256, 8: 256, 16: 512},
        "fade_nimg": {8: 64, 16: 128},
        "batch": {4: 16, 8: 16, 16: 16},
        "precision": "fp32",
        "report_nimg": 128,
        "checkpoint_nimg": 256,
        "snapshot_nimg": 512,
    },
    "generate": {"n": 80, "max_draws": 80},
    "evaluate": {"n_bootstrap": 20, "max_label_kl": 100.0},
    "report": {"n_images": 8},
}


def write_params(path: Path, *, worst: float) -> None:
    """The default profile, small, with one gate: a relative distance of `worst` at most."""
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in CHANGES.items():
        tree[section] |= changes
    tree["evaluate"]["gates"] = [{"metric": "distance.judge.relative", "max": worst, "min": None}]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def run(folder: Path, *command: str) -> str:
    """What a command printed, both streams; it must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def stages_run(output: str) -> list[str]:
    """The stages that a `dvc repro` ran."""
    return re.findall(r"Running stage '(\w+)'", output)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone with small parameters, where `dvc repro` has run once."""
    folder = tmp_path_factory.mktemp("clone") / "synthcxr"
    keep = shutil.ignore_patterns("__pycache__", "tmp", "cache", "bundled_files")
    for name in ("synthcxr", ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=keep)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copyfile(ROOT / name, folder / name)
    write_params(folder / "params.yaml", worst=1e9)
    run(folder, "git", "init", "--quiet")
    assert stages_run(run(folder, "dvc", "repro")) == list(closure.STAGES)
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
    run(tmp_path, "synthcxr", "init", str(folder), "--profile", "nih-64", "--films", str(films))
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    head, tail = re.split(r"(?m)^train_classifier:", params, maxsplit=1)
    small = head.replace("resolution: 64", "resolution: 16") + "train_classifier:" + tail
    (folder / "params.yaml").write_text(re.sub(r"(?m)^(train_gan:\n  resolution: )\d+", r"\g<1>16", small))
    assert stages_run(run(folder, "dvc", "repro", "prepare")) == ["lock", "prepare"]
    assert stages_run(run(folder, "dvc", "repro", "prepare")) == ["lock"]
    older = (folder / "dvc.lock").read_text().replace(closure.digest(closure.STAGES["prepare"]), "0123456789abcdef")
    (folder / "dvc.lock").write_text(older)
    assert "Stage 'prepare' didn't change" not in run(folder, "dvc", "repro", "prepare")
    (films / drawn[0].name).unlink()
    assert stages_run(run(folder, "dvc", "repro", "prepare")) == ["lock", "prepare"]

"""The plugins as MLflow finds them, by entry point, in an interpreter of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.installed_package import entry_points, run
from support.registered_project import write_dataset
from support.stub_models import write_stub_models

LOADED = "import json, sys; import mlflow; print(json.dumps(sorted(sys.modules)))"
LIGHT = {
    "synthcxr",
    "synthcxr.project.revision",
    "synthcxr.plugins",
    *(f"synthcxr.plugins.mlflow_{name}" for name in ("context", "evaluator", "source")),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return entry_points(tmp_path_factory.mktemp("installed") / "site")


def test_import_mlflow_loads_nothing_heavy_of_ours(installed: Path, tmp_path: Path) -> None:
    """With the plugins installed `import mlflow` loads their three tiny modules and not one other module more."""
    (tmp_path / "none" / "synthcxr-0.1.0.dist-info").mkdir(parents=True)
    (tmp_path / "none" / "synthcxr-0.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: synthcxr\n")
    loaded = []
    for path in (installed, tmp_path / "none"):
        done = run(LOADED, at=tmp_path, path=path)
        assert done.returncode == 0, done.stderr
        loaded.append(set(json.loads(done.stdout)))
    ours = {name for name in loaded[0] if name.partition(".")[0] == "synthcxr"}
    assert "synthcxr.plugins.mlflow_context" in ours
    assert ours <= LIGHT
    assert loaded[0] - loaded[1] - ours - {"mlflow.models.evaluation.base"} == set()


@pytest.mark.slow
def test_a_run_begun_in_a_dvc_stage_is_tagged(installed: Path, tmp_path: Path) -> None:
    """`mlflow.start_run` asks our provider: stage, experiment and revision are tags; outside DVC there are none."""
    program = (
        "import json, mlflow; mlflow.set_tracking_uri('sqlite:///m.db')\n"
        "with mlflow.start_run() as run: pass\n"
        "print(json.dumps({k: v for k, v in mlflow.get_run(run.info.run_id).data.tags.items() if 'DVC' in k}))"
    )
    given = {"DVC_STAGE": "train_gan", "DVC_EXP_NAME": "lucky-cat", "DVC_EXP_BASELINE_REV": "0" * 40}
    done = run(program, at=tmp_path, path=installed, **given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == given
    assert json.loads(run(program, at=tmp_path, path=installed).stdout.splitlines()[-1]) == {}


@pytest.mark.slow
def test_a_dataset_is_a_runs_input_and_found_again(installed: Path, tmp_path: Path) -> None:
    """A generated dataset is logged with digest and profile, resolved back to its path, and refused once changed."""
    write_dataset(tmp_path / "data" / "synthetic", write_stub_models(tmp_path / "models"))
    program = (
        "import json, mlflow; from pathlib import Path\n"
        "from mlflow.data.dataset_source_registry import resolve_dataset_source\n"
        "from synthcxr.plugins.mlflow_dataset_source import as_input\n"
        "mlflow.set_tracking_uri('sqlite:///m.db')\n"
        "with mlflow.start_run() as run: mlflow.log_input(as_input('data/synthetic'), context='evaluation')\n"
        "(held,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs\n"
        "source = mlflow.data.get_source(held.dataset)\n"
        "print(json.dumps([held.dataset.digest, held.dataset.source_type, json.loads(held.dataset.profile)]))\n"
        "print(source.load(), resolve_dataset_source('synthcxr:data/synthetic') == source)\n"
        "with Path('data/synthetic/metadata.csv').open('a') as file: file.write('\\n')\n"
        "source.load()"
    )
    done = run(program, at=tmp_path, path=installed)
    assert done.stdout.splitlines()[-1:] == ["data/synthetic True"], done.stderr
    digest, kind, profile = json.loads(done.stdout.splitlines()[-2])
    assert (len(digest), kind) == (16, "synthcxr")
    assert (profile["n_images"], profile["findings"]["No Finding"], profile["findings"]["Edema"]) == (2, 2, 0)
    assert f"the run used {digest}; `dvc checkout` brings it back" in done.stderr.splitlines()[-1]

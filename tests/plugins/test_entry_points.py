"""MLflow finds the plugins by entry point, in its own interpreter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.installed_package import run_python, write_entry_points
from support.registered_project import write_dataset
from support.stub_models import write_stub_models

PRINT_MODULES = "import json, sys; import mlflow; print(json.dumps(sorted(sys.modules)))"
LIGHT_MODULES = {
    "synthcxr",
    "synthcxr.project",
    "synthcxr.project.revision",
    "synthcxr.plugins",
    *(f"synthcxr.plugins.mlflow_{name}" for name in ("context", "dataset_source", "evaluator")),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_entry_points(tmp_path_factory.mktemp("installed") / "site")


def test_importing_mlflow_loads_only_the_small_plugin_modules(installed: Path, tmp_path: Path) -> None:
    """With the plugins installed, `import mlflow` loads their three small modules and no further module."""
    (tmp_path / "none" / "synthcxr-0.1.0.dist-info").mkdir(parents=True)
    (tmp_path / "none" / "synthcxr-0.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: synthcxr\n")
    loaded = []
    for path in (installed, tmp_path / "none"):
        process = run_python(PRINT_MODULES, folder=tmp_path, path=path)
        assert process.returncode == 0, process.stderr
        loaded.append(set(json.loads(process.stdout)))
    own_modules = {name for name in loaded[0] if name.partition(".")[0] == "synthcxr"}
    assert "synthcxr.plugins.mlflow_context" in own_modules
    assert own_modules <= LIGHT_MODULES
    assert loaded[0] - loaded[1] - own_modules - {"mlflow.models.evaluation.base"} == set()


@pytest.mark.slow
def test_run_in_a_dvc_stage_is_tagged(installed: Path, tmp_path: Path) -> None:
    """A run that starts in a DVC stage has stage, experiment and revision as tags; outside DVC it has none."""
    program = (
        "import json, mlflow; mlflow.set_tracking_uri('sqlite:///m.db')\n"
        "with mlflow.start_run() as run: pass\n"
        "print(json.dumps({k: v for k, v in mlflow.get_run(run.info.run_id).data.tags.items() if 'DVC' in k}))"
    )
    variables = {"DVC_STAGE": "train_gan", "DVC_EXP_NAME": "lucky-cat", "DVC_EXP_BASELINE_REV": "0" * 40}
    process = run_python(program, folder=tmp_path, path=installed, **variables)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout.splitlines()[-1]) == variables
    assert json.loads(run_python(program, folder=tmp_path, path=installed).stdout.splitlines()[-1]) == {}


@pytest.mark.slow
def test_each_plugin_can_be_imported_before_mlflow(installed: Path, tmp_path: Path) -> None:
    """MLflow has the dataset source too when a plug-in is imported first, and nothing warns."""
    program = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "from synthcxr.plugins.mlflow_dataset_source import FolderSource\n"
        "from mlflow.data.dataset_source_registry import get_registered_sources\n"
        "print(FolderSource in get_registered_sources())"
    )
    process = run_python(program, folder=tmp_path, path=installed)
    assert process.stdout.splitlines()[-1:] == ["True"], process.stderr


@pytest.mark.slow
def test_dataset_is_logged_as_input_and_loaded_again(installed: Path, tmp_path: Path) -> None:
    """A generated dataset is logged with digest and profile, resolves to its path, and is refused after a change."""
    write_dataset(tmp_path / "data" / "synthetic", write_stub_models(tmp_path / "models"))
    program = (
        "import json, mlflow; from pathlib import Path\n"
        "from mlflow.data.dataset_source_registry import resolve_dataset_source\n"
        "from synthcxr.plugins.mlflow_dataset_source import from_folder\n"
        "mlflow.set_tracking_uri('sqlite:///m.db')\n"
        "with mlflow.start_run() as run: mlflow.log_input(from_folder('data/synthetic'), context='evaluation')\n"
        "(logged,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs\n"
        "source = mlflow.data.get_source(logged.dataset)\n"
        "dataset = logged.dataset\n"
        "print(json.dumps([dataset.digest, dataset.source_type, json.loads(dataset.profile)]))\n"
        "print(source.load(), resolve_dataset_source('synthcxr:data/synthetic') == source)\n"
        "with Path('data/synthetic/metadata.csv').open('a') as file: file.write('\\n')\n"
        "source.load()"
    )
    process = run_python(program, folder=tmp_path, path=installed)
    assert process.stdout.splitlines()[-1:] == ["data/synthetic True"], process.stderr
    digest, kind, profile = json.loads(process.stdout.splitlines()[-2])
    assert (len(digest), kind) == (16, "synthcxr")
    assert (profile["n_images"], profile["findings"]["No Finding"], profile["findings"]["Edema"]) == (2, 2, 0)
    assert f"the run used {digest}; restore it with `dvc checkout`" in process.stderr.splitlines()[-1]

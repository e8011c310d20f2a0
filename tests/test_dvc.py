"""The pipeline in a real DVC repository: what a change reruns, experiments, remotes, a clone that evaluates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from support.loopback_server import find_free_port
from support.small_pipeline import copy_repository, list_run_stages, run

from synthcxr.data import images
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.project import import_closure
from synthcxr.storage import digests
from synthcxr.writers.formats.webdataset import TarShards

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

AFTER_GENERATE = ("generate", "evaluate", "register", "report")
AFTER_TRAINING = ("export", "distill", *AFTER_GENERATE)
RERUN_STAGES: dict[str, tuple[str, ...]] = {
    "generate.n=70": AFTER_GENERATE,
    "generate.seed=2": AFTER_GENERATE,
    "evaluate.n_bootstrap=21": ("evaluate", "register", "report"),
    "register.experiment=other": ("register", "report"),
    "report.title=Other": ("report",),
    "distill.width=256": ("distill", *AFTER_GENERATE),
    "export.n_reference=900": AFTER_TRAINING,
    "train_gan.lr_g=1.0e-3": ("train_gan", *AFTER_TRAINING),
    "train_classifier.n_epochs=3": ("train_classifier", *AFTER_TRAINING),
    "train_judge.seed=3": ("train_judge", *AFTER_TRAINING),
    "prepare.seed=2": tuple(import_closure.STAGE_MODULES),
}
"""The stages that a changed parameter reruns, in the order of the pipeline."""


def store_uri(folder: Path) -> str:
    """The address of one MLflow store for all experiments, in whatever folder DVC runs them."""
    return f"sqlite:///{folder}/registry/mlflow.db"


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", ".")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", message)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which `dvc repro` has run once and everything is committed."""
    folder = copy_repository(tmp_path_factory.mktemp("repository") / "synthcxr")
    for key, value in (("user.name", "Tester"), ("user.email", "tester@example.org")):
        run(folder, "git", "config", key, value)
    run(folder, "dvc", "config", "core.autostage", "false")
    ignore_file = folder / ".gitignore"  # a project commits small results; this repository ignores them
    ignore_file.write_text(ignore_file.read_text(encoding="utf-8").replace("/results/\n", ""), encoding="utf-8")
    commit(folder, "Begin")
    run(folder, "dvc", "repro")
    commit(folder, "Train")
    return folder


@pytest.mark.parametrize("change", RERUN_STAGES)
def test_a_changed_parameter_reruns_its_stage_and_those_after_it(repository: Path, change: str) -> None:
    """No change of a parameter of a later stage trains a model again.

    `lock`, which always runs, is frozen here: otherwise --force-downstream would rerun everything after it.
    """
    path, yaml = repository / "params.yaml", YAML(typ="safe", pure=True)
    before, pipeline = path.read_text(encoding="utf-8"), (repository / "dvc.yaml").read_text(encoding="utf-8")
    name, value = change.split("=")
    section, key = name.split(".")
    params = yaml.load(before)
    params[section][key] = yaml.load(value)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    frozen = pipeline.replace("always_changed: true", "frozen: true")
    (repository / "dvc.yaml").write_text(frozen, encoding="utf-8")
    try:
        output = run(repository, "dvc", "repro", "--dry", "--force-downstream")
    finally:
        path.write_text(before, encoding="utf-8")
        (repository / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    assert set(list_run_stages(output)) == set(RERUN_STAGES[change])


def test_a_fresh_clone_evaluates_without_training(repository: Path, tmp_path: Path) -> None:
    """After `dvc push`, `git clone` and `dvc pull`, only `lock` runs and `synthcxr evaluate` gives the same metrics."""
    run(repository, "dvc", "remote", "add", "--force", "--default", "shelf", str(tmp_path / "shelf"))
    commit(repository, "Name a remote")
    run(repository, "dvc", "push")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(repository), str(clone))
    run(clone, "dvc", "pull")
    assert list_run_stages(run(clone, "dvc", "repro")) == ["lock"]
    run(clone, "synthcxr", "evaluate", "--record", "--out", "again")
    first, repeated = (json.loads((clone / name / "summary.json").read_text()) for name in ("results", "again"))
    assert first == repeated


def test_a_dataset_in_shards_is_pushed_as_a_few_files(repository: Path, tmp_path: Path) -> None:
    """20,000 images in shards are at most 20 files, and so few objects in a remote."""
    run(repository, "dvc", "remote", "add", "--force", "--default", "shelf", str(tmp_path / "shelf"))
    large = repository / "large"
    shards, png = TarShards(large), images.encode_png(np.zeros((4, 4), np.uint8))
    sha256 = digests.sha256_bytes(png)
    for index in range(20_000):
        record = ImageRecord(shards.file_name(index), index, 1, "", ("No Finding",), (0.1,) * 14, 1.0, sha256)
        shards.write(index, png, record)
    shards.close()
    n_files = sum(path.is_file() for path in large.rglob("*"))
    assert n_files <= 20
    run(repository, "dvc", "add", "--no-commit", "large")
    run(repository, "dvc", "commit", "--force", "large.dvc")
    run(repository, "dvc", "push", "large.dvc")
    pushed = [path for path in (tmp_path / "shelf" / "files").rglob("*") if path.is_file()]
    assert len(pushed) <= n_files + 1
    run(repository, "dvc", "remove", "large.dvc")


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The address of an S3-compatible server on this machine, with one bucket."""
    boto3 = pytest.importorskip("boto3", reason="dvc-s3 and moto[s3] are not installed")
    moto = pytest.importorskip("moto.server", reason="moto[s3] is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=find_free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="films")
    yield url
    server.stop()


KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.mark.filterwarnings("ignore")
def test_an_s3_remote_stores_models_and_images(repository: Path, s3: str, tmp_path: Path) -> None:
    """Models and images are pushed to S3 and pulled into a clone, and `doctor` reports that the remote works."""
    run(repository, "dvc", "remote", "add", "--force", "--default", "bucket", "s3://films/synthcxr")
    run(repository, "dvc", "remote", "modify", "bucket", "endpointurl", s3)
    commit(repository, "Name a bucket")
    run(repository, "dvc", "push", **KEYS)
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(repository), str(clone))
    run(clone, "dvc", "pull", "models/onnx/generator.onnx", "data/synthetic", **KEYS)
    assert len(list((clone / "data/synthetic/images").rglob("*.png"))) == 80
    sha256 = {digests.sha256_file(folder / "models/onnx/generator.onnx") for folder in (repository, clone)}
    assert len(sha256) == 1
    assert "remote: connected to bucket" in run(clone, "synthcxr", "doctor", **KEYS)


def test_experiments_can_be_compared(repository: Path) -> None:
    """DVC shows metrics, parameters, plots and MLflow runs of an experiment by -S and of two from the queue."""
    variables = {"MLFLOW_TRACKING_URI": store_uri(repository)}
    run(repository, "dvc", "exp", "run", "--name", "more", "-S", "generate.n=60", **variables)
    for name, change in (("slow", "train_gan.lr_g=5.0e-4"), ("strict", "evaluate.n_bootstrap=21")):
        run(repository, "dvc", "exp", "run", "--queue", "--name", name, "-S", change, **variables)
    run(repository, "dvc", "exp", "run", "--run-all", "--jobs", "1", **variables)
    data = show_experiments(repository)
    assert {"more", "slow", "strict"} <= set(data)
    runs = read_registered_runs(repository)
    for name in ("more", "slow", "strict"):
        metrics = data[name]["metrics"]
        assert metrics["results/summary.json"]["data"]
        assert runs[metrics["results/registered.json"]["data"]["run_id"]] == name
    assert data["more"]["params"]["params.yaml"]["data"]["generate"]["n"] == 60
    table = run(repository, "dvc", "metrics", "diff", "--md", "--all", "slow", "strict")
    assert "results/summary.json" in table and "|" in table
    assert "index.html" in run(repository, "dvc", "plots", "diff", "slow", "strict")
    page = (repository / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "loss_g" in page and "slow" in page and "strict" in page


def show_experiments(repository: Path) -> dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]]:
    """The data of each experiment by name, from `dvc exp show`."""
    data = {}
    for row in json.loads(run(repository, "dvc", "exp", "show", "--json")):
        for experiment in row["experiments"] or ():
            data[experiment["name"]] = experiment["revs"][0]["data"]
    return data


def read_registered_runs(repository: Path) -> dict[str, str]:
    """The name of the DVC experiment in the tags of each MLflow run."""
    code = (
        "import json, mlflow, sys\n"
        "client = mlflow.MlflowClient(sys.argv[1])\n"
        "ids = [experiment.experiment_id for experiment in client.search_experiments()]\n"
        "runs = client.search_runs(ids)\n"
        "print('\\n' + json.dumps({run.info.run_id: run.data.tags.get('DVC_EXP_NAME', '') for run in runs}))\n"
    )
    output = run(repository, sys.executable, "-W", "ignore", "-c", code, store_uri(repository))
    runs: dict[str, str] = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return runs

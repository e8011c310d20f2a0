"""Fixtures for all tests: the folder of real films, and one small trained project at 16 px."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from support.paths import REPOSITORY

from synthcxr.config.schema import Config, load_config

os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")


@dataclasses.dataclass(frozen=True)
class Trained:
    """A project of phantoms at 16 px, from films to ONNX models. Tests read it and do not write into it."""

    config: Config
    data: Path
    classifier: Path
    judge: Path
    gan: Path
    onnx: Path
    results: Path


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Ctrl-C interrupts, also where a shell started the tests in the background and made it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def real_films() -> Path:
    """The folder of real NIH films; the test is skipped without it."""
    folder = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real films: set SYNTHCXR_TEST_FILMS to the folder that contains nih_256/")
    return Path(folder)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """One thread for torch: small networks then run many times faster, above all on a busy machine."""
    torch = pytest.importorskip("torch")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def small_config() -> Config:
    """The default profile, reduced to 16 px and a few seconds."""
    config = load_config(REPOSITORY / "params.yaml")
    sources = ({"reader": "phantom", "n_films": 330, "resolution": 16, "seed": 1},)
    classifier = dataclasses.replace(
        config.train_classifier, resolution=16, width=8, n_epochs=3, n_bootstrap=20, device="cpu"
    )
    return dataclasses.replace(
        config,
        prepare=dataclasses.replace(config.prepare, sources=sources, resolution=16),
        train_classifier=classifier,
        train_judge=dataclasses.replace(classifier, seed=2),
        train_gan=dataclasses.replace(
            config.train_gan,
            resolution=16,
            latent=16,
            channels={4: 16, 8: 16, 16: 8},
            nimg={4: 400, 8: 800, 16: 1600},
            fade_nimg={8: 200, 16: 400},
            batch={4: 16, 8: 16, 16: 16},
            precision="fp32",
            checkpoint_nimg=1000,
            snapshot_nimg=1000,
            report_nimg=200,
            device="cpu",
        ),
        generate=dataclasses.replace(config.generate, n=200, max_draws=200, device="cpu"),
        evaluate=dataclasses.replace(config.evaluate, n_bootstrap=20, device="cpu"),
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One small project, trained once for all tests in all processes."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    models = root / "models"
    names = ("classifier", "judge", "gan", "onnx")
    project = Trained(small_config(), root / "data", *(models / name for name in names), root / "results")
    with filelock.FileLock(f"{root}.lock"):
        if not root.exists():
            train(project)
    return project


def train(project: Trained) -> None:
    """Run the pipeline from phantoms to ONNX models."""
    from synthcxr.stages import export, prepare, train_classifier, train_gan

    config, results = project.config, project.results
    prepare.run(config.prepare, out=project.data)
    for section, out, split in (
        (config.train_classifier, project.classifier, "train"),
        (config.train_judge, project.judge, "judge"),
    ):
        log = results / f"train_{out.name}.csv"
        train_classifier.run(section, films=project.data, out=out, split=split, log=log)
    train_gan.run(
        config.train_gan,
        films=project.data,
        out=project.gan,
        log=results / "train_gan.csv",
        snapshots=results / "snapshots",
        checkpoints=project.data.parent / "checkpoints",
    )
    export.run(
        config.export,
        films=project.data,
        classifier=project.classifier,
        judge=project.judge,
        gan=project.gan,
        out=project.onnx,
    )

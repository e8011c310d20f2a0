"""Stages stopped when they change their outputs: the same call then completes as if it had never been stopped."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from support.stopped_command import run_and_stop, run_prepare, run_prepare_files

from synthcxr.stages import export, train_gan

if TYPE_CHECKING:
    from conftest import Trained

pytestmark = pytest.mark.slow


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def build_training(trained: Trained, root: Path) -> functools.partial[object]:
    """A training of about a second with two checkpoints and two grids."""
    config = dataclasses.replace(
        trained.config.train_gan,
        resolution=8,
        nimg={4: 32, 8: 96},
        fade_nimg={8: 32},
        batch={4: 16, 8: 16},
        report_nimg=64,
        checkpoint_nimg=64,
        snapshot_nimg=64,
    )
    return functools.partial(
        train_gan.run,
        config,
        films=trained.data,
        out=root / "gan",
        log=root / "train_gan.csv",
        snapshots=root / "snapshots",
        checkpoints=root / "checkpoints",
    )


def list_results(root: Path) -> dict[str, bytes]:
    """What does not depend on the time that a training took."""
    files = read_files(root)
    return {
        name: content
        for name, content in files.items()
        if name.endswith((".safetensors", ".png", ".npz")) and not name.startswith("checkpoints")
    } | {name: b"" for name in files}


def spread(n_events: int) -> range:
    """About a dozen file events from the first to the last; a fault at one write shows at its neighbours too."""
    return range(1, n_events + 1, max(n_events // 12, 1))


def test_train_gan_killed_at_any_write_is_resumed(trained: Trained, tmp_path: Path) -> None:
    """SIGKILL at a dozen file events: the next run completes with the same weights and grids, and no other file."""
    whole = run_and_stop(build_training(trained, tmp_path / "whole"), tmp_path / "whole")
    assert whole.n_events is not None and whole.n_events > 40
    expected = list_results(tmp_path / "whole")
    for stop_at in spread(whole.n_events):
        root = tmp_path / "killed"
        killed = run_and_stop(build_training(trained, root), root, stop_at=stop_at)
        assert killed.exit_code == -signal.SIGKILL
        assert run_and_stop(build_training(trained, root), root).exit_code == 0, stop_at
        assert list_results(root) == expected, stop_at
        shutil.rmtree(root)


def build_export(trained: Trained, out: Path) -> functools.partial[object]:
    return functools.partial(
        export.run,
        trained.config.export,
        films=trained.data,
        classifier=trained.classifier,
        judge=trained.judge,
        gan=trained.gan,
        out=out,
    )


def test_export_killed_at_any_write_is_run_again(trained: Trained, tmp_path: Path) -> None:
    """SIGKILL at file events of a new export over an old one: old or new models, then the new ones and nothing else."""
    out = tmp_path / "onnx"
    whole = run_and_stop(build_export(trained, out), tmp_path)
    assert whole.n_events is not None
    expected = read_files(tmp_path)
    for stop_at in spread(whole.n_events):
        killed = run_and_stop(build_export(trained, out), tmp_path, stop_at=stop_at)
        assert killed.exit_code == -signal.SIGKILL, stop_at
    assert run_and_stop(build_export(trained, out), tmp_path).exit_code == 0
    assert read_files(tmp_path) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_stopped_at_any_write_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals) -> None:
    """`prepare` on drawn films, which starts over: the exit code of the signal, and always the same films."""
    out = tmp_path / "data" / "cxr"
    run = functools.partial(run_prepare, out)
    whole = run_and_stop(run, out.parent)
    assert whole.exit_code == 0
    assert whole.n_events is not None
    expected = read_files(out.parent)
    for stop_at in spread(whole.n_events):
        ended = run_and_stop(run, out.parent, number=number, stop_at=stop_at)
        assert ended.exit_code == 128 + number, stop_at
        assert read_files(out.parent) == expected, stop_at


def test_prepare_killed_at_any_write_is_resumed(tmp_path: Path) -> None:
    """SIGKILL at a dozen file events: the same command ends with the same films, and with nothing beside them."""
    films, out = tmp_path / "films", tmp_path / "data" / "cxr"
    write_films(films, n=60)
    run = functools.partial(run_prepare_files, films, out)
    whole = run_and_stop(run, out.parent)
    assert whole.exit_code == 0
    assert whole.n_events is not None and whole.n_events > 60
    expected = read_files(out.parent)
    for stop_at in spread(whole.n_events):
        shutil.rmtree(out.parent)
        assert run_and_stop(run, out.parent, stop_at=stop_at).exit_code == -signal.SIGKILL, stop_at
        assert run_and_stop(run, out.parent).exit_code == 0, stop_at
        assert read_files(out.parent) == expected, stop_at


def write_films(folder: Path, *, n: int) -> None:
    """Write films of 16 px that differ, with a table of their patients."""
    folder.mkdir()
    rng, rows = np.random.default_rng(0), ["file_name,patient_id,Finding Labels\n"]
    for index in range(n):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / f"{index:03d}.png")
        rows.append(f"{index:03d}.png,{index},No Finding\n")
    (folder / "metadata.csv").write_text("".join(rows))

"""`prepare`: sources in, one packed, split and checked dataset out, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthcxr.config.schema import PrepareConfig, SplitShares
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.errors import ConfigError, DataError
from synthcxr.stages import prepare
from synthcxr.storage import atomic

SHARES = SplitShares(train=0.50, judge=0.20, val=0.12, test=0.18)


def _config(
    *sources: dict[str, Any],
    resolution: int = 16,
    view: Literal["PA", "AP", "both"] = "both",
    on_bad: Literal["error", "skip"] = "error",
) -> PrepareConfig:
    return PrepareConfig(sources=sources, resolution=resolution, view=view, shares=SHARES, seed=1, on_bad=on_bad)


def _source(folder: Path, patients: Sequence[int], side: int, *, view: str = "PA") -> dict[str, Any]:
    """A flat NIH folder with two films of noise a patient; returns its entry of `prepare.sources`."""
    folder.mkdir()
    rows = []
    for patient in patients:
        for visit in range(2):
            name = f"{patient:08d}_{visit:03d}.png"
            pixels = np.random.default_rng([patient, visit]).integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
            rows.append((name, "Edema|Mass" if patient % 3 == 0 else "No Finding", patient, view))
    table = pd.DataFrame(rows, columns=["Image Index", "Finding Labels", "Patient ID", "View Position"])
    table.to_csv(folder / "labels.csv", index=False)
    return {"reader": "nih", "path": str(folder), "source": folder.name}


PHANTOMS = {"reader": "phantom", "n_films": 40, "resolution": 16, "seed": 1}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_two_sources_become_one_dataset(tmp_path: Path) -> None:
    """A film in both is there once, as the larger one and counted; patients of both share one split."""
    small = _source(tmp_path / "small", range(10), 16)
    large = _source(tmp_path / "large", range(8, 20), 32, view="AP")
    lines: list[str] = []
    summary = prepare.run(_config(small, large, resolution=32), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["duplicates"] == 4
    assert summary.counts["films"] == 40
    assert summary.counts["by_resolution"] == {"4": 40, "8": 40, "16": 40, "32": 24}
    assert any("4 films are left out" in line for line in lines)
    packed = open_film_dataset(tmp_path / "cxr")
    films = packed.manifest.set_index("image_index")
    assert films.loc["00000008_000.png", ["source", "size", "view"]].tolist() == ["large", 32, "AP"]
    assert films.groupby("patient_id")["split"].nunique().max() == 1
    assert set(films["split"]) == {"train", "judge", "val", "test"}
    assert len(packed.attribution) == 1
    assert not packed.phantom


def test_the_dataset_says_what_it_is_made_of(tmp_path: Path) -> None:
    """dataset.json lists sources and counts, checks.json a passed suite, and the summary agrees with both."""
    summary = prepare.run(_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    about = json.loads((tmp_path / "cxr" / "dataset.json").read_text())
    assert about["fingerprint"] == summary.fingerprint
    assert about["counts"] == summary.counts
    assert [(source["reader"], source["films"]) for source in about["sources"]] == [("phantom", 40)]
    assert about["phantom"]
    assert json.loads((tmp_path / "cxr" / "checks.json").read_text()) == summary.checks.as_dict()
    assert summary.checks.passed


def test_one_view_alone_can_be_chosen(tmp_path: Path) -> None:
    """Films of the other view, and of none that is known, are left out and counted."""
    sources = [
        _source(tmp_path / "pa", range(10), 16),
        _source(tmp_path / "ap", range(10, 20), 16, view="AP"),
        _source(tmp_path / "unknown", range(20, 30), 16, view=""),
    ]
    lines: list[str] = []
    summary = prepare.run(_config(*sources, view="AP"), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["other_view"] == 40
    assert set(open_film_dataset(tmp_path / "cxr").manifest["view"]) == {"AP"}
    assert "40 films are left out: their view is not known to be AP" in lines
    with pytest.raises(DataError, match="no films found: the sources hold 20, of view AP none"):
        prepare.run(_config(sources[0], view="AP"), out=tmp_path / "none", report=lines.append)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """Every file of the dataset, also when another thread than the main one makes it."""
    source = _source(tmp_path / "films", range(12), 16)
    prepare.run(_config(source), out=tmp_path / "one", report=lambda line: None)
    other = threading.Thread(
        target=prepare.run, args=[_config(source)], kwargs={"out": tmp_path / "two", "report": lambda line: None}
    )
    other.start()
    other.join()
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_broken_films_are_reported_and_left_out(tmp_path: Path) -> None:
    """With `skip` each is named in a line and in the summary, and counted in dataset.json."""
    source = _source(tmp_path / "films", range(12), 16)
    (tmp_path / "films" / "00000005_001.png").write_bytes(b"")
    lines: list[str] = []
    summary = prepare.run(_config(source, on_bad="skip"), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["unreadable"] == 1
    assert summary.counts["films"] == 23
    assert len(summary.unreadable) == 1
    assert [line for line in lines if line.startswith("left out: ") and "00000005_001.png" in line]


def test_a_side_without_a_readable_film_is_refused(tmp_path: Path) -> None:
    """A test side that lost all its films is no test side."""
    source = _source(tmp_path / "films", range(4), 16)
    prepare.run(_config(source), out=tmp_path / "cxr", report=lambda line: None)
    films = open_film_dataset(tmp_path / "cxr").manifest
    for name in films.loc[films["split"] == "test", "image_index"]:
        (tmp_path / "films" / name).write_bytes(b"")
    with pytest.raises(DataError, match="no readable film is left for test"):
        prepare.run(_config(source, on_bad="skip"), out=tmp_path / "cxr", report=lambda line: None)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (_config(), ConfigError, "prepare.sources: names no source"),
        (_config({"reader": "nih"}), ConfigError, r"prepare.sources\[0\].path: missing"),
        (_config(PHANTOMS, {"reader": "pacs"}), ConfigError, r"prepare.sources\[1\].reader: 'pacs' is none of"),
        (_config({"reader": "nih", "path": "no such folder"}), DataError, "no such folder"),
        (_config(PHANTOMS, resolution=32), DataError, "32 px is above the resolution of every film"),
        (_config(PHANTOMS | {"n_films": 1}), DataError, "too few"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(
    tmp_path: Path, config: PrepareConfig, error: type[Exception], message: str
) -> None:
    """One plain error, and a dataset that was there before is there still."""
    prepare.run(_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    before = _bytes(tmp_path / "cxr")
    for out in ("cxr", "new"):
        with pytest.raises(error, match=message):
            prepare.run(config, out=tmp_path / out, report=lambda line: None)
    assert _bytes(tmp_path / "cxr") == before
    assert [folder.name for folder in tmp_path.iterdir()] == ["cxr"]


def test_a_folder_that_holds_something_else_is_refused_untouched(tmp_path: Path) -> None:
    """Not the folder itself, nor one that stands where the growing dataset would."""
    for name in ("cxr", "other.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
        with pytest.raises(DataError, match=f"{name}: holds something other than a packed dataset"):
            prepare.run(_config(PHANTOMS), out=tmp_path / name.removesuffix(".partial"), report=lambda line: None)
        assert _bytes(tmp_path / name) == {"thesis.txt": b"years of work"}
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DataError, match="file: holds something other"):
        prepare.run(_config(PHANTOMS), out=tmp_path / "file", report=lambda line: None)


def test_a_dataset_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Nothing of the earlier one stays, and nothing beside it."""
    prepare.run(_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    prepare.run(_config(PHANTOMS, resolution=8), out=tmp_path / "cxr", report=lambda line: None)
    assert not (tmp_path / "cxr" / "images_0016.npy").exists()
    assert open_film_dataset(tmp_path / "cxr").resolution == 8
    assert [folder.name for folder in tmp_path.iterdir()] == ["cxr"]


@pytest.mark.slow
def test_killed_and_run_again_gives_the_same_dataset(tmp_path: Path) -> None:
    """A SIGKILL in the middle leaves no dataset behind; the same call then makes the one it would have made."""
    entry = PHANTOMS | {"n_films": 300}
    code = (
        "from pathlib import Path\n"
        "from synthcxr.config.schema import PrepareConfig, SplitShares\n"
        "from synthcxr.stages import prepare\n"
        f"config = PrepareConfig(({entry!r},), 16, 'both', SplitShares(.50, .20, .12, .18), 1, 'error')\n"
        "prepare.run(config, out=Path('cxr'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cxr.partial" / "images_0016.npy").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cxr").exists()
    assert (tmp_path / "cxr.partial").is_dir()
    config = _config(entry)
    for out in ("cxr", "undisturbed"):
        prepare.run(config, out=tmp_path / out, report=lambda line: None)
    assert _bytes(tmp_path / "cxr") == _bytes(tmp_path / "undisturbed")
    assert not (tmp_path / "cxr.partial").exists()


def test_killed_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    """The dataset before is found under its other name and put back, even when the next run fails."""
    prepare.run(_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    before = _bytes(tmp_path / "cxr")
    (tmp_path / "cxr").rename(atomic.partial_path(tmp_path / "cxr", atomic.REPLACED_SUFFIX))
    with pytest.raises(DataError, match="above the resolution of every film"):
        prepare.run(_config(PHANTOMS, resolution=64), out=tmp_path / "cxr", report=lambda line: None)
    assert _bytes(tmp_path / "cxr") == before


@pytest.fixture
def few_files(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the files of one dataset of 16 px, and not of a second."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=17", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_plain_error_and_nothing_is_lost(few_files: Path) -> None:
    """The dataset before stays, what was begun is cleared away, and the error says what the disk said."""
    prepare.run(_config(PHANTOMS), out=few_files / "cxr", report=lambda line: None)
    before = _bytes(few_files / "cxr")
    with pytest.raises(DataError, match="cannot be written .*No space left on device.*is unharmed"):
        prepare.run(_config(PHANTOMS | {"seed": 2}), out=few_files / "cxr", report=lambda line: None)
    assert _bytes(few_files / "cxr") == before
    assert [folder.name for folder in few_files.iterdir()] == ["cxr"]


def test_the_release_layout_of_real_films(tmp_path: Path) -> None:
    """45 films of a full listing are packed at 256 px; those absent are reported, not missed."""
    root = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not root:
        pytest.skip("SYNTHCXR_TEST_FILMS names no folder of real films")
    lines: list[str] = []
    source = {"reader": "nih", "path": str(Path(root) / "nih_release_sample")}
    summary = prepare.run(_config(source, resolution=256), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["films"] == summary.counts["by_resolution"]["256"] == 45
    assert any("112,075 of 112,120 listed films are absent" in line for line in lines)

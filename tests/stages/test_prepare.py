"""`prepare`: pack sources into one split and checked dataset, or leave the output unchanged."""

from __future__ import annotations

import dataclasses
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
from support.file_digests import digest_files
from support.small_disk import mount_small_disk

from synthcxr.config.schema import PrepareConfig, SplitShares
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.errors import ConfigError, DataError
from synthcxr.stages import prepare
from synthcxr.storage import atomic

SHARES = SplitShares(train=0.50, judge=0.20, val=0.12, test=0.18)


def make_config(
    *sources: dict[str, Any],
    resolution: int = 16,
    view: Literal["PA", "AP", "both"] = "both",
    on_bad: Literal["error", "skip"] = "error",
) -> PrepareConfig:
    return PrepareConfig(sources=sources, resolution=resolution, view=view, shares=SHARES, seed=1, on_bad=on_bad)


def write_source(folder: Path, patients: Sequence[int], side: int, *, view: str = "PA") -> dict[str, Any]:
    """Write an NIH folder with two films of noise per patient, and return its entry of `prepare.sources`."""
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


def test_two_sources_become_one_dataset(tmp_path: Path) -> None:
    """A film in both sources is packed once, in its larger size, and counted; a patient of both is in one split."""
    small = write_source(tmp_path / "small", range(10), 16)
    large = write_source(tmp_path / "large", range(8, 20), 32, view="AP")
    lines: list[str] = []
    summary = prepare.run(make_config(small, large, resolution=32), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["duplicates"] == 4
    assert summary.counts["films"] == 40
    assert summary.counts["by_resolution"] == {"4": 40, "8": 40, "16": 40, "32": 24}
    assert any("left out 4 duplicates" in line for line in lines)
    packed = open_film_dataset(tmp_path / "cxr")
    films = packed.manifest.set_index("image_index")
    assert films.loc["00000008_000.png", ["source", "size", "view"]].tolist() == ["large", 32, "AP"]
    assert films.groupby("patient_id")["split"].nunique().max() == 1
    assert set(films["split"]) == {"train", "judge", "val", "test"}
    assert len(packed.attribution) == 1
    assert not packed.phantom


def test_dataset_describes_its_content(tmp_path: Path) -> None:
    """dataset.json lists sources and counts, checks.json contains passed checks, and the summary agrees with both."""
    summary = prepare.run(make_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    about = json.loads((tmp_path / "cxr" / "dataset.json").read_text())
    assert about["fingerprint"] == summary.fingerprint
    assert about["counts"] == summary.counts
    assert [(source["reader"], source["films"]) for source in about["sources"]] == [("phantom", 40)]
    assert about["phantom"]
    assert json.loads((tmp_path / "cxr" / "checks.json").read_text()) == summary.checks.as_dict()
    assert summary.checks.passed


def test_films_of_other_views_are_left_out(tmp_path: Path) -> None:
    """Films of the other view, and of unknown view, are left out and counted."""
    sources = [
        write_source(tmp_path / "pa", range(10), 16),
        write_source(tmp_path / "ap", range(10, 20), 16, view="AP"),
        write_source(tmp_path / "unknown", range(20, 30), 16, view=""),
    ]
    lines: list[str] = []
    summary = prepare.run(make_config(*sources, view="AP"), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["other_view"] == 40
    assert set(open_film_dataset(tmp_path / "cxr").manifest["view"]) == {"AP"}
    assert "left out 40 films, not of view AP or of an unknown view" in lines
    with pytest.raises(DataError, match="no films found: the sources contain 20 films, none of view AP"):
        prepare.run(make_config(sources[0], view="AP"), out=tmp_path / "none", report=lines.append)


def test_the_same_inputs_give_the_same_files(tmp_path: Path) -> None:
    """All files are identical, also if another thread than the main thread writes them."""
    source = write_source(tmp_path / "films", range(12), 16)
    prepare.run(make_config(source), out=tmp_path / "one", report=lambda line: None)
    thread = threading.Thread(
        target=prepare.run, args=[make_config(source)], kwargs={"out": tmp_path / "two", "report": lambda line: None}
    )
    thread.start()
    thread.join()
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "two")


def test_unreadable_films_are_reported_and_left_out(tmp_path: Path) -> None:
    """With `on_bad: skip`, each unreadable film is in the report and the summary, and counted in dataset.json."""
    source = write_source(tmp_path / "films", range(12), 16)
    (tmp_path / "films" / "00000005_001.png").write_bytes(b"")
    lines: list[str] = []
    summary = prepare.run(make_config(source, on_bad="skip"), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["unreadable"] == 1
    assert summary.counts["films"] == 23
    assert len(summary.unreadable) == 1
    assert [line for line in lines if line.startswith("left out: ") and "00000005_001.png" in line]


def test_too_few_patients_with_a_readable_film_are_an_error(tmp_path: Path) -> None:
    """The split is made of readable films; the error says how many films could not be packed."""
    source = write_source(tmp_path / "films", range(4), 16)
    prepare.run(make_config(source), out=tmp_path / "cxr", report=lambda line: None)
    films = open_film_dataset(tmp_path / "cxr").manifest
    for name in films.loc[films["split"] == "test", "image_index"]:
        (tmp_path / "films" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"3 patients are too few for the splits .* \(2 films cannot be packed\)"):
        prepare.run(make_config(source, on_bad="skip"), out=tmp_path / "cxr", report=lambda line: None)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (make_config(), ConfigError, "prepare.sources: no source of films"),
        (make_config({"reader": "nih"}), ConfigError, r"prepare.sources\[0\].path: missing"),
        (make_config(PHANTOMS, {"reader": "pacs"}), ConfigError, r"prepare.sources\[1\].reader: 'pacs' is not one of"),
        (make_config({"reader": "nih", "path": "no such folder"}), DataError, "no such folder"),
        (make_config(PHANTOMS, resolution=32), DataError, "32 px is above the resolution of every film"),
        (make_config(PHANTOMS | {"n_films": 1}), DataError, "too few"),
    ],
)
def test_errors_leave_the_output_unchanged(
    tmp_path: Path, config: PrepareConfig, error: type[Exception], message: str
) -> None:
    """Invalid input is a one-line error, keeps an earlier dataset, and leaves no other folder."""
    prepare.run(make_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    before = digest_files(tmp_path / "cxr")
    for out in ("cxr", "new"):
        with pytest.raises(error, match=message):
            prepare.run(config, out=tmp_path / out, report=lambda line: None)
    assert digest_files(tmp_path / "cxr") == before
    assert [folder.name for folder in tmp_path.iterdir()] == ["cxr"]


def test_folder_with_other_content_is_refused_and_unchanged(tmp_path: Path) -> None:
    """This holds for the output folder and for the partial folder next to it."""
    for name in ("cxr", "other.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
        with pytest.raises(DataError, match=f"{name}: contains something other than packed films"):
            prepare.run(make_config(PHANTOMS), out=tmp_path / name.removesuffix(".partial"), report=lambda line: None)
        assert [path.name for path in (tmp_path / name).iterdir()] == ["thesis.txt"]
        assert (tmp_path / name / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DataError, match="file: contains something other"):
        prepare.run(make_config(PHANTOMS), out=tmp_path / "file", report=lambda line: None)


def test_dataset_replaces_the_previous_one(tmp_path: Path) -> None:
    """No file of the previous dataset remains, and no other folder."""
    prepare.run(make_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    prepare.run(make_config(PHANTOMS, resolution=8), out=tmp_path / "cxr", report=lambda line: None)
    assert not (tmp_path / "cxr" / "images_0016.npy").exists()
    assert open_film_dataset(tmp_path / "cxr").resolution == 8
    assert [folder.name for folder in tmp_path.iterdir()] == ["cxr"]


@pytest.mark.slow
def test_killed_and_run_again_gives_the_same_dataset(tmp_path: Path) -> None:
    """After SIGKILL there is no dataset; the same call then writes the same dataset as without interruption."""
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
    config = make_config(entry)
    for out in ("cxr", "uninterrupted"):
        prepare.run(config, out=tmp_path / out, report=lambda line: None)
    assert digest_files(tmp_path / "cxr") == digest_files(tmp_path / "uninterrupted")
    assert not (tmp_path / "cxr.partial").exists()


def test_killed_between_the_two_renames_keeps_the_previous_dataset(tmp_path: Path) -> None:
    """The next run restores the previous dataset from its temporary name, even if the run fails."""
    prepare.run(make_config(PHANTOMS), out=tmp_path / "cxr", report=lambda line: None)
    before = digest_files(tmp_path / "cxr")
    (tmp_path / "cxr").rename(atomic.partial_path(tmp_path / "cxr", atomic.REPLACED_SUFFIX))
    with pytest.raises(DataError, match="above the resolution of every film"):
        prepare.run(make_config(PHANTOMS, resolution=64), out=tmp_path / "cxr", report=lambda line: None)
    assert digest_files(tmp_path / "cxr") == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with space for the files of one dataset of 16 px, but not of two."""
    folder = tmp_path / "disk"
    with mount_small_disk(folder, "size=8m,nr_inodes=17"):
        yield folder


def test_full_disk_is_an_error_and_keeps_the_previous_dataset(small_disk: Path) -> None:
    """The previous dataset is unchanged, the partial one is removed, and the error contains the system's message."""
    prepare.run(make_config(PHANTOMS), out=small_disk / "cxr", report=lambda line: None)
    before = digest_files(small_disk / "cxr")
    with pytest.raises(DataError, match="cannot be written .*No space left on device.*is unchanged"):
        prepare.run(make_config(PHANTOMS | {"seed": 2}), out=small_disk / "cxr", report=lambda line: None)
    assert digest_files(small_disk / "cxr") == before
    assert [folder.name for folder in small_disk.iterdir()] == ["cxr"]


def test_packs_real_films_of_the_release(tmp_path: Path) -> None:
    """45 films of the full table are packed at 256 px, and the absent films are reported."""
    root = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not root:
        pytest.skip("SYNTHCXR_TEST_FILMS is not set")
    lines: list[str] = []
    source = {"reader": "nih", "path": str(Path(root) / "nih_release_sample")}
    summary = prepare.run(make_config(source, resolution=256), out=tmp_path / "cxr", report=lines.append)
    assert summary.counts["films"] == summary.counts["by_resolution"]["256"] == 45
    assert any("found 45 of 112,120 listed films, 112,075 absent" in line for line in lines)


def test_patients_of_an_earlier_dataset_keep_their_splits(tmp_path: Path) -> None:
    """After films are added, every patient of the earlier dataset is in the same split; a line says how many."""
    first, second = (
        write_source(tmp_path / "first", range(20), 16),
        write_source(tmp_path / "second", range(20, 50), 16),
    )
    prepare.run(make_config(first), out=tmp_path / "earlier")
    lines: list[str] = []
    config = dataclasses.replace(make_config(second, first), seed=2, splits_from=str(tmp_path / "earlier"))
    prepare.run(config, out=tmp_path / "grown", report=lines.append)
    assert f"{tmp_path / 'earlier'}: 20 patients keep their split" in lines
    splits = [
        open_film_dataset(tmp_path / name).manifest.set_index("image_index")["split"] for name in ("earlier", "grown")
    ]
    assert splits[1][splits[0].index].equals(splits[0])
    assert splits[1].value_counts().to_dict() == {"train": 50, "judge": 20, "val": 12, "test": 18}
    with pytest.raises(ConfigError, match=r"prepare\.splits_from: .* is the folder of the output; give a copy of it"):
        prepare.run(config, out=tmp_path / "earlier")


def test_an_earlier_dataset_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    """The error comes before a film is packed."""
    config = dataclasses.replace(make_config(PHANTOMS), splits_from=str(tmp_path / "none"))
    with pytest.raises(DataError, match="none.*run `synthcxr prepare` first"):
        prepare.run(config, out=tmp_path / "cxr")
    assert not (tmp_path / "cxr").exists()


def test_an_official_list_against_an_earlier_split_is_an_error_before_packing(tmp_path: Path) -> None:
    """The error names the patient, and does not count films that cannot be packed, as errors after packing do."""
    source = write_source(tmp_path / "films", range(20), 16)
    prepare.run(make_config(source), out=tmp_path / "earlier")
    manifest = open_film_dataset(tmp_path / "earlier").manifest
    name = manifest["image_index"][manifest["split"] == "train"].iloc[0]
    (tmp_path / "films" / "test_list.txt").write_text(f"{name}\n")
    config = dataclasses.replace(make_config(source), splits_from=str(tmp_path / "earlier"))
    with pytest.raises(
        DataError, match=r"is on the official test list, but in train .* leave prepare\.splits_from out$"
    ):
        prepare.run(config, out=tmp_path / "grown")
    assert not (tmp_path / "grown").exists()

"""The generate stage: a finished, an interrupted and a longer dataset, always with the bytes of one run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.file_digests import digest_dataset
from support.linear_models import generate_dataset, list_neighbours, write_linear_models

from synthcxr.data.synthetic_dataset import RUN_FILE, read_metadata
from synthcxr.errors import DataError
from synthcxr.storage import json_files
from synthcxr.storage.cores import count_usable_cores


@pytest.fixture(scope="module")
def slow_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_linear_models(tmp_path_factory.mktemp("slow"), n_slow=4)


@pytest.fixture(scope="module")
def dataset(linear_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset that the tests copy."""
    out = tmp_path_factory.mktemp("finished") / "x"
    generate_dataset(linear_models, out)
    return out


@pytest.fixture
def finished(dataset: Path, tmp_path: Path) -> Path:
    """A finished dataset, alone in its folder."""
    return shutil.copytree(dataset, tmp_path / "x")


def test_finished_dataset_is_not_touched(linear_models: Path, finished: Path, tmp_path: Path) -> None:
    """The same command says that there is nothing to do, and changes nothing."""
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    report = generate_dataset(linear_models, finished)
    assert report.status == "already finished" and "nothing to do" in " ".join(report.lines)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert list_neighbours(finished) == ["x"]


def test_force_replaces_another_dataset(linear_models: Path, finished: Path, tmp_path: Path) -> None:
    """--force replaces the dataset of another command."""
    generate_dataset(linear_models, finished, seed=2, n=9, flags={"force": True})
    generate_dataset(linear_models, tmp_path / "direct", seed=2, n=9)
    assert digest_dataset(finished) == digest_dataset(tmp_path / "direct")


def test_force_discards_another_interrupted_dataset(linear_models: Path, dataset: Path, tmp_path: Path) -> None:
    """--force starts over where another command was interrupted."""
    partial = tmp_path / "x.partial"
    shutil.copytree(dataset / "images", partial / "images")
    request = {"n": 20, "seed": 1, "labels": [], "max_draws": 400, "batch": 8, "format": "png", "models": {}}
    json_files.write_json(partial / "request.json", request | {"pins": {}, "threads": 1})
    (partial / "journal.jsonl").write_text(json.dumps({"draws": 8, "wall_s": 0.1, "records": []}) + "\n")
    with pytest.raises(DataError, match="another generator; another classifier"):
        generate_dataset(linear_models, tmp_path / "x")
    generate_dataset(linear_models, tmp_path / "x", flags={"force": True})
    assert digest_dataset(tmp_path / "x") == digest_dataset(dataset)
    assert list_neighbours(tmp_path / "x") == ["x"]


@pytest.mark.parametrize("flags", [{}, {"image_format": "webdataset"}])
def test_append_gives_the_bytes_of_one_run(linear_models: Path, tmp_path: Path, flags: dict) -> None:
    """--append extends a dataset to the bytes of a longer run; without it, a larger n is an error."""
    request = {"labels": ("Edema",)}
    generate_dataset(linear_models, tmp_path / "x", **request, flags=flags)
    with pytest.raises(DataError, match="--append to extend it to 31"):
        generate_dataset(linear_models, tmp_path / "x", **request, n=31, flags=flags)
    report = generate_dataset(linear_models, tmp_path / "x", **request, n=31, flags=flags | {"append": True})
    generate_dataset(linear_models, tmp_path / "direct", **request, n=31, flags=flags)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    assert "20 of them existed already" in report.lines
    assert list_neighbours(tmp_path / "x") == ["direct", "x"]


@pytest.mark.slow
def test_append_can_change_the_format(linear_models: Path, tmp_path: Path) -> None:
    """A folder of PNGs extended as shards equals the shards of one run; there is more than one shard."""
    shards = {"image_format": "webdataset"}
    generate_dataset(linear_models, tmp_path / "x", n=990, max_draws=1100)
    generate_dataset(linear_models, tmp_path / "x", n=1010, max_draws=1100, flags={"append": True} | shards)
    generate_dataset(linear_models, tmp_path / "direct", n=1010, max_draws=1100, flags=shards)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    assert sorted(path.name for path in (tmp_path / "x/shards").iterdir()) == ["00000.tar", "00001.tar"]


def test_append_generates_damaged_images_again(linear_models: Path, finished: Path, tmp_path: Path) -> None:
    """Copied images are verified; from the first damaged one on they are generated again, with the same bytes."""
    (finished / "images/00000/00000007.png").write_bytes(b"damaged")
    generate_dataset(linear_models, finished, n=31, flags={"append": True})
    generate_dataset(linear_models, tmp_path / "direct", n=31)
    assert digest_dataset(finished) == digest_dataset(tmp_path / "direct")


def test_append_keeps_the_number_of_threads(linear_models: Path, finished: Path) -> None:
    """Bytes may depend on the number of threads: --append uses that of the dataset, --force that of this machine."""
    own, other = count_usable_cores(), count_usable_cores() + 1
    run = json_files.read_json(finished / RUN_FILE)
    assert run["threads"] == own
    json_files.write_json(finished / RUN_FILE, run | {"threads": other})
    report = generate_dataset(linear_models, finished, n=31, flags={"append": True})
    assert json_files.read_json(finished / RUN_FILE)["threads"] == other
    assert f"used {other} threads, as for the existing images, so that the bytes are the same" in report.lines
    generate_dataset(linear_models, finished, n=31, flags={"force": True})
    assert json_files.read_json(finished / RUN_FILE)["threads"] == own


def test_resume_keeps_the_number_of_threads(linear_models: Path, finished: Path, tmp_path: Path) -> None:
    """An interrupted dataset is completed with its number of threads, and is not that of another command."""
    run, other = json_files.read_json(finished / RUN_FILE), count_usable_cores() + 1
    request = run["request"] | {"format": "png", "models": run["model"]["digests"], "threads": other}
    pins = {"provider": run["provider"], **run["versions"]}
    json_files.write_json(tmp_path / "y.partial" / "request.json", request | {"pins": pins})
    (tmp_path / "y.partial" / "journal.jsonl").write_text('{"draws": 8, "wall_s": 0.1, "records": []}\n')
    generate_dataset(linear_models, tmp_path / "y")
    assert json_files.read_json(tmp_path / "y" / RUN_FILE)["threads"] == other
    assert read_metadata(tmp_path / "y")["index"].iloc[0] == 8


GENERATE = """
import sys
from pathlib import Path
from support.linear_models import generate_dataset
model, out, n, append, image_format = sys.argv[1:]
flags = {"append": append == "True", "image_format": image_format}
generate_dataset(Path(model), Path(out), n=int(n), labels=("Edema",), max_draws=4000, flags=flags)
"""


def run_and_kill(n_lines: int, *arguments: object) -> bool:
    """Start a run, SIGKILL it once its journal has `n_lines` lines; whether it was killed before its end."""
    journal = Path(f"{arguments[1]}.partial/journal.jsonl")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", GENERATE, *map(str, arguments)], env=environment)
    while process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= n_lines:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    return process.wait() == -signal.SIGKILL


def damage_one_image(folder: Path) -> None:
    """Change one bit in the middle of the images' bytes."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".png", ".tar"})
    data = bytearray(files[len(files) // 2].read_bytes())
    data[len(data) // 2] ^= 1
    files[len(files) // 2].write_bytes(data)


def test_killed_run_is_resumed(slow_models: Path, tmp_path: Path) -> None:
    """A run that SIGKILL stops at a random point is completed by the same command with the bytes of one run.

    In between, the last line of the journal is incomplete, an image is damaged, and another command is refused.
    """
    request, out = {"labels": ("Edema",), "max_draws": 4000, "n": 40}, tmp_path / "x"
    assert run_and_kill(random.randint(2, 6), slow_models, out, 40, False, "png")
    assert not out.exists() and (tmp_path / "x.partial").is_dir()
    with pytest.raises(DataError, match=r"x\.partial: contains the dataset of another command \(seed 1, not 2"):
        generate_dataset(slow_models, out, **request | {"seed": 2})
    with (tmp_path / "x.partial/journal.jsonl").open("ab") as journal:
        journal.write(b'{"draws": 4')
    damage_one_image(tmp_path / "x.partial")
    assert generate_dataset(slow_models, out, **request).n_images == 40
    generate_dataset(slow_models, tmp_path / "direct", **request)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")
    assert list_neighbours(out) == ["direct", "x"]


@pytest.mark.slow
def test_killed_append_keeps_the_old_dataset(slow_models: Path, tmp_path: Path) -> None:
    """While a run that extends a dataset is killed the old dataset stays in place, and the same command continues."""
    request, out, flags = {"labels": ("Edema",), "max_draws": 4000}, tmp_path / "x", {"image_format": "webdataset"}
    generate_dataset(slow_models, out, **request, n=40, flags=flags)
    assert run_and_kill(random.randint(1, 6), slow_models, out, 80, True, "webdataset")
    assert len(read_metadata(out)) == 40
    generate_dataset(slow_models, out, **request, n=80, flags=flags | {"append": True})
    generate_dataset(slow_models, tmp_path / "direct", **request, n=80, flags=flags)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")
    assert list_neighbours(out) == ["direct", "x"]


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=400k tmpfs "$1" && shift && "$@"; status=$?
ls "$DISK"; exit $status
"""
FILL_THE_DISK = """
import os, sys
from pathlib import Path
from support.linear_models import generate_dataset
from synthcxr.errors import DataError
disk = Path(os.environ["DISK"])
ballast = disk / "ballast"
def attempt():
    return generate_dataset(Path(sys.argv[1]), disk / "x", n=70, max_draws=70, flags={"image_format": "webdataset"})
ballast.write_bytes(bytes(150_000))
try:
    attempt()
except DataError as error:
    print(error)
ballast.unlink()
print(attempt().lines[1])
"""


@pytest.mark.slow
def test_run_continues_after_a_full_disk(linear_models: Path, tmp_path: Path) -> None:
    """A full disk is one line; with free space, the same command continues."""
    disk = tmp_path / "disk"
    disk.mkdir()
    environment = os.environ | {"DISK": str(disk), "PYTHONPATH": os.pathsep.join(sys.path)}
    mount = ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", str(disk)]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], env=environment, check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    command = [*mount, sys.executable, "-c", FILL_THE_DISK, str(linear_models)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = process.stdout.splitlines()
    assert process.returncode == 0, process.stderr
    assert "the disk is full; free some space and run the same command again" in lines[0]
    assert lines[1].endswith("of them existed already") and lines[2:] == ["x"]

"""How time and memory grow with the work: each command at three sizes a factor of 4 apart, and the fitted exponents.

Each run is a process of its own. Memory is the largest resident set of the process, without its children, and its
largest anonymous memory, which the system cannot drop (on Linux, read every 0.05 s). An exponent
is the slope of log(seconds) over log(size); times include the start of the command, which weighs in small sizes. Run
it on an idle machine.

    python benchmarks/scale.py [--factor 1] [--only generate] [--work FOLDER] [--out benchmarks/results/scale.json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import machine
import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from synthcxr.data import images
from synthcxr.readers import phantom

ROOT = Path(__file__).parents[1]
N_SIZES, STEP = 3, 4
WATCH_S = 0.05
SIDE, N_DRAWINGS = 1024, 40
N_PACKED, N_PROJECT = 600, 200
FIRST_PATIENT = 1_000_000
"""Above the patients of the NIH release, which the starter model knows."""
COLUMNS = "Image Index,Finding Labels,Patient ID,View Position\n"
LABELS = ("No Finding", "Effusion", "Cardiomegaly", "Mass|Nodule")


def measure(*arguments: object, folder: Path, module: str = "synthcxr") -> dict[str, float]:
    """Wall and processor seconds and memory in MB of one command, which must not fail; exit code 1 is a failed gate."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with watch_anonymous_memory(process.pid) as largest:
        message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(message.decode())
    return {
        "wall_s": round(time.perf_counter() - started, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "memory_mb": round(usage.ru_maxrss / 1024, 1),
        "anonymous_mb": round(max(largest), 1),
    }


@contextlib.contextmanager
def watch_anonymous_memory(pid: int) -> Iterator[list[float]]:
    """Give a list that gets the anonymous memory of a process in MB until the block ends; [0] where it is not known."""
    values, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_S):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
                values.extend(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield values
    finally:
        ended.set()
        thread.join()


def write_films(folder: Path, n: int) -> None:
    """Write `n` distinct films of SIDE px: few drawings, each film with a row of pixels of its own."""
    (folder / "images").mkdir(parents=True)
    drawings = [images.quantise(phantom.draw_film(1, index, SIDE)) for index in range(min(n, N_DRAWINGS))]
    rng, rows = np.random.default_rng(0), [COLUMNS]
    for index in range(n):
        pixels = drawings[index % len(drawings)].copy()
        shifted = np.roll(pixels, tuple(rng.integers(-60, 60, 2)), axis=(0, 1))
        shifted[: SIDE // 16] = rng.integers(0, 255, dtype=np.uint8)
        name = f"{FIRST_PATIENT + index:08d}_000.png"
        Image.fromarray(shifted).save(folder / "images" / name, compress_level=1)
        rows.append(f"{name},{LABELS[index % len(LABELS)]},{FIRST_PATIENT + index},PA\n")
    (folder / "Data_Entry_2017.csv").write_text("".join(rows), encoding="utf-8")


def write_params(path: Path, films: Path, *, resolution: int = 128) -> None:
    """Write the parameters of the starter model for a folder of films."""
    yaml = YAML()
    document = yaml.load(ROOT / "params/starter.yaml")
    document["prepare"] |= {"sources": [{"reader": "nih", "path": str(films)}], "resolution": resolution}
    document["evaluate"]["extractors"] = ["judge"]
    document["evaluate"]["gates"] = []
    yaml.dump(document, path)


def run_prepare(folder: Path, n: int) -> dict[str, float]:
    """Pack `n` films of 1024 px at 128 px."""
    films = folder / f"films{n}"
    write_films(films, n)
    write_params(folder / "params.yaml", films)
    row = measure("prepare", "--params", folder / "params.yaml", "--out", folder / "packed", folder=folder)
    shutil.rmtree(films)
    shutil.rmtree(folder / "packed")
    return row


def run_generate(folder: Path, n: int) -> dict[str, float]:
    """Generate `n` images in shards; the folder keeps them for the commands that read them."""
    out = folder / f"images{n}"
    return measure("generate", "--model", "starter", "--n", n, "--format", "webdataset", "--out", out, folder=folder)


def run_append(folder: Path, n: int) -> dict[str, float]:
    """Extend a dataset of `n` images by one eighth."""
    copy = folder / "copy"
    shutil.copytree(folder / f"images{n}", copy)
    total = n + n // 8
    row = measure("generate", "--model", "starter", "--n", total, "--append", "--format", "webdataset", "--out", copy,
                  folder=folder)  # fmt: skip
    shutil.rmtree(copy)
    return row


def run_replay(folder: Path, n: int) -> dict[str, float]:
    """Regenerate the last of `n` images."""
    out = folder / "last.png"
    out.unlink(missing_ok=True)
    return measure("replay", "--dataset", folder / f"images{n}", "--index", n - 1, "--out", out, folder=folder)


def run_check(folder: Path, n: int) -> dict[str, float]:
    """Check a dataset of `n` images."""
    return measure("check", folder / f"images{n}", folder=folder)


def run_evaluate(folder: Path, n: int) -> dict[str, float]:
    """Evaluate `n` images against packed films in the judge's features; nothing is cached."""
    if not (folder / "films").is_dir():
        write_films(folder / "films", N_PACKED)
        write_params(folder / "params.yaml", folder / "films")
        measure("prepare", "--params", folder / "params.yaml", "--out", folder / "packed", folder=folder)
    if not (folder / f"images{n}").is_dir():
        run_generate(folder, n)
    for cache in ("cache", ".cache"):
        shutil.rmtree(folder / cache, ignore_errors=True)
    models = ("--models", ROOT / "registry/starter", "--films", folder / "packed")
    out = ("--params", folder / "params.yaml", "--out", folder / f"results{n}")
    return measure("evaluate", "--dataset", folder / f"images{n}", *models, *out, folder=folder)


def run_report(folder: Path, n: int) -> dict[str, float]:
    """Render the report of evaluated images."""
    out = ("--results", folder / f"results{n}", "--params", folder / "params.yaml", "--out", folder / "report.html")
    return measure("report", "--dataset", folder / f"images{n}", *out, folder=folder)


def run_register(folder: Path, n: int) -> dict[str, float]:
    """The last of `n` times `register`, each of which adds three versions, and then `models list`."""
    project = folder / "project"
    if not project.is_dir():
        write_films(folder / "raw", N_PROJECT)
        measure("init", project, "--profile", "smoke", "--source", folder / "raw", folder=folder)
        measure("repro", folder=project, module="dvc")
    row: dict[str, float] = {}
    for _ in range(min(count_runs(project), n - 1), n):
        row = measure("register", folder=project)
    listing = measure("models", "list", folder=project)
    return row | {f"models_list_{name}": value for name, value in listing.items()}


def count_runs(project: Path) -> int:
    """The number of registered versions of the generator."""
    command = [sys.executable, "-m", "synthcxr", "models", "list", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True)
    return sum(row["address"].startswith("models:/synthcxr-generator/") for row in json.loads(result.stdout))


def run_dvc_push(folder: Path, n: int) -> dict[str, float]:
    """Push a dataset of `n` single PNG images of 128 px to a remote in a folder of the same disk."""
    project = folder / f"pushed{n}"
    images_folder = project / "data" / "synthetic" / "images"
    images_folder.mkdir(parents=True)
    rng, drawing = np.random.default_rng(0), images.quantise(phantom.draw_film(1, 0, 128))
    for index in range(n):
        pixels = drawing.copy()
        pixels[:2] = rng.integers(0, 255, (2, 128), dtype=np.uint8)
        Image.fromarray(pixels).save(images_folder / f"{index:08d}.png")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    for arguments in (["init", "--quiet"], ["remote", "add", "--default", "storage", "../storage"],
                      ["add", "--quiet", "data/synthetic"]):  # fmt: skip
        measure(*arguments, folder=project, module="dvc")
    row = measure("push", "--quiet", folder=project, module="dvc")
    shutil.rmtree(project)
    shutil.rmtree(folder / "storage")
    return row


RUNS: Mapping[str, tuple[Callable[[Path, int], dict[str, float]], int]] = {
    "prepare": (run_prepare, 500),
    "generate": (run_generate, 1000),
    "append": (run_append, 1000),
    "replay": (run_replay, 1000),
    "check": (run_check, 1000),
    "evaluate": (run_evaluate, 1000),
    "report": (run_report, 1000),
    "register": (run_register, 3),
    "dvc push": (run_dvc_push, 1250),
}
"""Each command in the order in which one needs the output of another, and its smallest size."""


def fit_exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log(seconds) over log(size) by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def run_all(folder: Path, factor: float, only: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each command's rows and exponents as soon as they are known."""
    for name, (run_command, smallest) in RUNS.items():
        if only is not None and name != only:
            continue
        sizes = [math.ceil(smallest * factor) * STEP**power for power in range(N_SIZES)]
        rows = [{"n": n, **run_command(folder, n)} for n in sizes]
        growth = {
            f"{memory}_growth_per_factor": round(
                (rows[-1][f"{memory}_mb"] / rows[0][f"{memory}_mb"]) ** (1 / (N_SIZES - 1)) - 1, 3
            )
            for memory in ("memory", "anonymous")
            if rows[0][f"{memory}_mb"]
        }
        yield (
            name,
            {
                "rows": rows,
                "time_exponent": round(fit_exponent(sizes, [row["wall_s"] for row in rows]), 2),
                "time_exponent_of_the_last_step": round(fit_exponent(sizes[-2:], [r["wall_s"] for r in rows[-2:]]), 2),
            }
            | growth,
        )


def main() -> None:
    """Write the JSON file and print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=1, help="Multiplies all sizes.")
    parser.add_argument("--only", choices=list(RUNS), help="Measure this one; --out keeps the others.")
    parser.add_argument("--work", type=Path, help="Keep the files in this folder.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    options = parser.parse_args()
    commands: dict[str, Any] = {}
    description = machine.describe()
    with tempfile.TemporaryDirectory() as name:
        folder = options.work or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for command, record in run_all(folder.resolve(), options.factor, options.only):
            commands[command] = {"machine": description} | record
            largest = record["rows"][-1]
            sys.stdout.write(
                f"{command}: {largest['n']:,} in {largest['wall_s']} s and {largest['memory_mb']} MB,"
                f" exponent {record['time_exponent']}, last step {record['time_exponent_of_the_last_step']}\n"
            )
            sys.stdout.flush()
    earlier = json.loads(options.out.read_text(encoding="utf-8")) if options.only and options.out.is_file() else {}
    commands = earlier.get("commands", {}) | commands
    record = {"step": STEP, "commands": commands}
    options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

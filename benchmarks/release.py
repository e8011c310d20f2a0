"""`prepare` with as many films as the NIH release has, 112,120 of 1024 px: rate, memory, and a run that is killed.

The films are hard links to a few drawn ones, so that they fit on a small disk. Each picture therefore occurs many
times, which is the worst case for the search for films with the same picture. The first run is killed (SIGKILL) at half
of the films, the second continues it. The rate of decoding alone, by the same reader in as many threads, is measured
before and after. Run it on an idle machine.

    python benchmarks/release.py [--n 112120] [--n-drawn 2000] [--work FOLDER] [--out benchmarks/results/release.json]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import machine
import scale

from synthcxr.data.films import Film
from synthcxr.data.packing_journal import JOURNAL_FILE
from synthcxr.readers.sources import read_source
from synthcxr.storage import atomic
from synthcxr.storage.cores import count_usable_cores

N_DECODED = 2000


def link_films(folder: Path, n: int, n_drawn: int) -> None:
    """Add links to the films in `folder` until there are `n`, each of a patient of its own, and rewrite their table."""
    images, rows = folder / "images", [scale.COLUMNS]
    drawn = sorted(images.iterdir())
    for index in range(n):
        name = f"{scale.FIRST_PATIENT + index:08d}_000.png"
        if index >= n_drawn:
            os.link(drawn[index % n_drawn], images / name)
        label = scale.LABELS[index % n_drawn % len(scale.LABELS)]
        rows.append(f"{name},{label},{scale.FIRST_PATIENT + index},PA\n")
    (folder / "Data_Entry_2017.csv").write_text("".join(rows), encoding="utf-8")


def measure_decoding(films: list[Film]) -> float:
    """Films per second, decoded by as many threads as there are cores."""
    started = time.perf_counter()
    with ThreadPoolExecutor(count_usable_cores()) as pool:
        for _ in pool.map(lambda film: film.read().shape, films):
            pass
    return round(len(films) / (time.perf_counter() - started), 1)


def run_prepare(folder: Path, out: Path, *, kill_at: int | None) -> dict[str, float]:
    """Wall and processor seconds, memory in MB, and the films in the journal when the process was killed, if it was."""
    environment = os.environ | {"PYTHONPATH": str(scale.ROOT)}
    command = [sys.executable, "-m", "synthcxr", "prepare", "--params", str(folder / "params.yaml"), "--out", str(out)]
    journal = atomic.partial_path(out) / JOURNAL_FILE
    started = time.perf_counter()
    with (folder / "prepare.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    n_packed, is_running = 0, True
    while is_running:
        time.sleep(0.2)
        if kill_at is not None and journal.is_file():
            n_packed = journal.read_bytes().count(b"\n") - 1
            if n_packed >= kill_at:
                os.kill(process.pid, signal.SIGKILL)  # Popen.kill would also wait for the process
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        is_running = ended == 0
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError((folder / "prepare.log").read_text()[-2000:])
    if kill_at is not None and not process.returncode:
        raise SystemExit("prepare ended before half of the films were in its journal; give a larger --n")
    return {
        "wall_s": round(time.perf_counter() - started, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_mb": round(usage.ru_maxrss / 1024, 1),
    } | ({"n_packed": n_packed} if process.returncode else {})


def measure(folder: Path, n: int, n_drawn: int) -> dict[str, Any]:
    """Draw the films, pack them in two runs, and compare with decoding alone."""
    films_folder = folder / "films"
    scale.write_films(films_folder, n_drawn)
    link_films(films_folder, n, n_drawn)
    scale.write_params(folder / "params.yaml", films_folder)
    source = read_source("films", {"reader": "nih", "path": str(films_folder)}, lambda line: None)
    films = list(source.films[:: max(n // N_DECODED, 1)])
    decoding = [measure_decoding(films)]
    killed = run_prepare(folder, folder / "packed", kill_at=n // 2)
    resumed = run_prepare(folder, folder / "packed", kill_at=None)
    decoding.append(measure_decoding(films))
    rate = n / (killed["wall_s"] + resumed["wall_s"])
    return {
        "n": n,
        "n_drawn": n_drawn,
        "decoding_films_per_s": decoding,
        "killed": killed,
        "resumed": resumed,
        "films_per_s": round(rate, 1),
        "share_of_decoding": round(rate / (sum(decoding) / len(decoding)), 3),
    }


def main() -> None:
    """Write the JSON file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=112_120)
    parser.add_argument("--n-drawn", type=int, default=2000)
    parser.add_argument("--work", type=Path, help="Keep the files in this folder.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/release.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.work or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        record = {"machine": machine.describe()} | measure(folder.resolve(), options.n, options.n_drawn)
    text = json.dumps(record, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

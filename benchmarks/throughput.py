"""Whether `synthcxr generate` streams: its peak memory at two lengths, and its rate beside that of its sessions alone.

Both lengths are unconditional sets of the same seed, each made by the command in a process of its own, whose peak is
its alone. The sessions alone are generator and classifier on the longer set's own candidates and batches, with as many
threads, without encoding, hashing or writing; their rate is taken before and after the command and the mean is meant.
Reads the peak from /proc, so on Linux alone.

    python benchmarks/throughput.py MODELS [--short 2000] [--long 20000] [--alone 4000] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

from synthcxr.synthesis.sampling.rejection import RejectionSampler

SEED = 1
PROBED = """
import atexit, pathlib, sys
from synthcxr.cli.main import main
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))))
main(sys.argv[1:])
"""


def command(models: Path, n: int, batch: int, folder: Path) -> dict[str, float]:
    """The wall time and the peak memory of making `n` images with the command."""
    started = time.perf_counter()
    call = [sys.executable, "-c", PROBED, *_arguments(models, n, batch, folder)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    peak_kib = int(done.stdout.strip().splitlines()[-1].split()[1])
    return {"n": n, "wall_s": wall_s, "peak_mib": peak_kib / 2**10, "images_per_s": n / wall_s}


def _arguments(models: Path, n: int, batch: int, folder: Path) -> list[str]:
    return [
        *("generate", "--n", str(n), "--seed", str(SEED), "--model", str(models), "--out", str(folder)),
        *("--batch", str(batch), "--device", "cpu"),
    ]


def alone(models: Path, n: int, batch: int) -> float:
    """Images a second of the generator and the classifier on the first `n` candidates."""
    sampler = RejectionSampler.open(models, batch_size=batch, device="cpu")
    sampler.draw_block(SEED, 0)
    started = time.perf_counter()
    for at in range(0, n, batch):
        sampler.draw_block(SEED, at)
    return -(-n // batch) * batch / (time.perf_counter() - started)


def main() -> None:
    """Print both ratios and, with --out, write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--short", type=int, default=2000)
    parser.add_argument("--long", type=int, default=20_000)
    parser.add_argument("--alone", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        short = command(given.models, given.short, given.batch, Path(folder) / "short")
        before = alone(given.models, given.alone, given.batch)
        long = command(given.models, given.long, given.batch, Path(folder) / "long")
        after = alone(given.models, given.alone, given.batch)
    result = {
        "machine": machine.describe(),
        "short": short,
        "long": long,
        "alone_images_per_s": [before, after],
        "memory_ratio": long["peak_mib"] / short["peak_mib"],
        "rate_ratio": long["images_per_s"] / ((before + after) / 2),
    }
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

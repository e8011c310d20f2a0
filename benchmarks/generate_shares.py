"""Where the time of `generate` goes: the processor seconds of each step, for images of a model in one process.

Each step is the functions that do it, wrapped by a clock; a step within another one counts once, as the inner one. The
steps in background threads count the processor time of their thread. The two networks use every core, so they count the
processor time of the process, without that of the background steps in the meantime. "other" is the rest: imports,
opening the models, Python between the steps.

    python benchmarks/generate_shares.py [--models registry/starter] [--n 2000] [--rounds 3]
        [--out benchmarks/results/generate_shares.json]
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

ROOT = Path(__file__).parents[1]
STEPS = ("generator", "classifier", "PNG", "sha256", "images to files", "journal", "sidecar files", "checks")


class Clock:
    """Adds up the seconds of steps over all threads."""

    def __init__(self) -> None:
        self.networks: dict[str, float] = collections.defaultdict(float)
        self.background: dict[str, float] = collections.defaultdict(float)
        self._lock = threading.Lock()
        self._nested = threading.local()

    def wrap(self, owner: Any, name: str, step: str | Callable[[Any], str], *, all_threads: bool = False) -> None:
        """Replace a function by one that adds its time to a step, which may follow from its first argument."""
        function = getattr(owner, name)

        def now() -> float:
            if not all_threads:
                return time.thread_time()
            with self._lock:
                return time.process_time() - sum(self.background.values())

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            outer, self._nested.seconds = getattr(self._nested, "seconds", 0.0), 0.0
            started = now()
            try:
                return function(*arguments, **options)
            finally:
                key, seconds = step if isinstance(step, str) else step(arguments[0]), now() - started
                with self._lock:
                    (self.networks if all_threads else self.background)[key] += seconds - self._nested.seconds
                self._nested.seconds = outer + seconds

        setattr(owner, name, timed)


def measure(models: str, n: int, out: Path) -> dict[str, float]:
    """Generate `n` images into `out` in this process; the processor seconds of each step, and the wall time."""
    from synthcxr.api import datasets
    from synthcxr.checks import synthetic
    from synthcxr.config.schema import load_config
    from synthcxr.data import images
    from synthcxr.storage import digests
    from synthcxr.synthesis.runtime.onnx_session import Session
    from synthcxr.writers import dataset_writer
    from synthcxr.writers.formats import image_folder
    from synthcxr.writers.journal import Journal

    clock = Clock()
    clock.wrap(Session, "run", lambda session: session.metadata.kind, all_threads=True)
    clock.wrap(images, "encode_png", "PNG")
    clock.wrap(digests, "sha256_bytes", "sha256")
    clock.wrap(image_folder.PngFolder, "write", "images to files")
    clock.wrap(Journal, "append", "journal")
    clock.wrap(dataset_writer, "write_sidecars", "sidecar files")
    clock.wrap(synthetic, "check_dataset", "checks")
    config = dataclasses.replace(load_config(ROOT / "params" / "starter.yaml").generate, n=n)
    started = time.perf_counter()
    datasets.generate_dataset(config, out=out, model=models, image_format="png")
    wall = time.perf_counter() - started
    total = time.process_time()
    steps = {**clock.networks, **clock.background}
    steps["other"] = total - sum(steps.values())
    return steps | {"processor": total, "wall": wall}


def main() -> None:
    """Write the JSON file and print a line per step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="starter")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generate_shares.json"))
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        sys.stdout.write(json.dumps(measure(options.models, options.n, options.once)))
        return
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--models", options.models, "--n", str(options.n)]
            result = subprocess.run([*command, "--once", f"{folder}/images"], check=True, stdout=subprocess.PIPE)
            rounds.append(json.loads(result.stdout))
    medians = {step: statistics.median(one.get(step, 0.0) for one in rounds) for step in rounds[0]}
    total = medians["processor"]
    shares = {step: round(medians[step] / total, 3) for step in (*STEPS, "other") if step in medians}
    for step, share in sorted(shares.items(), key=lambda item: -item[1]):
        sys.stdout.write(f"{step}: {share:.1%}, {1000 * medians[step] / options.n:.2f} ms per image\n")
    sys.stdout.write(f"wall: {1000 * medians['wall'] / options.n:.2f} ms per image\n")
    record = {"machine": machine.describe(), "models": options.models, "n": options.n, "rounds": options.rounds,
              "seconds": {step: round(value, 3) for step, value in medians.items()}, "shares": shares}  # fmt: skip
    options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

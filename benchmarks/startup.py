"""Wall and processor time of commands from a cold start, each in a process of its own, and what they import.

Each round runs the imports that a command cannot do without (numpy and onnxruntime, or mlflow) and then every command.
The ratio is that of medians. The first run stores Python's bytecode and is not counted. Run it on an idle machine.

    python benchmarks/startup.py [--rounds 5] [--out benchmarks/results/startup.json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

RUNTIME, MLFLOW = "import numpy, onnxruntime", "import mlflow"
_ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( *)(\S+)")


def list_commands(folder: Path) -> dict[str, tuple[list[str], str]]:
    """The command line of each measured command, and the code whose time it is compared with."""
    generate = ["generate", "--model", "starter", "--seed", "1", "--force"]
    return {
        "generate --n 1": ([*generate, "--n", "1", "--out", str(folder / "one")], RUNTIME),
        "generate --n 100": ([*generate, "--n", "100", "--out", str(folder / "hundred")], RUNTIME),
        "models list": (["models", "list"], MLFLOW),
        "check": (["check", str(folder / "hundred")], "import great_expectations"),
        "a usage error": (["generate", "--n", "none"], "import click"),
    }


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of wall clock and of processor time of one process, which may fail."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=_ENVIRONMENT, capture_output=True, check=False)
    wall_s, after = time.perf_counter() - started, os.times()
    used = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return wall_s, used


def profile_imports(arguments: list[str], folder: Path) -> dict[str, float]:
    """Seconds, with everything below it, of each package that a command imports for at least 0.05 s."""
    command = [sys.executable, "-X", "importtime", "-m", "synthcxr", *arguments]
    result = subprocess.run(command, cwd=folder, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    packages: dict[str, float] = {}
    for match in _LINE.finditer(result.stderr):
        seconds, name = int(match[2]) / 1e6, match[4]
        if "." not in name and seconds >= 0.05:
            packages[name] = round(max(seconds, packages.get(name, 0)), 3)
    return dict(sorted(packages.items(), key=lambda item: -item[1]))


def run(n_rounds: int) -> dict[str, Any]:
    """Measure all commands in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = list_commands(folder)
        code = {base: [sys.executable, "-c", base] for _, base in commands.values()}
        times: dict[str, list[tuple[float, float]]] = {key: [] for key in (*code, *commands)}
        for arguments, _ in commands.values():  # the first run fills caches of files
            measure([sys.executable, "-m", "synthcxr", *arguments], folder)
        for _ in range(n_rounds):
            for key, command in code.items():
                times[key].append(measure(command, folder))
            for key, (arguments, _) in commands.items():
                times[key].append(measure([sys.executable, "-m", "synthcxr", *arguments], folder))
        rows = {}
        for key, (arguments, base) in commands.items():
            wall_s, cpu_s = (statistics.median(values) for values in zip(*times[key], strict=True))
            base_s = statistics.median(wall for wall, _ in times[base])
            rows[key] = {
                "wall_s": round(wall_s, 2),
                "cpu_s": round(cpu_s, 2),
                "best_wall_s": round(min(wall for wall, _ in times[key]), 2),
                "compared_with": base,
                "compared_wall_s": round(base_s, 2),
                "ratio": round(wall_s / base_s, 2),
                "imports_s": profile_imports(arguments, folder),
            }
    return {"machine": machine.describe(), "rounds": n_rounds, "commands": rows}


def main() -> None:
    """Write the JSON file and print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    options = parser.parse_args()
    record = run(options.rounds)
    options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, row in record["commands"].items():
        sys.stdout.write(f"{name}: {row['wall_s']} s, {row['ratio']} times {row['compared_with']}\n")


if __name__ == "__main__":
    main()

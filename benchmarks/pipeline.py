"""What each stage of the default pipeline costs beyond its own work: starting Python and importing modules.

The stages of dvc.yaml run one after another, without DVC, in a new project of phantoms, each in a process of its own.
Wall and processor seconds are those of the stage as it is. Another run of the project, with PYTHONPROFILEIMPORTTIME,
gives the seconds of its imports, those that happen late included; printing them costs a few percent. Then `dvc repro`
of a third copy gives what DVC adds. Run it on an idle machine; it takes three times as long as the pipeline.

    python benchmarks/pipeline.py [--profile phantom] [--out benchmarks/results/pipeline.json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from ruamel.yaml import YAML

_SELF_TIME = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|", re.MULTILINE)
_ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "False",
}


def run_shell(command: str, folder: Path, **variables: str) -> tuple[float, float, str]:
    """Wall and processor seconds of a command that must not fail, and what it wrote to stderr."""
    before, started = os.times(), time.perf_counter()
    result = subprocess.run(
        command, shell=True, cwd=folder, env=_ENVIRONMENT | variables, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - started, os.times()
    if result.returncode:
        raise RuntimeError(f"{command}: {result.stderr[-3000:]}")
    used = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return wall, used, result.stderr


def list_stages(project: Path) -> dict[str, str]:
    """The command of each stage of a project."""
    stages = YAML().load(project / "dvc.yaml")["stages"]
    return {name: " ".join(str(stage["cmd"]).split()) for name, stage in stages.items()}


def measure(folder: Path, profile: str) -> dict[str, Any]:
    """A row for each stage, and the wall time of `dvc repro`."""
    projects = [folder / name for name in ("plain", "imports", "dvc")]
    for project in projects:
        run_shell(f"synthcxr init {project} --profile {profile}", folder)
    rows = {}
    for name, command in list_stages(projects[0]).items():
        wall, used, _ = run_shell(command, projects[0])
        _, _, messages = run_shell(command, projects[1], PYTHONPROFILEIMPORTTIME="1")
        imports = sum(map(int, _SELF_TIME.findall(messages))) / 1e6
        rows[name] = {"wall_s": round(wall, 1), "processor_s": round(used, 1), "imports_s": round(imports, 1)}
        sys.stdout.write(f"{name}: {wall:.1f} s, {used:.1f} processor s, of which {imports:.1f} s imports\n")
        sys.stdout.flush()
    wall, used, _ = run_shell("dvc repro", projects[2])
    return {"stages": rows, "dvc_repro": {"wall_s": round(wall, 1), "processor_s": round(used, 1)}}


def main() -> None:
    """Write the JSON file and print one line per stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="phantom")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pipeline.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        record = {"machine": machine.describe(), "profile": options.profile, **measure(Path(name), options.profile)}
    total = sum(row["wall_s"] for row in record["stages"].values())
    sys.stdout.write(f"all stages: {total:.1f} s; dvc repro: {record['dvc_repro']['wall_s']} s\n")
    options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

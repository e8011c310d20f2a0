"""The package as installed: its entry points next to the source, or its wheel in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

from support.paths import REPOSITORY

NOT_LINKED = ("torch", "monai", "functorch", "synthcxr", "_editable_impl_synthcxr", "__editable__")
PROGRAMS = ("synthcxr", "mlflow", "uvicorn")


def write_entry_points(folder: Path) -> Path:
    """Write the metadata that a wheel of this source would contain, and link the package next to it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dist_info = folder / f"synthcxr-{project['version']}.dist-info"
    dist_info.mkdir(parents=True)
    (dist_info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: synthcxr\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in targets.items())
        for group, targets in project["entry-points"].items()
    ]
    (dist_info / "entry_points.txt").write_text("\n".join(groups))
    (folder / "synthcxr").symlink_to(REPOSITORY / "synthcxr", target_is_directory=True)
    return folder


def run_python(code: str, *, folder: Path, path: Path | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in `folder`, with the modules below `path` ahead of all others."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_TRACKING"))}
    variables |= {"PYTHONPATH": str(path)} if path else {}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env=variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def build_wheel(out: Path) -> Path:
    """Build the wheel of this source with hatchling."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def create_environment_without_torch(folder: Path, wheel: Path) -> Path:
    """Create a virtual environment with a wheel, its programs, and all that is installed here except torch."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site_packages,) = (folder / "lib").glob("python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.lower().startswith(NOT_LINKED):
            (site_packages / entry.name).symlink_to(entry)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    for name in PROGRAMS:
        program = folder / "bin" / name
        _, _, code = (Path(sys.executable).parent / name).read_text(encoding="utf-8").partition("\n")
        program.write_text(f"#!{folder}/bin/python\n{code}", encoding="utf-8")
        program.chmod(0o755)
    return folder

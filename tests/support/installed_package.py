"""The package as installed: its entry points without installing it, or its wheel in an environment of its own."""

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

LEFT_OUT = ("torch", "monai", "functorch", "synthcxr", "_editable_impl_synthcxr", "__editable__")
PROGRAMS = ("synthcxr", "mlflow", "uvicorn")


def entry_points(folder: Path) -> Path:
    """Write the metadata that a wheel of this source would carry, and link the package beside it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"synthcxr-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: synthcxr\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in held.items()) for group, held in groups]
    (about / "entry_points.txt").write_text("\n".join(lines))
    (folder / "synthcxr").symlink_to(REPOSITORY / "synthcxr", target_is_directory=True)
    return folder


def run(program: str, *, at: Path, path: Path | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder `at` with `path` ahead of everything else that can be imported."""
    held = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_TRACKING"))}
    held |= {"PYTHONPATH": str(path)} if path else {}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=at,
        env=held | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def wheel(out: Path) -> Path:
    """The wheel of this source; hatchling builds it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def without_torch(folder: Path, built: Path) -> Path:
    """A virtual environment with the wheel `built`, its programs, and all that is installed here but torch."""
    venv.create(folder, symlinks=True, with_pip=False)
    (there,) = (folder / "lib").glob("python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.lower().startswith(LEFT_OUT):
            (there / entry.name).symlink_to(entry)
    with zipfile.ZipFile(built) as held:
        held.extractall(there)
    for name in PROGRAMS:
        program = folder / "bin" / name
        _, _, code = (Path(sys.executable).parent / name).read_text(encoding="utf-8").partition("\n")
        program.write_text(f"#!{folder}/bin/python\n{code}", encoding="utf-8")
        program.chmod(0o755)
    return folder

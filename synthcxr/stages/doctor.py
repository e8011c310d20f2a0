"""Look at this machine, this install and this folder: what works, and what to do about the rest."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

import synthcxr
from synthcxr.config import schema
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.evaluation.features import inception_weights
from synthcxr.model_files import model_folder
from synthcxr.networks import efficientnet_weights
from synthcxr.project import packaged_files
from synthcxr.registry import model_address, tracking_uri

PACKAGE = "synthcxr"
NEEDED_GB = 5
"""The default project takes under 1 GB, one at 1024 px with its checkpoints some 5."""
REMOTE_S = 60
_EMPTY = re.compile(r"does not exist: \S+$")  # DVC of a place that answers and holds nothing yet; else it says why
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")

State = Literal["OK", "note", "TO DO"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at: "OK", a "note" on what is not needed yet, or "TO DO"; what was found or is to be done."""

    name: str
    state: State
    sentence: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.name}: {self.sentence}"


def run(*, folder: Path) -> Iterator[Finding]:
    """Findings one after another, as each is known."""
    yield from _versions()
    yield _extras()
    yield from _providers()
    yield _disk(folder)
    yield _project(folder)
    yield _registry()
    yield _remote(folder)
    yield from _weights()


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    wanted = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    core = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [why for one in core if (why := _wrong(one))]
    if wrong:
        yield Finding("versions", "TO DO", f"{', '.join(wrong)}; pip install -c constraints.txt {PACKAGE}")
    else:
        yield Finding("versions", "OK", f"{PACKAGE} {synthcxr.__version__}, Python {python}, {len(core)} packages")
    both = [name for name in _RUNTIMES if _installed(name)]
    if len(both) > 1:
        yield Finding("onnxruntime", "TO DO", f"{' and '.join(both)} share one name; uninstall both, then install one")


def _wrong(wanted: Requirement) -> str:
    held = _installed(wanted.name)
    if held is None:
        return f"{wanted.name} is missing"
    return (
        "" if wanted.specifier.contains(held, prereleases=True) else f"{wanted.name} {held} is not {wanted.specifier}"
    )


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extras() -> Finding:
    """Which extras are whole: those that this install's metadata names, but the collections of others."""
    named = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    wanted = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    lacking = [extra for extra in named if extra not in {"all", "dev"} and _lacks(extra, wanted)]
    whole = [extra for extra in named if extra not in {"all", "dev", *lacking}]
    if lacking:
        todo = f"pip install '{PACKAGE}[{','.join(lacking)}]' where you want to use them"
        return Finding("extras", "note", f"{', '.join(whole) or 'none'} installed; {todo}")
    return Finding("extras", "OK", ", ".join(whole))


def _lacks(extra: str, wanted: list[Requirement]) -> bool:
    ours = [
        one for one in wanted if one.marker and "extra" in str(one.marker) and one.marker.evaluate({"extra": extra})
    ]
    return any(_wrong(one) for one in ours)


def _providers() -> Iterator[Finding]:
    """What onnxruntime really gives for the starter's generator, and whether there is a GPU that it does not use."""
    from synthcxr.synthesis.runtime import onnx_session

    starter = packaged_files.find(model_address.STARTER)
    if starter is None:
        yield Finding("provider", "note", "not tried: no model ships with this install")
        return
    try:
        got = onnx_session.Session.open(starter / "generator.onnx", kind="generator", threads=1).provider
    except ArtifactError as error:
        yield Finding("provider", "TO DO", f"{error}; install {PACKAGE} again")
        return
    yield Finding("provider", "OK", f"{got} by onnxruntime {onnx_session.VERSION}")
    driver = shutil.which("nvidia-smi")
    if got == onnx_session.CUDA:
        yield Finding("GPU", "OK", "used for generating")
    elif driver:
        yield Finding(
            "GPU",
            "TO DO",
            "a driver is here and onnxruntime does not use it; pip install 'onnxruntime-gpu[cuda,cudnn]'",
        )
    else:
        yield Finding("GPU", "note", "none; everything runs on the CPU, `nih-1024` wants one")


def _disk(folder: Path) -> Finding:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Finding("disk", "TO DO", f"{folder.absolute()} is not writable; work in another folder")
    if free_gb < NEEDED_GB:
        return Finding("disk", "TO DO", f"{free_gb:,.1f} GB are free; make room for {NEEDED_GB} GB")
    return Finding("disk", "OK", f"{free_gb:,.0f} GB are free")


def _project(folder: Path) -> Finding:
    params = folder / "params.yaml"
    if not params.is_file():
        return Finding("project", "note", "none here; `synthcxr init DIR --profile PROFILE` makes one")
    try:
        schema.load(params)
    except (ConfigError, DataError) as error:
        return Finding("project", "TO DO", f"{error}; `synthcxr init {folder} --upgrade` adds what a release added")
    if not (folder / "dvc.yaml").is_file():
        return Finding("project", "note", f"{params} is right; there is no dvc.yaml, run the stages by hand")
    return Finding("project", "OK", f"{params} is right")


def _registry() -> Finding:
    uri = tracking_uri.find()
    if uri is None:
        return Finding(
            "registry",
            "note",
            "none here; `dvc repro` or `synthcxr models add-starter` makes one, or set"
            f" {tracking_uri.VARIABLE} to a server's address",
        )
    from synthcxr.registry.client import Registry

    try:
        champion = Registry.open(uri).aliases(model_address.GENERATOR).get(model_address.CHAMPION)
    except ArtifactError as error:
        return Finding("registry", "TO DO", str(error))
    held = f"champion is version {champion}" if champion else "no champion yet"
    return Finding("registry", "OK", f"{tracking_uri.shown(uri)} answers, {held}")


def _remote(folder: Path) -> Finding:
    """Whether the default DVC remote answers: a folder by looking, another address by `dvc ls-url` in its own time."""
    name = _dvc(folder, "config", "core.remote").stdout.strip() if (folder / ".dvc").is_dir() else ""
    if not name:
        return Finding("remote", "note", "no DVC remote here; `dvc remote add --default NAME URL`, then `dvc push`")
    url = _dvc(folder, "config", f"remote.{name}.url").stdout.strip()
    if "://" not in url:
        place = (folder / ".dvc" / url).resolve()
        there = next(above for above in (place, *place.parents) if above.exists())
        if place.is_dir() and os.access(place, os.W_OK):
            return Finding("remote", "OK", f"{name} is there")
        if there == place.parent and os.access(there, os.W_OK):
            return Finding("remote", "OK", f"{name} can be made by the first `dvc push`")
        return Finding("remote", "TO DO", f"{place} cannot be written; mount it, or `dvc remote modify {name} url`")
    try:
        asked = _dvc(folder, "ls-url", f"remote://{name}/")
    except subprocess.TimeoutExpired:
        return Finding("remote", "TO DO", f"{name} gives no answer in {REMOTE_S} s; see to the network or its address")
    said = next(iter(asked.stderr.strip().splitlines()), "")
    if asked.returncode and not _EMPTY.search(said):
        return Finding("remote", "TO DO", f"{name} does not answer: {said[:200]}")
    return Finding("remote", "OK", f"{name} answers")


def _dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=REMOTE_S, check=False)


def _weights() -> Iterator[Finding]:
    starter = packaged_files.find(model_address.STARTER)
    try:
        if starter is not None:
            model_folder.verify(starter)
    except ArtifactError as error:
        yield Finding("starter", "TO DO", f"{error}; install {PACKAGE} again")
    else:
        what = "no models ship with this install" if starter is None else "its files are as they were made"
        yield Finding("starter", "note" if starter is None else "OK", what)
    for weights in (efficientnet_weights.LITE0, efficientnet_weights.LITE1):
        try:
            weights.find()
        except ArtifactError as error:
            named = os.environ.get(weights.variable)
            yield Finding(weights.name, "TO DO" if named else "note", str(error).removeprefix(f"{weights.name}: "))
        else:
            yield Finding(weights.name, "OK", "its weights have the right sha256")
    yield _inception()


def _inception() -> Finding:
    """The Inception, where it is; it is never fetched from here."""
    named = os.environ.get(inception_weights.VARIABLE)
    path = Path(named) if named else inception_weights.cached()
    if not named and not path.is_file():
        todo = f"set {inception_weights.VARIABLE} to a copy of {inception_weights.URL.rpartition('/')[2]}"
        return Finding("Inception", "note", f"not here, so that no distance is called FID; {todo}")
    try:
        inception_weights.find()
    except ArtifactError as error:
        return Finding("Inception", "TO DO", str(error))
    return Finding("Inception", "OK", "its file has the right sha256")

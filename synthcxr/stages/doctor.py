"""Check this machine, this installation and this folder, and say what to fix."""

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
from synthcxr.config.schema import load_config
from synthcxr.errors import ArtifactError, ConfigError, DataError, ExtensionError
from synthcxr.evaluation.declared_metrics import METRICS
from synthcxr.evaluation.features import inception_weights
from synthcxr.evaluation.features.extractors import FEATURE_EXTRACTORS
from synthcxr.model_files import model_folder
from synthcxr.model_files.model_folder import GENERATOR_FILE
from synthcxr.networks import efficientnet_weights
from synthcxr.project import extensions, packaged_files
from synthcxr.readers import READERS
from synthcxr.registry import model_address, tracking_uri
from synthcxr.storage import redaction
from synthcxr.writers.formats.store import FORMATS

PACKAGE = "synthcxr"
NEEDED_GB = 5
"""The default project takes less than 1 GB, a project at 1024 px with its checkpoints about 5 GB."""
REMOTE_TIMEOUT_S = 60
_EMPTY_REMOTE = re.compile(r"does not exist: \S+$")
"""The message of `dvc ls-url` for a remote that answers and is empty; for other failures it gives a reason."""
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_EXTRA_COLLECTIONS = {"all", "dev", "docs"}

State = Literal["OK", "note", "TO DO"]


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """The result of one check: "OK", a "note" on something that is not needed yet, or "TO DO"."""

    name: str
    state: State
    sentence: str

    def __post_init__(self) -> None:
        """Remove credentials, which the messages of other programs may repeat."""
        object.__setattr__(self, "sentence", redaction.redact_credentials(self.sentence))

    def __str__(self) -> str:
        return f"{self.state:<5} {self.name}: {self.sentence}"


def run(*, folder: Path) -> Iterator[Diagnostic]:
    """Yield the result of each check as soon as it is known."""
    yield from _check_versions()
    yield _check_extras()
    yield from _check_extensions()
    yield from _check_providers()
    yield _check_disk(folder)
    yield _check_project(folder)
    yield _check_registry()
    yield _check_remote(folder)
    yield _check_starter()
    for weight_file in (efficientnet_weights.LITE0, efficientnet_weights.LITE1):
        yield _check_efficientnet(weight_file)
    yield _check_inception()


def _check_versions() -> Iterator[Diagnostic]:
    python = ".".join(map(str, sys.version_info[:3]))
    requirements = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    core = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    problems = [problem for requirement in core if (problem := _describe_problem(requirement))]
    if problems:
        yield Diagnostic("versions", "TO DO", f"{', '.join(problems)}; run: pip install -c constraints.txt {PACKAGE}")
    else:
        yield Diagnostic("versions", "OK", f"{PACKAGE} {synthcxr.__version__}, Python {python}, {len(core)} packages")
    runtimes = [name for name in _RUNTIMES if _installed_version(name)]
    if len(runtimes) > 1:
        todo = f"{' and '.join(runtimes)} are both installed and overwrite each other; uninstall both, then install one"
        yield Diagnostic("onnxruntime", "TO DO", todo)


def _describe_problem(requirement: Requirement) -> str:
    """What is wrong with an installed package; empty if it meets the requirement."""
    version = _installed_version(requirement.name)
    if version is None:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} does not meet {requirement.specifier}"


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_extras() -> Diagnostic:
    """Which extras are complete, without those that only collect others."""
    extras = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    requirements = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    extras = [extra for extra in extras if extra not in _EXTRA_COLLECTIONS]
    incomplete = [extra for extra in extras if _is_incomplete(extra, requirements)]
    complete = [extra for extra in extras if extra not in incomplete]
    if incomplete:
        todo = f"to add the others, run: pip install '{PACKAGE}[{','.join(incomplete)}]'"
        return Diagnostic("extras", "note", f"{', '.join(complete) or 'none'} installed; {todo}")
    return Diagnostic("extras", "OK", ", ".join(complete))


def _check_extensions() -> Iterator[Diagnostic]:
    """Each package that extends synthcxr, and whether its extensions can be used."""
    for registry in (READERS, FORMATS, FEATURE_EXTRACTORS, METRICS):
        try:
            entry_points = extensions.find_entry_points(registry.group)
        except ExtensionError as error:
            yield Diagnostic("extensions", "TO DO", str(error))
            continue
        for name, entry_point in entry_points.items():
            try:
                registry.load(name)
            except ExtensionError as error:
                yield Diagnostic("extensions", "TO DO", str(error))
            else:
                noun, package = extensions.GROUPS[registry.group], extensions.describe_package(entry_point)
                yield Diagnostic("extensions", "OK", f"{noun} {name} of {package}")


def _is_incomplete(extra: str, requirements: list[Requirement]) -> bool:
    of_extra = [
        requirement
        for requirement in requirements
        if (marker := requirement.marker) and "extra" in str(marker) and marker.evaluate({"extra": extra})
    ]
    return any(_describe_problem(requirement) for requirement in of_extra)


def _check_providers() -> Iterator[Diagnostic]:
    """The ONNX provider that the starter model gets, and whether there is a GPU that is not used."""
    from synthcxr.synthesis.runtime import onnx_session

    starter = packaged_files.find(model_address.STARTER)
    if starter is None:
        yield Diagnostic("provider", "note", "not tested: no model ships with this installation")
        return
    try:
        provider = onnx_session.Session.open(starter / GENERATOR_FILE, kind="generator", threads=1).provider
    except ArtifactError as error:
        yield Diagnostic("provider", "TO DO", f"{error}; reinstall {PACKAGE}")
        return
    yield Diagnostic("provider", "OK", f"{provider}, onnxruntime {onnx_session.VERSION}")
    if provider == onnx_session.CUDA:
        yield Diagnostic("GPU", "OK", "used for generation")
    elif shutil.which("nvidia-smi"):
        todo = "onnxruntime does not use the NVIDIA GPU of this machine; run: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        yield Diagnostic("GPU", "TO DO", todo)
    else:
        yield Diagnostic("GPU", "note", "none; everything runs on the CPU, but profile nih-1024 needs a GPU")


def _check_disk(folder: Path) -> Diagnostic:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Diagnostic("disk", "TO DO", f"{folder.absolute()} is not writable; work in another folder")
    if free_gb < NEEDED_GB:
        return Diagnostic("disk", "TO DO", f"{free_gb:,.1f} GB free; make room for {NEEDED_GB} GB")
    return Diagnostic("disk", "OK", f"{free_gb:,.0f} GB free")


def _check_project(folder: Path) -> Diagnostic:
    params = folder / "params.yaml"
    if not params.is_file():
        return Diagnostic("project", "note", "none here; to start one, run `synthcxr init DIR --profile PROFILE`")
    try:
        load_config(params)
    except (ConfigError, DataError) as error:
        todo = f"{error}; `synthcxr init {folder} --upgrade` lists what the installed version changes"
        return Diagnostic("project", "TO DO", todo)
    if not (folder / "dvc.yaml").is_file():
        return Diagnostic("project", "note", f"{params} is valid; there is no dvc.yaml, so run the stages one by one")
    return Diagnostic("project", "OK", f"{params} is valid")


def _check_registry() -> Diagnostic:
    uri = tracking_uri.find()
    if uri is None:
        return Diagnostic(
            "registry",
            "note",
            "none here; create one with `dvc repro` or `synthcxr models add-starter`, or set"
            f" {tracking_uri.URI_VARIABLE} to the address of a server",
        )
    from synthcxr.registry.client import Registry

    try:
        champion = Registry.open(uri).get_aliases(model_address.GENERATOR_MODEL).get(model_address.CHAMPION)
    except ArtifactError as error:
        return Diagnostic("registry", "TO DO", str(error))
    role = f"the champion is version {champion}" if champion else "there is no champion yet"
    return Diagnostic("registry", "OK", f"connected to {tracking_uri.redact(uri)}; {role}")


def _check_remote(folder: Path) -> Diagnostic:
    """Whether the default DVC remote works: a folder is checked directly, any other address with `dvc ls-url`."""
    name = _run_dvc(folder, "config", "core.remote").stdout.strip() if (folder / ".dvc").is_dir() else ""
    if not name:
        return Diagnostic("remote", "note", "no DVC remote; to share data, run `dvc remote add --default NAME URL`")
    url = _run_dvc(folder, "config", f"remote.{name}.url").stdout.strip()
    if "://" not in url:
        return _check_remote_folder(name, (folder / ".dvc" / url).resolve())
    try:
        listing = _run_dvc(folder, "ls-url", f"remote://{name}/")
    except subprocess.TimeoutExpired:
        todo = f"{name} did not respond within {REMOTE_TIMEOUT_S} s; check the network and the address"
        return Diagnostic("remote", "TO DO", todo)
    message = next(iter(listing.stderr.strip().splitlines()), "")
    if listing.returncode and not _EMPTY_REMOTE.search(message):
        return Diagnostic("remote", "TO DO", f"cannot connect to {name}: {message[:200]}")
    return Diagnostic("remote", "OK", f"connected to {name}")


def _check_remote_folder(name: str, path: Path) -> Diagnostic:
    nearest = next(ancestor for ancestor in (path, *path.parents) if ancestor.exists())
    if path.is_dir() and os.access(path, os.W_OK):
        return Diagnostic("remote", "OK", f"{name} exists")
    if nearest == path.parent and os.access(nearest, os.W_OK):
        return Diagnostic("remote", "OK", f"{name} does not exist yet; the first `dvc push` creates it")
    return Diagnostic("remote", "TO DO", f"cannot write to {path}; mount it, or run `dvc remote modify {name} url`")


def _run_dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=REMOTE_TIMEOUT_S, check=False)


def _check_starter() -> Diagnostic:
    starter = packaged_files.find(model_address.STARTER)
    if starter is None:
        return Diagnostic("starter", "note", "no models ship with this installation")
    try:
        model_folder.verify_files(starter)
    except ArtifactError as error:
        return Diagnostic("starter", "TO DO", f"{error}; reinstall {PACKAGE}")
    return Diagnostic("starter", "OK", "all files have the right sha256")


def _check_efficientnet(weight_file: efficientnet_weights.WeightFile) -> Diagnostic:
    try:
        weight_file.find()
    except ArtifactError as error:
        state: State = "TO DO" if os.environ.get(weight_file.variable) else "note"
        return Diagnostic(weight_file.name, state, str(error).removeprefix(f"{weight_file.name}: "))
    return Diagnostic(weight_file.name, "OK", "the weights have the right sha256")


def _check_inception() -> Diagnostic:
    """The Inception weights, if they are on this machine; they are never downloaded here."""
    variable = inception_weights.VARIABLE
    path = Path(os.environ.get(variable) or inception_weights.cached_path())
    if not os.environ.get(variable) and not path.is_file():
        file_name = inception_weights.URL.rpartition("/")[2]
        todo = f"the weights for FID are not on this machine; set {variable} to a copy of {file_name}"
        return Diagnostic("Inception", "note", todo)
    try:
        inception_weights.find_weights()
    except ArtifactError as error:
        return Diagnostic("Inception", "TO DO", str(error))
    return Diagnostic("Inception", "OK", "the file has the right sha256")

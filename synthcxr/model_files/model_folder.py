"""The files of a model folder, and model.json, its index: the sha256 of each file and the attribution of the films."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict

from synthcxr.config import parsing
from synthcxr.config.bounds import Count, CountOrZero, Side, Width
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.leakage import REFERENCE_FILE
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.storage import digests, guarded_files

INDEX_FILE = "model.json"
GENERATOR_FILE, CLASSIFIER_FILE, JUDGE_FILE = "generator.onnx", "classifier.onnx", "judge.onnx"
ONNX_FILES = (GENERATOR_FILE, CLASSIFIER_FILE, JUDGE_FILE)
PROPOSAL_FILE, PROPOSAL_REPORT_FILE = "proposal.onnx", "proposal.json"
PROPOSAL_FILES = (PROPOSAL_FILE, PROPOSAL_REPORT_FILE)
"""The files that `distill` adds to an export; a folder may lack them."""
_ADVICE = "export or pull the models again"


class FileEntry(TypedDict):
    """What model.json says of one file."""

    sha256: str
    kind: NotRequired[str]
    digest: NotRequired[str]


class ModelIndex(TypedDict):
    """model.json."""

    files: dict[str, FileEntry]
    training_data: NotRequired[str]
    phantom: NotRequired[bool]
    attribution: NotRequired[list[str]]
    resolution: NotRequired[Side]
    latent: NotRequired[Width]
    condition: NotRequired[list[str]]
    versions: NotRequired[dict[str, str]]


class _FindingRate(TypedDict):
    """How many random candidates show a finding."""

    n_shown: CountOrZero
    runs_an_image: NotRequired[float | None]


class _ProposalRates(TypedDict):
    """What is read of proposal.json."""

    digest: str
    n_held: Count
    findings: dict[str, _FindingRate]


def read_index(folder: Path) -> ModelIndex:
    """Read model.json; ArtifactError if it is absent or is not an index."""
    return parsing.read_json(ModelIndex, folder / INDEX_FILE, error=ArtifactError, advice=_ADVICE)


def read_complete_index(folder: Path) -> ModelIndex:
    """Read the model.json of exported models; ArtifactError also if it does not describe their films and sizes."""
    index = read_index(folder)
    missing = [key for key in ("training_data", "phantom", "resolution", "latent") if key not in index]
    if missing:
        raise ArtifactError(f"{folder / INDEX_FILE}: lacks {', '.join(missing)}; {_ADVICE}")
    return index


def read_finding_rates(folder: Path, proposal_digest: str) -> dict[str, tuple[int, int]]:
    """How many of how many random candidates show each finding, from the proposal.json of the proposal with the digest.

    Empty if the folder has none, or that of another proposal.
    """
    report = _read_report(folder, proposal_digest)
    if report is None:
        return {}
    return {finding: (row["n_shown"], report["n_held"]) for finding, row in report["findings"].items()}


def _read_report(folder: Path, proposal_digest: str) -> _ProposalRates | None:
    """Read proposal.json; None if it is absent or belongs to another proposal network."""
    path = folder / PROPOSAL_REPORT_FILE
    if not path.is_file():
        return None
    report = parsing.read_json(_ProposalRates, path, error=ArtifactError, advice="run `synthcxr distill` again")
    return report if report["digest"] == proposal_digest else None


def read_runs_per_image(folder: Path, method: str, min_effective_share: float) -> dict[str, float]:
    """How many generator runs an image with one requested finding takes with a method, as `distill` measured.

    With method reject this is the inverse of the finding's rate. Findings that were not seen are left out. Empty for
    other methods than guided and reject, without the proposal network of the generator and classifier in `folder`, and
    for guides with another limit than `min_effective_share`.
    """
    if method not in ("guided", "reject") or not (folder / PROPOSAL_FILE).is_file():
        return {}
    proposal = onnx_metadata.read(folder / PROPOSAL_FILE, kind="proposal")
    sources = {"generator": GENERATOR_FILE, "classifier": CLASSIFIER_FILE}
    if any(proposal.network.get(kind) != onnx_metadata.read(folder / name).digest for kind, name in sources.items()):
        return {}
    if method == "reject":
        rates = read_finding_rates(folder, proposal.digest)
        return {finding: n / n_shown for finding, (n_shown, n) in rates.items() if n_shown}
    report = _read_report(folder, proposal.digest)
    if report is None or report.get("min_effective_share", 0.0) != min_effective_share:
        return {}
    runs = {finding: row.get("runs_an_image") for finding, row in report["findings"].items()}
    return {finding: value for finding, value in runs.items() if value}


def read_attribution(folder: Path) -> tuple[str, ...]:
    """Read the attributions that the sources of the training films require; empty for a folder without an index."""
    if not (folder / INDEX_FILE).is_file():
        return ()
    return tuple(read_index(folder).get("attribution", ()))


def read_condition_table(folder: Path, generator: ModelMetadata) -> ConditionTable | None:
    """Read the table from which candidates of a conditional generator draw their conditions; None for another one.

    ArtifactError if reference.npz is absent or has the table of another model.
    """
    return ConditionTable.read(folder / REFERENCE_FILE, generator.condition) if generator.condition else None


def verify_files(folder: Path) -> None:
    """Check the sha256 of every file in the index; ArtifactError for the first that is absent or differs."""
    for name, entry in sorted(read_index(folder)["files"].items()):
        path = folder / name
        if Path(name).name != name or name in ("", "..") or "\\" in name:
            raise ArtifactError(f"{folder / INDEX_FILE}: {name!r} is not a file name; {_ADVICE}")
        if not guarded_files.is_file(path):
            raise ArtifactError(f"{path}: is listed in {INDEX_FILE} but absent; {_ADVICE}")
        if digests.sha256_file(path) != entry["sha256"]:
            raise ArtifactError(f"{path}: its sha256 differs from {INDEX_FILE}; {_ADVICE}")

"""From a generated image back to what made it: `synthcxr models lineage data/synthetic/metadata.csv:17`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from synthcxr.data import image_reader, records
from synthcxr.errors import DataError
from synthcxr.registry import client, tracking_uri
from synthcxr.registry.model_address import GENERATOR
from synthcxr.storage import digests

_FILMS = "synthcxr.training_data"
_COMMIT = "mlflow.source.git.commit"


@dataclasses.dataclass(frozen=True)
class Made:
    """What made the generator: its version, run, films' fingerprint, code revision and parameters."""

    version: str
    run_id: str
    training_data: str
    git_revision: str
    dvc: dict[str, str]
    params: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Lineage:
    """One image, the run.json of its dataset, and its generator; `made` is None where no registry here knows it."""

    image: dict[str, Any]
    dataset: dict[str, Any]
    model: dict[str, Any]
    made: Made | None
    note: str


def run(address: str) -> Lineage:
    """Trace the image on a line of metadata.csv, as an editor counts them: the header is line 1."""
    path, row = _row(address)
    about = records.read_run(path.parent)
    try:
        model, digest = dict(about["model"]), str(about["model"]["digests"]["generator"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path.parent / records.RUN}: not the run.json of a dataset ({error!r})") from error
    (data,) = image_reader.read_all(path.parent, [row["file_name"]])
    if digests.sha256_bytes(data) != row["sha256"]:
        raise DataError(f"{path.parent / row['file_name']}: is not the image that was generated: its sha256 differs")
    made, note = _made(digest)
    dataset = {key: about.get(key) for key in ("command", "git_revision", "git_dirty", "dvc", "versions", "provider")}
    shown = {key: model.get(key) for key in ("name", "digests", "training_data", "phantom")}
    return Lineage(row, dataset, shown, made, note)


def lines(found: Lineage) -> list[str]:
    """The same for a reader."""
    image, dataset, model = found.image, found.dataset, found.model
    told = [
        f"image: {image['file_name']}, candidate {image['index']} of seed {image['seed']}, {image['Finding Labels']}",
        f"dataset: {' '.join(map(str, dataset['command'] or ()))} (git {dataset['git_revision'] or 'unknown'})",
        f"model: {model['name']}, digest {model['digests']['generator']}",
        f"films: {model['training_data']}{' (drawn phantoms)' if model['phantom'] else ''}",
    ]
    if found.made is None:
        return [*told, found.note]
    made = found.made
    return [
        *told,
        f"registered: models:/{GENERATOR}/{made.version}, run {made.run_id}",
        f"code: git {made.git_revision or 'unknown'}",
        *(f"{name}: {value}" for name, value in sorted(made.dvc.items())),
        *(f"  {name}: {value}" for name, value in sorted(made.params.items())),
    ]


def _row(address: str) -> tuple[Path, dict[str, Any]]:
    name, _, number = address.rpartition(":")
    if not name or not number.isdigit():
        raise DataError(f"{address}: give a manifest and a line of it, such as data/synthetic/metadata.csv:17")
    path = Path(name)
    table = records.read_metadata(path.parent if path.name == records.METADATA else path)
    if not 2 <= int(number) <= len(table) + 1:
        raise DataError(f"{address}: its images stand on lines 2 to {len(table) + 1}")
    path = path if path.name == records.METADATA else path / records.METADATA
    held = table.iloc[int(number) - 2]
    return path, {
        name: held[name].item() if hasattr(held[name], "item") else held[name] for name in records.RECORD_COLUMNS
    }


def _made(digest: str) -> tuple[Made | None, str]:
    """The newest version of this generator, or None and why there is none."""
    uri = tracking_uri.find()
    if uri is None:
        return (
            None,
            f"no registry here: {tracking_uri.EMBEDDED} or {tracking_uri.VARIABLE} would say what made the model",
        )
    registry = client.Registry.open(uri)
    for version in registry.versions():
        if version.name == GENERATOR and version.tags.get(client.DIGEST_TAG) == digest:
            tags, params = registry.run_record(version.run_id)
            dvc = {name: value for name, value in tags.items() if name.startswith("DVC_")}
            films = version.tags.get(_FILMS, "")
            return Made(version.version, version.run_id, films, tags.get(_COMMIT, ""), dvc, params), ""
    return (
        None,
        f"{tracking_uri.shown(uri)}: no version of {GENERATOR} has this digest; the model was registered elsewhere",
    )

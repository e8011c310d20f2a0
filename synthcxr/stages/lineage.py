"""Trace a generated image to what made it: `synthcxr models lineage data/synthetic/metadata.csv:17`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from synthcxr.data import image_reader
from synthcxr.data.synthetic_dataset import METADATA_COLUMNS, METADATA_FILE, RUN_FILE, read_metadata, read_run
from synthcxr.errors import DataError
from synthcxr.registry import client, tracking_uri
from synthcxr.registry.model_address import GENERATOR_MODEL
from synthcxr.storage import digests

_COMMIT_TAG = "mlflow.source.git.commit"
_JSON_KEYS = {"origin": "made"}  # where they differ from the field's name


@dataclasses.dataclass(frozen=True)
class ModelOrigin:
    """What made the generator: its version, run, fingerprint of films, code revision and parameters."""

    version: str
    run_id: str
    training_data: str
    git_revision: str
    dvc: dict[str, str]
    params: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Lineage:
    """One image, the run.json of its dataset and its model; `origin` is None if no registry here has that model."""

    image: dict[str, Any]
    dataset: dict[str, Any]
    model: dict[str, Any]
    origin: ModelOrigin | None
    note: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that `--json` prints."""
        return {_JSON_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}


def run(address: str) -> Lineage:
    """Trace the image on a line of metadata.csv; the header is line 1, as in an editor."""
    path, row = _read_row(address)
    run_json = read_run(path.parent)
    try:
        model, digest = dict(run_json["model"]), str(run_json["model"]["digests"]["generator"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path.parent / RUN_FILE}: not the run.json of a dataset ({error!r})") from error
    (image,) = image_reader.read_all(path.parent, [row["file_name"]])
    if digests.sha256_bytes(image) != row["sha256"]:
        raise DataError(f"{path.parent / row['file_name']}: not the image that was generated: its sha256 differs")
    origin, note = _find_origin(digest)
    dataset_keys = ("command", "git_revision", "git_dirty", "dvc", "versions", "provider")
    model_keys = ("name", "digests", "training_data", "phantom")
    return Lineage(
        image=row,
        dataset={key: run_json.get(key) for key in dataset_keys},
        model={key: model.get(key) for key in model_keys},
        origin=origin,
        note=note,
    )


def format_lines(lineage: Lineage) -> list[str]:
    """The lineage as text."""
    image, dataset, model, origin = lineage.image, lineage.dataset, lineage.model, lineage.origin
    text = [
        f"image: {image['file_name']}, candidate {image['index']} of seed {image['seed']}, {image['Finding Labels']}",
        f"dataset: {' '.join(map(str, dataset['command'] or ()))} (git {dataset['git_revision'] or 'unknown'})",
        f"model: {model['name']}, digest {model['digests']['generator']}",
        f"films: {model['training_data']}{' (drawn phantoms)' if model['phantom'] else ''}",
    ]
    if origin is None:
        return [*text, lineage.note]
    return [
        *text,
        f"registered: models:/{GENERATOR_MODEL}/{origin.version}, run {origin.run_id}",
        f"code: git {origin.git_revision or 'unknown'}",
        *(f"{name}: {value}" for name, value in sorted(origin.dvc.items())),
        *(f"  {name}: {value}" for name, value in sorted(origin.params.items())),
    ]


def _read_row(address: str) -> tuple[Path, dict[str, Any]]:
    """The path of metadata.csv and one of its rows."""
    name, _, number = address.rpartition(":")
    if not name or not number.isdigit():
        raise DataError(
            f"{address}: give metadata.csv and the line of an image, such as data/synthetic/metadata.csv:17"
        )
    path = Path(name)
    dataset = path.parent if path.name == METADATA_FILE else path
    table = read_metadata(dataset)
    if not 2 <= int(number) <= len(table) + 1:
        raise DataError(f"{address}: the images are on lines 2 to {len(table) + 1}")
    row = table.iloc[int(number) - 2]
    return dataset / METADATA_FILE, {
        name: row[name].item() if hasattr(row[name], "item") else row[name] for name in METADATA_COLUMNS
    }


def _find_origin(digest: str) -> tuple[ModelOrigin | None, str]:
    """The newest registered version of this generator, or None and the reason."""
    uri = tracking_uri.find()
    if uri is None:
        return (
            None,
            f"no registry here: to see what made the model, run this where {tracking_uri.EMBEDDED_DATABASE} is, or set"
            f" {tracking_uri.URI_VARIABLE}",
        )
    registry = client.Registry.open(uri)
    for version in registry.list_versions():
        if version.name == GENERATOR_MODEL and version.tags.get(client.DIGEST_TAG) == digest:
            tags, params = registry.get_run_tags_and_params(version.run_id)
            dvc = {name: value for name, value in tags.items() if name.startswith("DVC_")}
            films = version.tags.get(client.TRAINING_DATA_TAG, "")
            return ModelOrigin(version.version, version.run_id, films, tags.get(_COMMIT_TAG, ""), dvc, params), ""
    return (
        None,
        f"{tracking_uri.redact(uri)}: no version of {GENERATOR_MODEL} has this digest; look in another registry",
    )

"""Register the starter models, which ship with synthcxr: `synthcxr models add-starter`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images, random_streams
from synthcxr.data.condition_table import draw_conditions
from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.model_files.model_folder import GENERATOR_FILE
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.project import packaged_files, revision
from synthcxr.registry import client, model_card, promotion, publish, run_metrics, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR_MODEL, STARTER
from synthcxr.storage import clean_up, guarded_files, write_errors
from synthcxr.synthesis.runtime.onnx_session import Session

WHY = "the starter that ships with synthcxr"


@write_errors.report_full_disk(tracking_uri.EMBEDDED_DATABASE.parent)
def run(experiment: str) -> publish.PublishedRun:
    """Register the starter as candidate, and as champion if there is none; ArtifactError if the install has none."""
    starter = packaged_files.find(STARTER)
    if starter is None:
        raise ArtifactError("this install contains no starter; install a released wheel of synthcxr")
    model_folder.verify_files(starter)
    index = model_folder.read_complete_index(starter)
    example = _generate_example(starter)
    with clean_up.temporary_folder("synthcxr-starter-") as scratch:
        folder = shutil.copytree(starter, scratch / "generator" / client.MODEL_FOLDER)
        to_publish = [_build_model("generator", starter, folder, example)]
        for kind in promotion.COMPANIONS:
            folder = publish.build_model_folder(
                scratch / kind,
                index=index,
                files={f"{kind}.onnx": starter / f"{kind}.onnx"},
                card=guarded_files.read_text(starter / model_card.companion_card_file(kind), error=ArtifactError),
            )
            to_publish.append(_build_model(kind, starter, folder, example))
        contents = run_metrics.RunContents(
            params={},
            points=(),
            tags=revision.build_run_tags(),
            files={starter / model_card.CARD_FILE: ""},
            training_data=str(index["training_data"]),
        )
        published = publish.publish(to_publish, contents, experiment=experiment, why=WHY)
    registry = client.Registry.open(tracking_uri.find() or tracking_uri.embedded_uri())
    if CHAMPION not in registry.get_aliases(GENERATOR_MODEL):
        promotion.promote(registry, published.versions[GENERATOR_MODEL], reason=WHY)
    return published


def _build_model(kind: Kind, starter: Path, folder: Path, example: NDArray[np.uint8]) -> publish.ModelToPublish:
    metadata = onnx_metadata.read(starter / f"{kind}.onnx", kind=kind)
    tags = {
        client.TRAINING_DATA_TAG: metadata.training_data,
        client.PHANTOM_TAG: str(metadata.phantom).lower(),
        client.RESOLUTION_TAG: str(metadata.resolution),
        client.DIGEST_TAG: metadata.digest,
    }
    return publish.ModelToPublish(kind, folder, model_card.summarize(metadata), tags, example)


def _generate_example(starter: Path) -> NDArray[np.uint8]:
    """Return one synthetic image, uint8 [R, R]."""
    session = Session.open(starter / GENERATOR_FILE, kind="generator", device="cpu")
    latents = random_streams.draw_latents(0, 0, 1, session.metadata.latent)
    table = model_folder.read_condition_table(starter, session.metadata)
    condition = None if table is None else draw_conditions(table, 0, [0])
    generated = session.run(latents, condition)["image"]
    image: NDArray[np.uint8] = images.to_uint8(generated)[0]
    return image

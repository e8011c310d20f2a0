"""Offer the models that ship to a registry: `synthcxr models add-starter`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images, random_streams
from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.project import packaged_files, revision
from synthcxr.registry import client, model_bundle, model_card, promotion, publish, run_metrics, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR, STARTER
from synthcxr.synthesis.runtime.onnx_session import Session

WHY = "the starter that ships with synthcxr"
_LABELLERS: tuple[Kind, ...] = ("classifier", "judge")


def add(experiment: str) -> publish.Published:
    """Register the starter here as a candidate, and as champion where there is none; ArtifactError without one."""
    starter = packaged_files.find(STARTER)
    if starter is None:
        raise ArtifactError("no starter ships with this install; install a released wheel of synthcxr")
    model_folder.verify(starter)
    index = model_folder.read(starter)
    example = _example(starter)
    with tempfile.TemporaryDirectory(prefix="synthcxr-starter-") as scratch:
        whole = shutil.copytree(starter, Path(scratch) / "generator" / model_bundle.FOLDER)
        made = [_model("generator", starter, whole, example)]
        for kind in _LABELLERS:
            folder = model_bundle.build(
                Path(scratch) / kind,
                index=index,
                files={f"{kind}.onnx": starter / f"{kind}.onnx"},
                card=(starter / model_bundle.card_of(kind)).read_text(encoding="utf-8"),
            )
            made.append(_model(kind, starter, folder, example))
        held = run_metrics.Evidence(
            params={},
            points=(),
            tags=revision.tags(),
            files={starter / model_bundle.CARD: ""},
            training_data=str(index["training_data"]),
        )
        published = publish.publish(made, held, experiment=experiment, why=WHY)
    registry = client.Registry.open(tracking_uri.find() or tracking_uri.embedded())
    if CHAMPION not in registry.aliases(GENERATOR):
        promotion.promote(registry, published.versions[GENERATOR], reason=WHY)
    return published


def _model(kind: Kind, starter: Path, folder: Path, example: NDArray[np.uint8]) -> publish.Model:
    held = onnx_metadata.read(starter / f"{kind}.onnx", kind=kind)
    tags = {
        "synthcxr.training_data": held.training_data,
        client.PHANTOM_TAG: str(held.phantom).lower(),
        "synthcxr.resolution": str(held.resolution),
        client.DIGEST_TAG: held.digest,
    }
    return publish.Model(kind, folder, model_card.summary(held), tags, example)


def _example(starter: Path) -> NDArray[np.uint8]:
    """One synthetic image, uint8 [R, R]."""
    session = Session.open(starter / "generator.onnx", kind="generator", device="cpu")
    latent = int(model_folder.read(starter)["latent"])
    made = session.run(random_streams.latents(0, 0, 1, latent))["image"]
    first: NDArray[np.uint8] = images.to_uint8(made)[0]
    return first

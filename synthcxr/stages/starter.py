"""Offer the models that ship to a registry: `synthcxr models add-starter`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcxr import bundled, contract, images, lineage, model_index, seeds
from synthcxr.contract import Kind
from synthcxr.errors import ArtifactError
from synthcxr.registry import bundle, card, evidence, fetch, location, promotion, publish
from synthcxr.registry.address import CHAMPION, GENERATOR, STARTER
from synthcxr.synthesis.session import Session

WHY = "the starter that ships with synthcxr"
_LABELLERS: tuple[Kind, ...] = ("classifier", "judge")


def add(experiment: str) -> publish.Published:
    """Register the starter here as a candidate, and as champion where there is none; ArtifactError without one."""
    starter = bundled.find(STARTER)
    if starter is None:
        raise ArtifactError("no starter ships with this install; install a released wheel of synthcxr")
    model_index.verify(starter)
    index = model_index.read(starter)
    example = _example(starter)
    with tempfile.TemporaryDirectory(prefix="synthcxr-starter-") as scratch:
        whole = shutil.copytree(starter, Path(scratch) / "generator" / bundle.FOLDER)
        made = [_model("generator", starter, whole, example)]
        for kind in _LABELLERS:
            folder = bundle.build(
                Path(scratch) / kind,
                index=index,
                files={f"{kind}.onnx": starter / f"{kind}.onnx"},
                card=(starter / bundle.card_of(kind)).read_text(encoding="utf-8"),
            )
            made.append(_model(kind, starter, folder, example))
        held = evidence.Evidence(
            params={},
            points=(),
            tags=lineage.tags(),
            files={starter / bundle.CARD: ""},
            training_data=str(index["training_data"]),
        )
        published = publish.publish(made, held, experiment=experiment, why=WHY)
    registry = fetch.Registry.open(location.find() or location.embedded())
    if CHAMPION not in registry.aliases(GENERATOR):
        promotion.promote(registry, published.versions[GENERATOR], reason=WHY)
    return published


def _model(kind: Kind, starter: Path, folder: Path, example: NDArray[np.uint8]) -> publish.Model:
    held = contract.read(starter / f"{kind}.onnx", kind=kind)
    tags = {
        "synthcxr.training_data": held.training_data,
        fetch.PHANTOM_TAG: str(held.phantom).lower(),
        "synthcxr.resolution": str(held.resolution),
        fetch.DIGEST_TAG: held.digest,
    }
    return publish.Model(kind, folder, card.summary(held), tags, example)


def _example(starter: Path) -> NDArray[np.uint8]:
    """One synthetic image, uint8 [R, R]."""
    session = Session.open(starter / "generator.onnx", kind="generator", device="cpu")
    latent = int(model_index.read(starter)["latent"])
    made = session.run(seeds.latents(0, 0, 1, latent))["image"]
    first: NDArray[np.uint8] = images.to_uint8(made)[0]
    return first

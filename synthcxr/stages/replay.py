"""One image of a dataset again, from its row and the models: the same bytes, or what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthcxr.config.schema import Device
from synthcxr.data import records
from synthcxr.errors import ArtifactError, DataError
from synthcxr.storage import atomic, digests
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.runtime import onnx_session
from synthcxr.synthesis.sampling.latent_optimisation import Differentiate
from synthcxr.synthesis.sampling.strategy import Chooser
from synthcxr.writers import generation_request as requests
from synthcxr.writers.formats import stores
from synthcxr.writers.generation_request import WINDOW, Part, Request
from synthcxr.writers.sidecars import run_json as run_file


def run(*, dataset: Path, index: int, model: Path, out: Path) -> str:
    """Write the image of candidate `index` to `out` and return its sha256.

    ArtifactError where the model is not the dataset's; DataError where the dataset has no such image, or where the
    bytes are others, with the versions that differ.
    """
    request = requests.of_run(records.read_run(dataset), dataset)
    table = records.read_metadata(dataset)
    rows = table[table["index"] == index]
    if rows.empty:
        raise DataError(f"{dataset}: has no image of candidate {index}; the column index of metadata.csv lists them")
    chooser = _open(request, model)
    made = _file(chooser, request, index)
    sha256, wanted = digests.sha256_bytes(made), str(rows["sha256"].iloc[0])
    if sha256 != wanted:
        raise DataError(f"{dataset}: candidate {index} has other bytes here ({_why(chooser, request)})")
    with atomic.file(out) as file:
        file.write(made)
    return sha256


def _open(request: Request, model: Path) -> Chooser:
    device: Device = "cuda" if request.pins.get("provider") == onnx_session.CUDA else "cpu"
    settings: dict[str, Any] = {"batch": request.batch, "device": device, "threads": request.threads}
    chooser = Chooser.open(model, method=request.method, gradient=_gradient, **settings)
    held = chooser.digests()
    for kind, digest in request.models.items():
        if kind in held and held[kind] != digest:
            raise ArtifactError(f"{model}: another {kind} than the dataset's, {held[kind][:12]} and not {digest[:12]}")
    return chooser


def _file(chooser: Chooser, request: Request, index: int) -> bytes:
    """The image's file in the dataset's format."""
    store = stores.opened(request.format, Path(), generator=request.models["generator"])
    at = index // WINDOW
    part = request.parts[at] if request.parts else Part(request.labels, request.without, request.n)
    draw = chooser.draw(Wanted(part.labels, part.without))
    for drawn in draw(seed=request.seed, start=index, stop=index + 1):
        if len(drawn.indices):
            (record,) = chooser.records(drawn, seed=request.seed, requested=part.labels)
            return store.encode(drawn.pixels[0], record)
    raise DataError(f"candidate {index} is not accepted here ({_why(chooser, request)})")


def _why(chooser: Chooser, request: Request) -> str:
    """What differs between then and now, of all that pixels may depend on."""
    now = run_file.pins(**chooser.sampler.generator.pins()) | stores.pins(request.format)
    other = [f"{name} {now[name]}, not {request.pins[name]}" for name in now if request.pins.get(name) != now[name]]
    return "; ".join(other) or "same models, versions and threads: another machine, or the row was changed"


def _gradient(generator: Path, classifier: Path, threads: int) -> Differentiate:
    from synthcxr.networks import latent_gradient  # needs torch, which nothing else here does

    return latent_gradient.logits_of_latents(generator, classifier, threads)

"""Generate one image of a dataset again, from its row and the models, and check that its bytes are the same."""

from __future__ import annotations

from pathlib import Path

from synthcxr.config.schema import Device
from synthcxr.data.synthetic_dataset import iterate_image_records, read_run
from synthcxr.errors import ArtifactError, DataError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, GENERATOR_FILE, PROPOSAL_FILE
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.storage import atomic, digests, output_lock
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import CUDA
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.writers.formats.store import open_store
from synthcxr.writers.generation_request import GenerationRequest, collect_pins

_FILES_BY_KIND: dict[Kind, str] = {
    "generator": GENERATOR_FILE,
    "classifier": CLASSIFIER_FILE,
    "proposal": PROPOSAL_FILE,
}
_ADVICE = "use --model to name the dataset's model"


@output_lock.writes_file()
def run(*, dataset: Path, index: int, model: Path, out: Path) -> str:
    """Write the image of candidate `index` to `out` and return its sha256.

    ArtifactError if the model is not that of the dataset. DataError if the dataset has no such image, or if the bytes
    differ; the message names the versions that differ.
    """
    request = GenerationRequest.from_run(read_run(dataset), dataset)
    record = next((record for record in iterate_image_records(dataset) if record.index == index), None)
    if record is None:
        raise DataError(f"{dataset}: has no image of candidate {index}; see the column index of metadata.csv")
    _refuse_other_models(request, model)
    strategy = _open_strategy(request, model)
    image_file = _generate_file(strategy, request, index)
    sha256 = digests.sha256_bytes(image_file)
    if sha256 != record.sha256:
        raise DataError(
            f"{dataset}: candidate {index} has other bytes on this machine ({_explain_difference(strategy, request)})"
        )
    with atomic.open_file(out) as file:
        file.write(image_file)
    return sha256


def _refuse_other_models(request: GenerationRequest, model: Path) -> None:
    """Compare the digests of the model files before they are opened, so that the error names another model first."""
    for kind, name in _FILES_BY_KIND.items():
        if kind not in request.models:
            continue
        if kind == "proposal" and not (model / name).is_file():
            raise ArtifactError(f"{model}: lacks the {name} that the dataset was generated with; {_ADVICE}")
        _refuse_other_digest(kind, onnx_metadata.read(model / name, kind=kind).digest, request, model)


def _refuse_other_digest(kind: str, digest: str, request: GenerationRequest, model: Path) -> None:
    recorded = request.models[kind]
    if digest != recorded:
        raise ArtifactError(
            f"{model}: has another {kind} than the dataset, {digest[:12]} instead of {recorded[:12]}; {_ADVICE}"
        )


def _open_strategy(request: GenerationRequest, model: Path) -> SamplingStrategy:
    device: Device = "cuda" if request.pins.get("provider") == CUDA else "cpu"
    strategy = SamplingStrategy.open(
        model,
        method=request.method,
        batch_size=request.batch,
        device=device,
        threads=request.threads,
        attributes=request.attributes,
        min_effective_share=request.min_effective_share,
    )
    for kind, digest in strategy.collect_digests().items():
        if kind in request.models:
            _refuse_other_digest(kind, digest, request, model)
    return strategy


def _generate_file(strategy: SamplingStrategy, request: GenerationRequest, index: int) -> bytes:
    """The content of the image's file in the dataset's format."""
    store = open_store(request.format, Path(), generator=request.models["generator"])
    part = request.part_of(index)
    condition = LabelCondition(part.labels, part.without)
    for batch in strategy.draw(condition, seed=request.seed, start=index, stop=index + 1):
        if len(batch.indices):
            (record,) = strategy.build_records(batch, seed=request.seed, requested=part.labels)
            return store.encode(batch.pixels[0], record)
    raise DataError(f"candidate {index} is not accepted on this machine ({_explain_difference(strategy, request)})")


def _explain_difference(strategy: SamplingStrategy, request: GenerationRequest) -> str:
    """Which of the versions and settings that the bytes depend on differ from those of the dataset."""
    current = collect_pins(request.format, strategy.runtime_settings)
    differences = [
        f"{name} {current[name]} instead of {request.pins.get(name, 'none')}"
        for name in current
        if request.pins.get(name) != current[name]
    ]
    return "; ".join(differences) or "same models, versions and threads: another machine, or the row was changed"

"""Generate a dataset on disk, evaluate it, regenerate one of its images, and measure what a model generates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synthcxr import registry
from synthcxr.registry import ResolvedModel

if TYPE_CHECKING:
    from synthcxr.config.schema import Device, EvaluateConfig, GenerateConfig
    from synthcxr.evaluation.features.engine import Engine as FeatureEngine
    from synthcxr.evaluation.gates import Verdict
    from synthcxr.model_files.onnx_metadata import ModelMetadata
    from synthcxr.stages.generate import GenerateReport
    from synthcxr.stages.list_labels import LabelRate
    from synthcxr.synthesis.sampling.copy_rejection import CopyFilter
    from synthcxr.synthesis.tasks import Engine

EngineName = Literal["local", "ray"]
PROJECT_MODELS = Path("models/onnx")


def _ignore(_: object) -> None:
    """Do nothing with a message."""


@dataclasses.dataclass(frozen=True)
class GenerationResult:
    """The model and the report of a generated dataset.

    Where the candidates ran out and that is allowed, `shortfall` says how many images there are; else it is empty.
    """

    model: ResolvedModel
    report: GenerateReport
    shortfall: str = ""


def generate_dataset(
    config: GenerateConfig,
    *,
    out: Path,
    model: str | None = None,
    image_format: str | None = None,
    films: Path | None = None,
    append: bool = False,
    force: bool = False,
    dry_run: bool = False,
    allow_shortfall: bool = False,
    command: Sequence[str] = (),
    engine: EngineName = "local",
    ray_address: str | None = None,
    ray_workers: int | None = None,
    on_model: Callable[[ResolvedModel], None] = _ignore,
) -> GenerationResult:
    """Write a labelled dataset to the folder `out`; the same call resumes an interrupted one.

    `model` is an address: a folder, an .onnx file, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH; without
    one, the champion of the registry here, else the starter model. `on_model` gets it before the work starts.
    `image_format` None means PNG up to 10,000 images and WebDataset above. With `films`, the packed films that the
    model was trained on, near copies of them are left out. `append` extends a finished dataset, `force` replaces one of
    another request, `dry_run` writes nothing. `command` is recorded in run.json. The engine "ray" uses the cluster at
    `ray_address`, or starts one here, with `ray_workers` processes or one per core or GPU.

    Raises GateError if the candidates run out, unless `allow_shortfall`; the dataset then holds fewer images.
    """
    from synthcxr.stages import generate

    resolved = registry.resolve_model(model)
    on_model(resolved)
    try:
        report = generate.run(
            config,
            model=resolved.path,
            out=out,
            model_name=resolved.address,
            force=force,
            append=append,
            image_format=image_format,
            dry_run=dry_run,
            build_copy_filter=None if films is None else _load_copy_filter(films),
            command=command,
            engine=_open_ray(ray_address, ray_workers) if engine == "ray" else None,
            threads=1 if engine == "ray" else None,
        )
    except generate.ShortfallError as error:
        if not allow_shortfall:
            raise
        return GenerationResult(resolved, error.report, str(error))
    return GenerationResult(resolved, report)


def _load_copy_filter(films: Path) -> Callable[[ModelMetadata], CopyFilter]:
    """The function that builds the filter of near copies; its modules are loaded only where they are needed."""
    from synthcxr.evaluation.memorisation.copy_filter import prepare_copy_filter

    return prepare_copy_filter(films)


def _open_ray(address: str | None, n_workers: int | None) -> Engine:
    """An engine that generates in the processes of a Ray cluster."""
    from synthcxr.synthesis import ray_engine
    from synthcxr.synthesis.runtime.onnx_session import CUDA

    return lambda spec: ray_engine.open_engine(spec, address=address, n_workers=n_workers, gpu=spec.provider == CUDA)


def evaluate_dataset(
    config: EvaluateConfig,
    *,
    dataset: Path,
    films: Path | None,
    models: Path | None = None,
    out: Path,
    prevalence: str | None = None,
    baseline: Path | None = None,
    engine: EngineName = "local",
    ray_address: str | None = None,
    ray_workers: int | None = None,
    say: Callable[[str], None] = _ignore,
) -> Verdict:
    """Compare a dataset with the test films of packed films, write the results to `out` and return the verdict.

    Without `films`, the comparison is with the reference stored with the model. `models` is the folder of the ONNX
    files that generated the dataset; None means models/onnx of a project, else the champion, else the starter model.
    `prevalence`, "nih" or a CSV file, is one more reference for the shares of findings. `baseline` is an unconditional
    dataset of the same model, for the label validity of images that were requested by label; without it one is drawn.
    The engine "ray" computes features in a Ray cluster, as in `generate_dataset`; their cache must be writable here.
    `say` gets a line for each step.
    """
    from synthcxr.data.synthetic_dataset import METADATA_FILE
    from synthcxr.stages import evaluate

    if models is None:
        models = PROJECT_MODELS if PROJECT_MODELS.is_dir() else registry.resolve_model(None).path
    if films is None:
        say("no films given: comparing with the reference stored with the model")
    if (dataset / METADATA_FILE).is_file():
        say(f"evaluating {dataset}")
    return evaluate.run(
        config,
        films=films,
        models=models,
        dataset=dataset,
        out=out,
        prevalence=prevalence,
        baseline=baseline,
        say=say,
        engine=_open_ray_for_features(ray_address, ray_workers) if engine == "ray" else None,
    )


def _open_ray_for_features(address: str | None, n_workers: int | None) -> FeatureEngine:
    """An engine that computes features in the processes of a Ray cluster."""
    from synthcxr.synthesis import ray_engine
    from synthcxr.synthesis.runtime.onnx_session import CUDA

    return lambda spec: ray_engine.open_engine(
        spec, address=address, n_workers=n_workers, gpu=spec.device_type in ("cuda", CUDA)
    )


def replay_image(*, dataset: Path, index: int, out: Path, model: str | None = None) -> str:
    """Regenerate the image of candidate `index` of a dataset, write it to `out` and return its sha256.

    `model` is the address of the model; without one, the address in run.json.
    """
    from synthcxr.data import synthetic_dataset
    from synthcxr.stages import replay

    address = model or synthetic_dataset.read_run(dataset)["model"]["name"]
    return replay.run(dataset=dataset, index=index, model=registry.resolve_model(address).path, out=out)


def measure_label_rates(
    *,
    model: str | None = None,
    n: int | None = None,
    batch_size: int = 32,
    device: Device = "auto",
    on_model: Callable[[ResolvedModel], None] = _ignore,
) -> tuple[LabelRate, ...]:
    """Measure how often a model generates each finding, among `n` candidates.

    With `n` None, the rates measured when the model was distilled are used if there are any.
    """
    from synthcxr.stages import list_labels

    resolved = registry.resolve_model(model)
    on_model(resolved)
    return list_labels.run(model=resolved.path, n=n, device=device, batch_size=batch_size)

"""Generate a synthetic dataset: draw candidates, keep those that meet the request, and write them with their labels."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from synthcxr.checks.check_result import CheckResult
from synthcxr.config.schema import GenerateConfig, Method
from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.run_schema import RunShortfall
from synthcxr.errors import ConfigError, DataError, GateError
from synthcxr.evaluation import dataset_summary
from synthcxr.model_files.model_folder import read_attribution, read_finding_rates, read_runs_per_image
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.storage.progress import Progress, open_progress, print_line
from synthcxr.synthesis.forecast import Quota, describe_forecast
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.request.label_mixture import Quotas, plan_quotas
from synthcxr.synthesis.sampling.copy_rejection import CopyFilter, reject_copies
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.synthesis.tasks import Engine, RunTasks, open_workers, split_into_tasks
from synthcxr.synthesis.work_estimate import estimate_work
from synthcxr.writers import messages
from synthcxr.writers.dataset_writer import DatasetWriter, OpenPart
from synthcxr.writers.generation_request import GenerationRequest, Origin, RequestPart, collect_pins

MAX_PNG_IMAGES = 10_000
"""Datasets with more images are written as WebDataset shards unless the caller chooses a format."""
MAX_MIX_KL = 0.01  # nats; a mix is met exactly, so only the smoothing of the check makes a difference
Status = Literal["made", "already finished", "dry run"]


class ShortfallError(GateError):
    """The candidates ran out; the dataset of `report` has fewer images than requested."""

    def __init__(self, message: str, report: GenerateReport) -> None:
        super().__init__(message)
        self.report = report


@dataclasses.dataclass(frozen=True)
class GenerateReport:
    """The result. `lines` tell it to the user; `checks` is None if no dataset was written now.

    `shortfall` has a row, as in run.json, for each set of findings with too few images. `estimate` is what a dry run
    expects: candidates, seconds and bytes.
    """

    status: Status
    out: Path
    n_requested: int
    n_images: int
    draws: int
    provider: str
    lines: tuple[str, ...]
    checks: CheckResult | None = None
    shortfall: tuple[RunShortfall, ...] = ()
    estimate: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that `--json` prints."""
        return {
            "status": self.status,
            "out": str(self.out),
            "requested": self.n_requested,
            "found": self.n_images,
            "draws": self.draws,
            "provider": self.provider,
            "shortfall": list(self.shortfall),
            "lines": list(self.lines),
            "checks": self.checks.as_dict() if self.checks else None,
        } | ({} if self.estimate is None else {"estimate": dict(self.estimate)})


@dataclasses.dataclass(frozen=True)
class _Source:
    """What generates the images of a request."""

    strategy: SamplingStrategy
    model: Path
    engine: Engine | None
    copy_filter: CopyFilter | None

    def read_rates(self) -> dict[str, tuple[int, int]]:
        """How many of how many random candidates show each finding, as `distill` measured; empty if it did not."""
        proposal = self.strategy.proposal
        return {} if proposal is None else read_finding_rates(self.model, proposal.session.digest)


def run(
    config: GenerateConfig,
    *,
    model: Path,
    out: Path,
    model_name: str,
    force: bool = False,
    append: bool = False,
    image_format: str | None = None,
    dry_run: bool = False,
    build_copy_filter: Callable[[ModelMetadata], CopyFilter] | None = None,
    command: Sequence[str] = (),
    engine: Engine | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = print_line,
) -> GenerateReport:
    """Generate the dataset `out` with the ONNX files in the folder `model`.

    `append` extends a finished dataset; `force` replaces the dataset of another command, and generates that of this
    command again. `image_format` None means PNG up to 10,000 images and WebDataset shards beyond. `build_copy_filter`
    gets the generator's metadata; the filter rejects candidates that are too near to a film, and metadata.csv gets each
    image's distance. `engine` draws in processes of `threads` threads each, with the same result.
    `say` gets lines before the work starts: what the request means for this model, and which sets will lack images.

    Raises ShortfallError (exit code 1) if the candidates run out; the dataset is then in place with fewer images.
    Raises DataError if the dataset's own checks fail. After any other SynthCXRError `out` is as it was.
    """
    quotas = plan_quotas(config)
    conditions = [labels for labels, _ in quotas]
    strategy, notes = _open_strategy(config, config.method, model, threads).settle_method(config.method, conditions)
    generator, classifier = strategy.sampler.generator.metadata, strategy.sampler.classifier.metadata
    source = _Source(strategy, model, engine, build_copy_filter(generator) if build_copy_filter else None)
    request = _build_request(config, quotas, source, image_format)
    judge = None if strategy.judge is None else strategy.judge.metadata
    origin = Origin(model_name, generator, classifier, tuple(command), read_attribution(model), judge)
    if append and request.parts:
        raise ConfigError("--append: cannot extend a request for several sets of findings; choose another --out")
    for line in notes:
        say(line)
    if dry_run:
        return _report_dry_run(out, request, origin, source, append=append, force=force)

    with DatasetWriter.open(out, request, origin, append=append, force=force) as writer:
        if writer.finished_run is not None:
            return _report("already finished", out, request, writer.finished_run, rates=source.read_rates())
        n_resumed, keeps_threads = writer.n_images, writer.request.threads != request.threads
        if keeps_threads:  # the bytes may depend on the number of threads, so use that of the existing images
            strategy = _open_strategy(config, strategy.method, model, writer.request.threads)
            source = dataclasses.replace(source, strategy=strategy)
        _draw_open_parts(source, writer, say)
        written_run, checks = writer.commit(functools.partial(_check_dataset, request=request))
        rates = source.read_rates()
        return _report(
            "made", out, request, written_run, checks, rates=rates, n_resumed=n_resumed, keeps_threads=keeps_threads
        )


def _open_strategy(config: GenerateConfig, method: Method, model: Path, threads: int | None) -> SamplingStrategy:
    return SamplingStrategy.open(
        model,
        method=method,
        batch_size=config.batch,
        device=config.device,
        threads=threads,
        with_judge=config.with_judge,
        attributes=AttributeRequest.from_text(config.view, config.sex, config.age),
        is_selective=bool(config.labels or config.without or config.per_label or config.mix),
    )


def _build_request(
    config: GenerateConfig, quotas: Quotas, source: _Source, image_format: str | None
) -> GenerationRequest:
    strategy, n = source.strategy, sum(count for _, count in quotas)
    several = config.mix is not None or config.per_label is not None
    condition = LabelCondition() if several else quotas[0][0]
    image_format = image_format or ("webdataset" if n > MAX_PNG_IMAGES else "png")
    return GenerationRequest(
        n=n,
        seed=config.seed,
        labels=condition.findings,
        without=condition.without,
        method=strategy.method,
        parts=tuple(RequestPart(part.findings, part.without, count) for part, count in quotas) if several else (),
        max_draws=config.max_draws,
        batch=config.batch,
        format=image_format,
        models=strategy.collect_digests(),
        pins=collect_pins(image_format, strategy.runtime_settings),
        threads=strategy.sampler.generator.threads,
        copy_filter=source.copy_filter.fingerprint if source.copy_filter else "",
        attributes=strategy.attributes,
        min_effective_share=strategy.min_effective_share,
    )


def _draw_open_parts(source: _Source, writer: DatasetWriter, say: Callable[[str], None]) -> None:
    """Draw the images that each part of the request lacks, from the part's own range of candidates."""
    with open_workers(source.strategy, source.model, source.engine) as run_tasks:
        if writer.n_images:
            say(f"resuming: {writer.n_images:,} of {writer.request.n:,} images exist already")
        if writer.request.parts and writer.open_parts:
            say(_forecast(writer.request, source.strategy, writer.open_parts, run_tasks))
        with open_progress("generate", total=writer.request.n, initial=writer.n_images, unit="images") as progress:
            for open_part in writer.open_parts:
                _draw_part(source, writer, open_part, run_tasks, progress)


def _forecast(
    request: GenerationRequest, strategy: SamplingStrategy, open_parts: Sequence[OpenPart], run_tasks: RunTasks
) -> str:
    """Which of the parts that lack images will get too few of them."""
    return describe_forecast(
        _list_quotas(open_parts), strategy, run_tasks, seed=request.seed, max_draws=request.max_draws
    )


def _list_quotas(open_parts: Sequence[OpenPart]) -> list[Quota]:
    return [
        Quota(LabelCondition(row.part.labels, row.part.without), row.n_missing, row.candidates) for row in open_parts
    ]


def _draw_part(
    source: _Source, writer: DatasetWriter, open_part: OpenPart, run_tasks: RunTasks, progress: Progress
) -> None:
    request, part, n_missing = writer.request, open_part.part, open_part.n_missing
    condition = LabelCondition(part.labels, part.without)
    tasks = split_into_tasks(condition, batch_size=request.batch, seed=request.seed, candidates=open_part.candidates)
    for block in run_tasks(tasks):
        batch, train_distances = reject_copies(block, source.copy_filter)
        batch = batch.take_first(n_missing)
        writer.add(
            draws=batch.stop,
            pixels=batch.pixels,
            records=source.strategy.build_records(
                batch, seed=request.seed, requested=part.labels, train_distances=train_distances
            ),
            runs=batch.generator_runs,
            latents=batch.latents,
        )
        progress.update(len(batch.indices))
        n_missing -= len(batch.indices)
        if not n_missing:
            return


def _check_dataset(folder: Path, run: Mapping[str, Any], request: GenerationRequest) -> CheckResult:
    """Run the checks of synthetic datasets; DataError names those that fail."""
    from synthcxr.checks import synthetic  # not before the images exist: a dry run does without

    reference = request.count_requested_findings() if run["complete"] and request.fixes_every_finding() else None
    checks = synthetic.check_dataset(folder, images=True, reference=reference, max_label_kl=MAX_MIX_KL, is_direct=True)
    if not checks.passed:
        failures = "; ".join(f"{line.sentence}: {', '.join(line.rows[:3])}" for line in checks.failed)
        raise DataError(f"{folder}: the generated dataset fails its checks ({failures}); run the command again")
    return checks


def _report_dry_run(
    out: Path, request: GenerationRequest, origin: Origin, source: _Source, *, append: bool, force: bool
) -> GenerateReport:
    plan = DatasetWriter.dry_run(out, request, origin, append=append, force=force)
    if plan.finished_run is not None:
        return _report("already finished", out, request, plan.finished_run, rates={})
    n_missing = request.n - plan.n_present
    parts = [
        OpenPart(part, request.candidates_for(k), math.ceil(part.n * n_missing / request.n))
        for k, part in enumerate(request.all_parts())
    ]
    estimate = estimate_work(
        _list_quotas(parts),
        source.strategy,
        seed=request.seed,
        stored_runs=read_runs_per_image(source.model, source.strategy.method, source.strategy.min_effective_share),
    )
    lines = messages.describe_dry_run(out, request, origin.generator.resolution, plan, estimate.describe())
    if request.parts:
        with open_workers(source.strategy, source.model, None) as run_tasks:
            lines = (_forecast(request, source.strategy, parts, run_tasks), *lines)
    figures, provider = estimate.as_dict() | {"bytes": plan.n_bytes}, request.pins["provider"]
    return GenerateReport("dry run", out, request.n, plan.n_present, 0, provider, lines, estimate=figures)


def _report(
    status: Status,
    out: Path,
    request: GenerationRequest,
    run: Mapping[str, Any],
    checks: CheckResult | None = None,
    *,
    rates: Mapping[str, tuple[int, int]],
    n_resumed: int = 0,
    keeps_threads: bool = False,
) -> GenerateReport:
    """Report on the dataset of a run.json; ShortfallError if the candidates ran out before all images were found."""
    lines = [messages.describe_dataset(out, run, request)]
    if status == "already finished":
        lines.append("already finished by this command: nothing to do")
    if n_resumed:
        lines.append(f"{n_resumed} of them existed already")
    if n_resumed and keeps_threads:
        lines.append(f"used {run['threads']} threads, as for the existing images, so that the bytes are the same")
    if checks is not None:
        lines.append(f"checks: all {len(checks.lines)} passed")
    counts = run["counts"]
    report = GenerateReport(
        status=status,
        out=out,
        n_requested=counts["requested"],
        n_images=counts["found"],
        draws=counts["draws"],
        provider=run["provider"],
        lines=(
            *lines,
            *dataset_summary.describe_dataset(out, run, rates=rates),
            *messages.list_warnings(run, request),
            *messages.describe_short_parts(run, request),
        ),
        checks=checks,
        shortfall=tuple(run.get("shortfall", ())),
    )
    if not run["complete"]:
        raise ShortfallError(messages.describe_shortfall(out, run, request), report)
    return report

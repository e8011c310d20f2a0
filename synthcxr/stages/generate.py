"""Generate a synthetic dataset: draw, choose, label, write; whole or not at all, and the same bytes each time."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr.checks.check_result import CheckResult
from synthcxr.config.schema import GenerateConfig
from synthcxr.data import records
from synthcxr.errors import ConfigError, DataError, GateError
from synthcxr.model_files import model_folder
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.synthesis import tasks as work
from synthcxr.synthesis.apart import Apart
from synthcxr.synthesis.request import asked
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.request.label_mixture import Quotas
from synthcxr.synthesis.runtime import onnx_session
from synthcxr.synthesis.sampling.latent_optimisation import Differentiate
from synthcxr.synthesis.sampling.rejection import Drawn
from synthcxr.synthesis.sampling.strategy import Chooser
from synthcxr.synthesis.tasks import Engine, Kit, Run
from synthcxr.writers import disk_space, messages, resume_plan, staging
from synthcxr.writers.dataset_writer import Growing
from synthcxr.writers.formats import stores
from synthcxr.writers.formats.store import LATENTS, Format, Store
from synthcxr.writers.generation_request import WINDOW, Part, Request
from synthcxr.writers.journal import NAME, Journal
from synthcxr.writers.resume_plan import Plan
from synthcxr.writers.sidecars import run_json as run_file
from synthcxr.writers.sidecars import write_all
from synthcxr.writers.sidecars.run_json import Origin

FILES_UP_TO = 10_000
MAX_MIX_KL = 0.01  # nats; a mix is met exactly, but for the smoothing of the check
Status = Literal["made", "already finished", "dry run"]


@dataclasses.dataclass(frozen=True)
class GenerateReport:
    """What came of it. `lines` say it in words; `checks` is None where nothing was made now."""

    status: Status
    out: Path
    requested: int
    found: int
    draws: int
    provider: str
    lines: tuple[str, ...]
    checks: CheckResult | None = None

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json`."""
        checks = self.checks.as_dict() if self.checks else None
        return dataclasses.asdict(self) | {"out": str(self.out), "lines": list(self.lines), "checks": checks}


@dataclasses.dataclass(frozen=True)
class _Job:
    """One call: the request, what fulfils it, `out` as it was typed and `home` without links."""

    request: Request
    chooser: Chooser
    origin: Origin
    out: Path
    home: Path
    apart: Apart | None
    model: Path
    engine: Engine | None


def run(
    config: GenerateConfig,
    *,
    model: Path,
    out: Path,
    model_name: str,
    force: bool = False,
    append: bool = False,
    form: Format | None = None,
    dry_run: bool = False,
    apart: Callable[[Contract], Apart] | None = None,
    command: Sequence[str] = (),
    engine: Engine | None = None,
    threads: int | None = None,
) -> GenerateReport:
    """Make the dataset `out` with generator.onnx and classifier.onnx of the folder `model`.

    `append` makes a finished dataset longer; `force` replaces another command's, and remakes this one's. `form`
    None means PNGs up to 10,000 images and tar shards beyond. `apart`, called with the generator's contract, leaves
    out candidates that copy a film and notes every image's distance to the nearest. GateError (exit 1) where the
    draws ran out, with the shorter set in place, or where the dataset's own suite failed; any other error of ours
    leaves what stood at `out` as it was. `engine` draws elsewhere, by
    processes of `threads` threads each; what comes of it is the same.
    """
    quotas, home = asked.quotas(config), staging.real(out)
    chooser = _open(config, model, threads)
    sampler = chooser.sampler
    distant = apart(sampler.generator.contract) if apart else None
    request = _request(config, quotas, chooser, form, distant)
    models = sampler.generator.contract, sampler.classifier.contract
    origin = Origin(model_name, *models, tuple(command), model_folder.attribution(model))
    job = _Job(request, chooser, origin, out, home, distant, model, engine)
    if append and request.parts:
        raise ConfigError("--append: a request for several sets of findings does not grow; make another with --out")
    if dry_run:
        return _dry_run(job, resume_plan.make(home, request, append=append, force=force))
    with staging.locked(home), disk_space.full_disk_is_one_line(out):
        staging.recover(home)
        planned = resume_plan.make(home, request, append=append, force=force)
        if planned.done is not None:
            return _report(job, "already finished", planned.done)
        disk_space.check(home, _n_bytes(job, planned))
        try:
            return _make(_going_on(job, planned, model, config), planned)
        finally:
            staging.drop_if_empty(home)


def _open(config: GenerateConfig, model: Path, threads: int | None = None) -> Chooser:
    """What makes the images; where nothing is asked for there is nothing to choose."""
    anything = not (config.labels or config.without or config.per_label or config.mix)
    return Chooser.open(
        model,
        method="reject" if anything else config.method,
        batch=config.batch,
        device=config.device,
        threads=threads,
        gradient=_gradient,
        with_judge=config.with_judge,
    )


def _gradient(generator: Path, classifier: Path, threads: int) -> Differentiate:
    from synthcxr.networks import latent_gradient  # needs torch, which nothing else here does

    return latent_gradient.logits_of_latents(generator, classifier, threads)


def _pins(chooser: Chooser, form: Format) -> dict[str, str]:
    """What the pixels may depend on; a gradient's bits depend on torch too."""
    held = run_file.pins(**chooser.sampler.generator.pins()) | stores.pins(form)
    if chooser.method != "optimise":
        return held
    from synthcxr.networks import latent_gradient

    return held | {"torch": latent_gradient.version()}


def _request(
    config: GenerateConfig,
    quotas: Quotas,
    chooser: Chooser,
    form: Format | None,
    apart: Apart | None,
) -> Request:
    sampler, n = chooser.sampler, sum(k for _, k in quotas)
    several = config.mix is not None or config.per_label is not None
    wanted = Wanted() if several else quotas[0][0]
    form = form or ("webdataset" if n > FILES_UP_TO else "png")
    return Request(
        n=n,
        seed=config.seed,
        labels=wanted.findings,
        without=wanted.without,
        method=chooser.method,
        parts=tuple(Part(each.findings, each.without, k) for each, k in quotas) if several else (),
        max_draws=config.max_draws,
        batch=config.batch,
        format=form,
        models=chooser.digests(),
        pins=_pins(chooser, form),
        threads=sampler.generator.threads,
        apart=apart.fingerprint if apart else "",
    )


def _going_on(job: _Job, planned: Plan, model: Path, config: GenerateConfig) -> _Job:
    """The job with as many threads as what is there was made with, on which the bytes may depend."""
    if planned.threads == job.request.threads:
        return job
    chooser = _open(config, model, planned.threads)
    return dataclasses.replace(job, chooser=chooser, request=dataclasses.replace(job.request, threads=planned.threads))


def _n_bytes(job: _Job, planned: Plan) -> int:
    n = job.request.n if planned.source else job.request.n - planned.n_held
    made, form = job.origin.generator, job.request.format
    return disk_space.estimate(n, resolution=made.resolution, latent=made.latent, form=form)


def _dry_run(job: _Job, planned: Plan) -> GenerateReport:
    if planned.done is not None:
        return _report(job, "already finished", planned.done)
    n_bytes, asked, side = _n_bytes(job, planned), job.request, job.origin.generator.resolution
    disk_space.check(job.home, n_bytes)
    held = f", {planned.n_held} of them there already" if planned.n_held else ""
    lines = (
        f"{job.out}: would make {asked.n} images of {side} px{messages.asked(asked)} ({asked.format}{held}) from at most"
        f" {asked.max_draws} candidates, about {disk_space.readable(n_bytes)}, on {asked.pins['provider']}",
        "dry run: nothing was written",
    )
    return GenerateReport("dry run", job.out, asked.n, planned.n_held, 0, asked.pins["provider"], lines)


def _make(job: _Job, planned: Plan) -> GenerateReport:
    grown = staging.begin(job.home, job.request.as_dict(), afresh=planned.afresh)
    with Growing(_store(job, job.request.format, grown), Journal(grown / NAME)) as growing:
        growing.resume()
        if planned.source is not None:
            source = _store(job, planned.source["format"], job.home)
            _copy(job, growing, source, planned.source)
        n_held = growing.found
        _draw(job, growing)
    made = write_all.finish(grown, job.request, job.origin)
    mixed = job.request.shares() if made["complete"] and job.request.exact else None
    from synthcxr.checks import synthetic  # great-expectations takes seconds to import

    checks = synthetic.check(grown, images=True, reference=mixed, max_label_kl=MAX_MIX_KL)
    if not checks.passed:
        found = "; ".join(f"{line.sentence}: {', '.join(line.rows[:3])}" for line in checks.failed)
        raise DataError(f"{staging.partial(job.out)}: the dataset's own checks failed ({found}); run the command again")
    staging.settle(job.home)
    return _report(job, "made", made, checks, n_held)


def _store(job: _Job, form: Format, root: Path) -> Store:
    return stores.opened(form, root, generator=job.request.models["generator"])


def _copy(job: _Job, growing: Growing, source: Store, made: Mapping[str, Any]) -> None:
    """Begin with the images of the shorter dataset."""
    latents = np.load(job.home / LATENTS, allow_pickle=False) if job.request.method != "reject" else None
    held, counts = records.read_records(job.home), made["counts"]
    growing.copy(source, held, counts["draws"], runs=counts.get("runs", 0), latents=latents)


def _draw(job: _Job, growing: Growing) -> None:
    """Each part of the request in its own stretch of candidates, which says where one that was stopped stood."""
    held = Counter(record.index // WINDOW for record in growing.journal.records())
    asked = job.request
    with _drawing(job) as run, tqdm(total=asked.n, initial=growing.found, unit="image", disable=None) as bar:
        for at, part in enumerate(asked.parts or (Part(asked.labels, asked.without, asked.n),)):
            start, lacking = max(growing.draws, at * WINDOW), part.n - (held[at] if asked.parts else growing.found)
            limit = asked.tries(part)
            if lacking and start < (at + 1) * WINDOW:
                _draw_part(job, growing, part, range(start, at * WINDOW + min(limit, WINDOW)), lacking, run, bar)
    growing.flush()


def _drawing(job: _Job) -> AbstractContextManager[Run]:
    """What draws ranges of candidates: this process, block by block, or an engine's."""
    if job.engine is None:
        draw = work.by(job.chooser)
        return nullcontext(lambda tasks: itertools.chain.from_iterable(map(draw, tasks)))
    return job.engine(Kit.of(job.model, job.chooser, _gradient))


def _draw_part(job: _Job, growing: Growing, part: Part, span: range, lacking: int, run: Run, bar: Any) -> None:
    wanted, asked = Wanted(part.labels, part.without), job.request
    for block in run(work.tasks(wanted, batch=asked.batch, seed=asked.seed, span=span)):
        new, far = _new(job, block)
        drawn = new.first(lacking)
        growing.add(
            draws=drawn.stop,
            pixels=drawn.pixels,
            described=job.chooser.records(drawn, seed=asked.seed, requested=part.labels, train_distances=far),
            runs=drawn.runs,
            latents=drawn.latents,
        )
        bar.update(len(drawn.indices))
        lacking -= len(drawn.indices)
        if not lacking:
            return


def _new(job: _Job, drawn: Drawn) -> tuple[Drawn, NDArray[np.float64] | None]:
    """What of a block copies no film, with each image's distance to the nearest; all of it where that was not asked."""
    if job.apart is None:
        return drawn, None
    far = job.apart.distances(drawn.pixels)
    kept = far >= job.apart.threshold
    return drawn.kept(kept), far[kept]


def _report(
    job: _Job, status: Status, made: Mapping[str, Any], checks: CheckResult | None = None, n_held: int = 0
) -> GenerateReport:
    """The report on what run.json says; GateError where the draws ran out."""
    counts = made["counts"]
    what = messages.made(job.out, made, job.request)
    if not made["complete"]:
        raise GateError(messages.short(what, made, job.request, records.read_metadata(job.home)["index"]))
    lines = [f"{what} ({messages.drawn(made)}, on {made['provider']})"]
    if status == "already finished":
        lines.append("already finished by this command: nothing to do")
    if n_held:
        lines.append(f"{n_held} of them were there already")
    if n_held and job.request.threads != onnx_session.n_threads():
        lines.append(f"worked with {made['threads']} threads, as it was begun, so that the bytes are the same")
    if checks is not None:
        lines.append(f"checks: all {len(checks.lines)} passed")
    return GenerateReport(
        status=status,
        out=job.out,
        requested=counts["requested"],
        found=counts["found"],
        draws=counts["draws"],
        provider=made["provider"],
        lines=(*lines, *messages.warnings(made, job.request)),
        checks=checks,
    )

"""Generate a synthetic dataset: draw, choose, label, write; whole or not at all, and the same bytes each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthcxr import labels, model_index, records, seeds
from synthcxr.checks import synthetic
from synthcxr.checks.result import CheckResult
from synthcxr.config import GenerateConfig
from synthcxr.contract import Contract
from synthcxr.errors import ConfigError, DataError, GateError
from synthcxr.records import Record
from synthcxr.synthesis import session
from synthcxr.synthesis.chooser import Chooser
from synthcxr.synthesis.sampler import Drawn, Sampler
from synthcxr.synthesis.search import Differentiate
from synthcxr.synthesis.wanted import Wanted
from synthcxr.writers import beside, place, plan, space
from synthcxr.writers import run as run_file
from synthcxr.writers.growing import Growing
from synthcxr.writers.journal import NAME, Journal
from synthcxr.writers.plan import Plan
from synthcxr.writers.png import PngFolder
from synthcxr.writers.request import Request
from synthcxr.writers.run import Origin
from synthcxr.writers.store import LATENTS, Format, Store
from synthcxr.writers.webdataset import Shards

FILES_UP_TO = 10_000
Status = Literal["made", "already finished", "dry run"]
_STORES: dict[Format, type[PngFolder] | type[Shards]] = {"png": PngFolder, "webdataset": Shards}


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


class Apart(Protocol):
    """What keeps copies out: the films' fingerprint, and from what distance an image is none."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    def distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]: ...


@dataclasses.dataclass(frozen=True)
class _Job:
    """One call: the request, what fulfils it, `out` as it was typed and `home` without links."""

    request: Request
    chooser: Chooser
    origin: Origin
    out: Path
    home: Path
    apart: Apart | None

    @property
    def asked(self) -> str:
        """ " with Edema and Effusion without Mass", or nothing."""
        asked = self.request.asked
        return f" {asked}" if asked.startswith("without") or not asked else f" with {asked}"

    @property
    def sampler(self) -> Sampler:
        """The generator and its classifier."""
        return self.chooser.sampler


def run(
    config: GenerateConfig,
    *,
    model: Path,
    out: Path,
    model_name: str,
    force: bool = False,
    append: bool = False,
    shards: bool | None = None,
    dry_run: bool = False,
    apart: Callable[[Contract], Apart] | None = None,
    command: Sequence[str] = (),
) -> GenerateReport:
    """Make the dataset `out` with generator.onnx and classifier.onnx of the folder `model`.

    `append` makes a finished dataset longer; `force` replaces another command's, and remakes this one's. `shards`
    None means tar shards beyond 10,000 images. `apart`, called with the generator's contract, leaves out candidates
    that copy a film and notes every image's distance to the nearest. GateError (exit 1) where the draws ran out, with
    the shorter set in place, or where the dataset's own suite failed; any other error of ours leaves what stood at
    `out` as it was.
    """
    wanted, home = _checked(config), place.real(out)
    chooser = _open(config, wanted, model)
    sampler = chooser.sampler
    distant = apart(sampler.generator.contract) if apart else None
    request = _request(config, wanted, chooser, shards, distant)
    models = sampler.generator.contract, sampler.classifier.contract
    job = _Job(
        request,
        chooser,
        Origin(model_name, *models, tuple(command), model_index.attribution(model)),
        out,
        home,
        distant,
    )
    if dry_run:
        return _dry_run(job, plan.make(home, request, append=append, force=force))
    with place.locked(home), space.full_disk_is_one_line(out):
        place.recover(home)
        planned = plan.make(home, request, append=append, force=force)
        if planned.done is not None:
            return _report(job, "already finished", planned.done)
        space.check(home, _n_bytes(job, planned))
        try:
            return _make(_going_on(job, planned, model, config), planned)
        finally:
            place.drop_if_empty(home)


def _checked(config: GenerateConfig) -> Wanted:
    """What is asked for; DataError lists all findings where one is unknown."""
    for name in ("n", "max_draws", "batch"):
        if getattr(config, name) < 1:
            raise ConfigError(f"generate.{name}: must be at least 1, is {getattr(config, name)}")
    if not 0 <= config.seed <= seeds.MAX_SEED:
        raise ConfigError(f"generate.seed: must be in 0 .. {seeds.MAX_SEED}, is {config.seed}")
    return Wanted.of(config.labels, config.without)


def _open(config: GenerateConfig, wanted: Wanted, model: Path, threads: int | None = None) -> Chooser:
    """What makes the images; where nothing is asked for there is nothing to choose."""
    method = "reject" if wanted.anything else config.method
    return Chooser.open(
        model, method=method, batch=config.batch, device=config.device, threads=threads, gradient=_gradient
    )


def _gradient(generator: Path, classifier: Path) -> Differentiate:
    from synthcxr.networks import latent  # needs torch, which nothing else here does

    return latent.logits_of_latents(generator, classifier)


def _pins(chooser: Chooser) -> dict[str, str]:
    """What the pixels may depend on; a gradient's bits depend on torch too."""
    held = run_file.pins(provider=chooser.sampler.generator.provider, onnxruntime=session.VERSION)
    if chooser.method != "optimise":
        return held
    from synthcxr.networks import latent

    return held | {"torch": latent.version()}


def _request(
    config: GenerateConfig,
    wanted: Wanted,
    chooser: Chooser,
    shards: bool | None,
    apart: Apart | None,
) -> Request:
    sampler = chooser.sampler
    return Request(
        n=config.n,
        seed=config.seed,
        labels=wanted.findings,
        without=wanted.without,
        method=chooser.method,
        max_draws=config.max_draws,
        batch=config.batch,
        format="webdataset" if (config.n > FILES_UP_TO if shards is None else shards) else "png",
        models={
            "generator": sampler.generator.digest,
            "classifier": sampler.classifier.digest,
            "labelling": records.fingerprint(sampler.classifier.contract.thresholds),
        },
        pins=_pins(chooser),
        threads=sampler.generator.threads,
        apart=apart.fingerprint if apart else "",
    )


def _going_on(job: _Job, planned: Plan, model: Path, config: GenerateConfig) -> _Job:
    """The job with as many threads as what is there was made with, on which the bytes may depend."""
    if planned.threads == job.request.threads:
        return job
    chooser = _open(config, Wanted(job.request.labels, job.request.without), model, planned.threads)
    return dataclasses.replace(job, chooser=chooser, request=dataclasses.replace(job.request, threads=planned.threads))


def _n_bytes(job: _Job, planned: Plan) -> int:
    n = job.request.n if planned.source else job.request.n - planned.n_held
    return space.estimate(n, resolution=job.origin.generator.resolution, latent=job.origin.generator.latent)


def _dry_run(job: _Job, planned: Plan) -> GenerateReport:
    if planned.done is not None:
        return _report(job, "already finished", planned.done)
    n_bytes, asked, side = _n_bytes(job, planned), job.request, job.origin.generator.resolution
    space.check(job.home, n_bytes)
    held = f", {planned.n_held} of them there already" if planned.n_held else ""
    lines = (
        f"{job.out}: would make {asked.n} images of {side} px{job.asked} ({asked.format}{held}) from at most"
        f" {asked.max_draws} candidates, about {space.readable(n_bytes)}, on {asked.pins['provider']}",
        "dry run: nothing was written",
    )
    return GenerateReport("dry run", job.out, asked.n, planned.n_held, 0, asked.pins["provider"], lines)


def _make(job: _Job, planned: Plan) -> GenerateReport:
    grown = place.begin(job.home, job.request.as_dict(), afresh=planned.afresh)
    with Growing(_STORES[job.request.format](grown), Journal(grown / NAME)) as growing:
        growing.resume()
        if planned.source is not None:
            source = _STORES[planned.source["format"]](job.home)
            _copy(job, growing, source, planned.source)
        n_held = growing.found
        _draw(job, growing)
    made = beside.finish(grown, job.request, job.origin)
    checks = synthetic.check(grown, images=True, reference=None, max_label_kl=None)
    if not checks.passed:
        found = "; ".join(f"{line.sentence}: {', '.join(line.rows[:3])}" for line in checks.failed)
        raise DataError(f"{place.partial(job.out)}: the dataset's own checks failed ({found}); run the command again")
    place.settle(job.home)
    return _report(job, "made", made, checks, n_held)


def _copy(job: _Job, growing: Growing, source: Store, made: Mapping[str, Any]) -> None:
    """Begin with the images of the shorter dataset."""
    latents = np.load(job.home / LATENTS, allow_pickle=False) if job.request.method == "optimise" else None
    held, counts = records.read_records(job.home), made["counts"]
    growing.copy(source, held, counts["draws"], runs=counts.get("runs", 0), latents=latents)


def _draw(job: _Job, growing: Growing) -> None:
    asked = job.request
    stop = asked.limit if growing.found < asked.n else growing.draws
    draw = job.chooser.draw(Wanted(asked.labels, asked.without))
    drawn_blocks = draw(seed=asked.seed, start=growing.draws, stop=stop)
    with tqdm(total=asked.n, initial=growing.found, unit="image", disable=None) as bar:
        for block in drawn_blocks:
            new, far = _new(job, block)
            drawn = new.first(asked.n - growing.found)
            growing.add(
                draws=drawn.stop,
                pixels=drawn.pixels,
                described=_describe(job, drawn, far),
                runs=drawn.runs,
                latents=drawn.latents,
            )
            bar.update(len(drawn.indices))
            if growing.found == asked.n:
                break
    growing.flush()


def _new(job: _Job, drawn: Drawn) -> tuple[Drawn, NDArray[np.float64] | None]:
    """What of a block copies no film, with each image's distance to the nearest; all of it where that was not asked."""
    if job.apart is None:
        return drawn, None
    far = job.apart.distances(drawn.pixels)
    kept = far >= job.apart.threshold
    return drawn.kept(kept), far[kept]


def _describe(job: _Job, drawn: Drawn, far: NDArray[np.float64] | None) -> list[Record]:
    return [
        Record(
            file_name="",
            index=int(index),
            seed=job.request.seed,
            requested=labels.SEPARATOR.join(job.request.labels),
            findings=job.sampler.findings(probabilities),
            probabilities=tuple(round(float(p), 6) for p in probabilities),
            weight=float(drawn.weights[row]),
            sha256="",
            train_distance=None if far is None else float(far[row]),
            steps=None if drawn.steps is None else int(drawn.steps[row]),
        )
        for row, (index, probabilities) in enumerate(zip(drawn.indices, drawn.probabilities, strict=True))
    ]


def _report(
    job: _Job, status: Status, made: Mapping[str, Any], checks: CheckResult | None = None, n_held: int = 0
) -> GenerateReport:
    """The report on what run.json says; GateError where the draws ran out."""
    counts = made["counts"]
    what = f"{job.out}: {counts['found']} images of {made['model']['resolution']} px{job.asked}"
    drawn = f"{counts['draws']} candidates drawn, {counts['acceptance_rate']:.2%} accepted"
    if not made["complete"]:
        raise GateError(
            f"{what}, of {counts['requested']} asked for: {drawn}; the shorter set is in place, and a larger max_draws"
            " goes on from there"
        )
    lines = [f"{what} ({drawn}, on {made['provider']})"]
    if status == "already finished":
        lines.append("already finished by this command: nothing to do")
    if n_held:
        lines.append(f"{n_held} of them were there already")
    if n_held and job.request.threads != session.n_threads():
        lines.append(f"worked with {made['threads']} threads, as it was begun, so that the bytes are the same")
    if checks is not None:
        lines.append(f"checks: all {len(checks.lines)} passed")
    if weak := sorted({*made["model"]["weak"]} & {*job.request.labels}):
        lines.append(f"weak label: the threshold of {' and '.join(weak)} rests on fewer than 3 val positives")
    if made["model"]["phantom"]:
        lines.append("made from drawn phantoms: these images prove the pipeline, never realism")
    return GenerateReport(
        status=status,
        out=job.out,
        requested=counts["requested"],
        found=counts["found"],
        draws=counts["draws"],
        provider=made["provider"],
        lines=tuple(lines),
        checks=checks,
    )

"""The lines that tell the user about a dataset, composed from its run.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthcxr.data.number_format import format_quantity
from synthcxr.writers import disk_space
from synthcxr.writers.dataset_writer import DryRun
from synthcxr.writers.generation_request import METHODS_THAT_MOVE_LATENTS, GenerationRequest

_DEVICE_NAMES = {"CPUExecutionProvider": "the CPU", "CUDAExecutionProvider": "the GPU"}
_MAX_NAMED_PARTS, _MAX_LISTED_PARTS = 3, 20


def describe_dry_run(
    out: Path, request: GenerationRequest, resolution: int, dry_run: DryRun, estimate: str
) -> tuple[str, ...]:
    """What the request would generate, how much disk space it needs, and the line of the estimated time."""
    present = f", {dry_run.n_present} of them exist already" if dry_run.n_present else ""
    images = f"{request.n:,} images of {resolution} px{_with_findings(request)}"
    return (
        f"{out}: would generate {images} ({request.format}{present})"
        f" from at most {request.max_draws:,} candidates, about {disk_space.format_bytes(dry_run.n_bytes)},"
        f" on {_name_device(request.pins['provider'])}",
        estimate,
        "dry run: nothing was written",
    )


def describe_dataset(out: Path, run: Mapping[str, Any], request: GenerationRequest) -> str:
    """The number of images and what it took to generate them."""
    n_images = format_quantity(run["counts"]["found"], "image")
    images = f"{n_images} of {run['model']['resolution']} px{_with_findings(request)}"
    return f"{out}: {images} ({_describe_effort(run)}, on {_name_device(run['provider'])})"


def describe_shortfall(out: Path, run: Mapping[str, Any], request: GenerationRequest) -> str:
    """The message for a dataset with too few images."""
    counts = run["counts"]
    images = f"{counts['requested']} images of {run['model']['resolution']} px{_with_findings(request)}"
    advice = "run the same command with a larger max_draws to continue"
    if request.parts:
        names = _join_first(_list_short_parts(run), _MAX_NAMED_PARTS)
        advice = f"too few for {names}: use --force with a larger max_draws to generate the dataset again"
    shortfall = f"the candidates ran out after only {counts['found']} of {images} ({_describe_effort(run)})"
    return f"{out}: {shortfall}; the dataset contains these images; {advice}"


def describe_short_parts(run: Mapping[str, Any], request: GenerationRequest) -> Iterator[str]:
    """The sets of findings that got too few images; nothing for a request of one set."""
    if request.parts and (short_parts := _list_short_parts(run)):
        names = _join_first(short_parts, _MAX_LISTED_PARTS)
        yield f"too few images of {len(short_parts)} of {len(request.parts)} sets of findings: {names}; see run.json"


def list_warnings(run: Mapping[str, Any], request: GenerationRequest) -> Iterator[str]:
    """What a user of the dataset has to know."""
    requested = {name for part in request.all_parts() for name in part.labels}
    if weak := sorted({*run["model"]["weak"]} & requested):
        yield f"weak label: the threshold of {' and '.join(weak)} is based on fewer than 3 positive val films"
    if run["model"]["phantom"]:
        yield "trained on phantoms: these images test the pipeline; they say nothing about real chest X-rays"


def _with_findings(request: GenerationRequest) -> str:
    findings = request.describe_findings()
    if not findings:
        return ""
    return f" {findings}" if findings.startswith("without") else f" with {findings}"


def _describe_effort(run: Mapping[str, Any]) -> str:
    counts = run["counts"]
    if run["request"].get("parts") or run["request"].get("method") in METHODS_THAT_MOVE_LATENTS:
        return f"{counts['runs'] / max(counts['found'], 1):.1f} generator runs per image"
    return f"{format_quantity(counts['draws'], 'candidate')} drawn, {counts['acceptance_rate']:.2%} accepted"


def _list_short_parts(run: Mapping[str, Any]) -> list[str]:
    return [f"{'|'.join(row['labels'])} ({row['found']} of {row['requested']})" for row in run.get("shortfall", ())]


def _join_first(names: Sequence[str], n: int) -> str:
    n_unnamed = len(names) - n
    return ", ".join(names[:n]) + (f" and {n_unnamed} more" if n_unnamed > 0 else "")


def _name_device(provider: str) -> str:
    return _DEVICE_NAMES.get(provider, provider)

"""What determines a dataset's bytes, and whether an existing dataset is the result or the start of the same request."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL

import synthcxr
from synthcxr.config import parsing
from synthcxr.config.bounds import Count, NimgOrZero, Seed, Share
from synthcxr.config.schema import ResolvedMethod
from synthcxr.data.attribute_request import ANY_ATTRIBUTES, AttributeRequest
from synthcxr.data.findings import FINDINGS, NO_FINDING, describe_label_set, list_other_findings
from synthcxr.data.run_schema import RunJson
from synthcxr.errors import DataError
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.writers.formats import store

CANDIDATES_PER_PART = 2**32
"""Part k of a request draws candidates k * 2**32 and following."""
DEVICE_PINS = ("provider", "precision")
"""The pins that are not versions of packages."""
METHODS_THAT_MOVE_LATENTS: tuple[ResolvedMethod, ...] = ("guided", "optimise")
"""With the others, each image has the latent of its candidate."""
_FIELD_OF_KEY = {"apart": "copy_filter"}  # of request.json and run.json, where they differ from the field's name
_KEY_OF_FIELD = {field: key for key, field in _FIELD_OF_KEY.items()}


@dataclasses.dataclass(frozen=True)
class RequestPart:
    """`n` images that show all of `labels` and none of `without`."""

    labels: tuple[str, ...]
    without: tuple[str, ...]
    n: Count


@dataclasses.dataclass(frozen=True)
class GenerationRequest:
    """Everything that determines a dataset's bytes.

    `models` are the digests of the models by kind; `pins` are the onnxruntime provider and the package versions, from
    `collect_pins`; `threads` is the number of threads per image, which a resumed dataset keeps. `copy_filter` is the
    fingerprint of the films whose copies are rejected, or empty. `parts` are the sets of findings of a request for
    several sets, each with its number of images; it is empty for a request of one set, which `labels` and `without`
    describe. `attributes` are requested of a conditional generator. `min_effective_share` limits the guides of method
    guided; 0 for other methods, and for datasets of versions without a limit.
    """

    n: Count
    seed: Seed
    labels: tuple[str, ...]
    max_draws: NimgOrZero
    batch: Count
    format: str
    models: Mapping[str, str]
    pins: Mapping[str, str]
    threads: Count
    copy_filter: str = ""
    method: ResolvedMethod = "reject"
    without: tuple[str, ...] = ()
    parts: tuple[RequestPart, ...] = ()
    attributes: AttributeRequest = ANY_ATTRIBUTES
    min_effective_share: Share = 0.0

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], path: Path) -> GenerationRequest:
        """Read the content of request.json; DataError names the `path` of the dataset."""
        try:
            return parsing.build_as(cls, {_FIELD_OF_KEY.get(name, name): value for name, value in fields.items()}, path)
        except DataError as error:
            raise _unreadable(path) from error

    @classmethod
    def from_run(cls, run: RunJson, path: Path) -> GenerationRequest:
        """Read the request from the run.json of a finished dataset; DataError names the `path` of the dataset."""
        precision = run.get("precision", "fp32")
        try:
            fields = {
                **run["request"],
                "format": run["format"],
                "models": run["model"]["digests"],
                "pins": {"provider": run["provider"], **_precision_pin(precision), **run["versions"]},
                "threads": run["threads"],
            }
        except KeyError as error:
            raise _unreadable(path) from error
        return cls.from_dict(fields, path)

    def as_dict(self) -> dict[str, Any]:
        """The content of request.json."""
        return {_KEY_OF_FIELD.get(name, name): value for name, value in dataclasses.asdict(self).items()}

    def all_parts(self) -> tuple[RequestPart, ...]:
        """The parts; a request for one set of findings has one."""
        return self.parts or (RequestPart(self.labels, self.without, self.n),)

    def part_of(self, candidate: int) -> RequestPart:
        """The part for which a candidate was drawn."""
        return self.all_parts()[candidate // CANDIDATES_PER_PART if self.parts else 0]

    def max_draws_for(self, part: RequestPart) -> int:
        """The number of candidates that are drawn for a part at most: its share of `max_draws`."""
        return -(-self.max_draws * part.n // self.n) if self.parts else self.max_draws

    def candidates_for(self, position: int) -> range:
        """The candidates that may be drawn for a part."""
        first = position * CANDIDATES_PER_PART
        return range(first, first + min(self.max_draws_for(self.all_parts()[position]), CANDIDATES_PER_PART))

    def count_draws(self, stops: Iterable[int]) -> int:
        """The number of candidates that were examined, from the first one after each block that was not."""
        if not self.parts:
            return max(stops, default=0)
        last_stops: dict[int, int] = {}
        for stop in stops:
            position = (stop - 1) // CANDIDATES_PER_PART
            last_stops[position] = max(stop, last_stops.get(position, 0))
        return sum(stop - position * CANDIDATES_PER_PART for position, stop in last_stops.items())

    def count_found(self, candidates: Iterable[int]) -> list[int]:
        """The number of accepted candidates of each part."""
        counts = Counter(candidate // CANDIDATES_PER_PART if self.parts else 0 for candidate in candidates)
        return [counts[position] for position in range(len(self.all_parts()))]

    def describe_findings(self) -> str:
        """The request, such as "Edema and Effusion without Mass, view PA"; empty if any image is accepted."""
        sets = f"{len(self.parts)} sets of findings" if self.parts else describe_label_set(self.labels, self.without)
        return ", ".join(filter(None, (sets, str(self.attributes))))

    def fixes_every_finding(self) -> bool:
        """Whether every part requires or excludes each of the findings."""
        return bool(self.parts) and all(
            NO_FINDING in part.labels or len(part.labels + part.without) == len(FINDINGS) for part in self.parts
        )

    def count_requested_findings(self) -> dict[str, float]:
        """The number of images that the parts request with each finding, and with No Finding."""
        counts: Counter[str] = Counter()
        for part in self.parts:
            counts.update(dict.fromkeys(part.labels, part.n))
        return {name: float(n) for name, n in counts.items()}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the images come from: the address of the model, the metadata of its two files, and the command line.

    `attribution` are the texts that the sources of the training films require to be passed on. `judge` is the judge
    if the request includes its probabilities.
    """

    model_name: str
    generator: ModelMetadata
    classifier: ModelMetadata
    command: tuple[str, ...]
    attribution: tuple[str, ...] = ()
    judge: ModelMetadata | None = None

    @property
    def phantom(self) -> bool:
        """Whether the generator or the classifier was trained on phantoms instead of real films."""
        return self.generator.phantom or self.classifier.phantom


@dataclasses.dataclass(frozen=True)
class RequestMatch:
    """How an existing dataset relates to a request.

    "same" if it is the requested dataset or its unfinished start, "longer" if it is the start of a request for more,
    and "other", with the reason, if it belongs to another request.
    """

    kind: Literal["same", "longer", "other"]
    reason: str = ""


def collect_pins(image_format: str, session_pins: Mapping[str, str]) -> dict[str, str]:
    """Everything about the software that the bytes of a dataset depend on.

    `session_pins` are the provider, the precision and the versions that the sampling depends on. The precision is
    left out if it is fp32.
    """
    pins = {name: value for name, value in session_pins.items() if (name, value) != ("precision", "fp32")}
    versions = {"synthcxr": synthcxr.__version__, "numpy": np.__version__, "pillow": PIL.__version__}
    return pins | versions | store.library_versions(image_format)


def match_requests(
    requested: GenerationRequest,
    existing: GenerationRequest,
    *,
    n_images: int,
    draws: int,
    unfinished: bool,
    append: bool,
) -> RequestMatch:
    """Compare a request with that of an existing dataset, which has `n_images` images from `draws` candidates."""
    differences, complete = _list_differences(requested, existing), n_images == existing.n
    if requested.n < existing.n:
        differences.append(f"n {existing.n}, not {requested.n}")
    if not requested.parts and requested.max_draws < draws:
        differences.append(f"max_draws at least {draws}, not {requested.max_draws}")
    same_draws = requested.max_draws == existing.max_draws or (complete and not unfinished)
    if requested.parts and not (requested.n == existing.n and same_draws):
        fixed = "which a request for several sets of findings cannot change"
        differences.append(f"n {existing.n} and max_draws {existing.max_draws}, {fixed}")
    if requested.format != existing.format and (unfinished or not append or requested.n == existing.n):
        differences.append(f"format {existing.format}, not {requested.format}")
    if differences:
        return RequestMatch(
            "other", f"contains the dataset of another command ({'; '.join(differences)}); use --force to replace it"
        )
    if requested.n > existing.n and not append:
        reason = f"contains n = {existing.n} images of this request; use --append to extend it to {requested.n}"
        return RequestMatch("other", f"{reason}, or --force to start over")
    same = requested.n == existing.n and (complete or requested.max_draws == existing.max_draws)
    # Another format may depend on libraries that the existing one does not depend on.
    same_format = requested.format == existing.format
    pins = {name: value for name, value in requested.pins.items() if same_format or name in existing.pins}
    changed = _list_changes({**existing.pins, "threads": existing.threads}, {**pins, "threads": requested.threads})
    if changed and (unfinished or not same):
        reason = f"was generated with {'; '.join(changed)}; resume it with the same, or use --force to start over"
        return RequestMatch("other", reason)
    return RequestMatch("same" if same else "longer")


def _precision_pin(precision: str) -> dict[str, str]:
    return {} if precision == "fp32" else {"precision": precision}


def _unreadable(path: Path) -> DataError:
    return DataError(f"{path}: was not written by this version of synthcxr; choose another --out")


def _list_differences(requested: GenerationRequest, existing: GenerationRequest) -> list[str]:
    differences = _list_changes(_select_fields(existing), _select_fields(requested))
    differences += [] if existing.parts == requested.parts else ["other sets of findings"]
    films = "films of the copy filter"
    differences += _list_changes({films: existing.copy_filter or "none"}, {films: requested.copy_filter or "none"})
    kinds = [*requested.models, *sorted(existing.models.keys() - requested.models.keys())]
    changed_kinds = (kind for kind in kinds if existing.models.get(kind) != requested.models.get(kind))
    return differences + [f"another {kind}" for kind in changed_kinds]


def _select_fields(request: GenerationRequest) -> dict[str, Any]:
    """The fields that an extended dataset keeps, as a user reads them."""
    is_exact = bool(request.labels) and request.without == list_other_findings(request.labels)
    fields = {
        name: getattr(request, name) for name in ("seed", "labels", "without", "method", "batch", "min_effective_share")
    }
    fields |= {"attributes": str(request.attributes) or "none"}
    return fields | ({"without": "every other finding"} if is_exact else {})


def _list_changes(existing: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {_format_value(existing.get(name))}, not {_format_value(value)}"
        for name, value in requested.items()
        if existing.get(name) != value
    ]


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(value) or "none"
    return str(value)

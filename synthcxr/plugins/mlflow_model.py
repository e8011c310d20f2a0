"""Load a registered model with MLflow: `mlflow.pyfunc.load_model("models:/synthcxr-generator@champion")`.

MLflow imports this module by name and calls `_load_pyfunc`; nothing heavy is imported before that call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthcxr.plugins.call_deadline import Deadline

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from synthcxr.api.sampler import Sampler, SamplerMethod
    from synthcxr.model_files.onnx_metadata import Kind
    from synthcxr.synthesis.runtime.onnx_session import Session

MAX_IMAGES = 1000
MAX_DRAWS = 100_000
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class GeneratorModel:
    """Turns a table of requests (label, n, seed) into a table of images.

    Simultaneous calls run one after another, because the runtime uses every core and so memory stays bounded.
    """

    sampler: Sampler
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def get_raw_model(self) -> Sampler:
        """Return the object behind the MLflow model."""
        return self.sampler

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return one row per image: request (its row), index, seed, findings, p_*, weight, digests and the PNG.

        `label` may be "" or join findings with `|`; the columns label and seed may be missing. A conditional generator
        also takes the columns view, sex and age (such as 60-70), and returns the condition. A call returns at most
        1,000 images. All its requests together examine at most 100,000 candidates; if these contain fewer images, fewer
        rows are returned, with a warning. In a scoring server, the work ends when the server has timed the call out.
        """
        import pandas as pd

        deadline = Deadline.from_environment()
        with raise_as_bad_request():
            requests = [ServingRequest.from_row(row) for row in model_input.to_dict("records")]
            _check_total(sum(request.n for request in requests))
            options = _SamplingOptions.from_params(params)
            with deadline.acquire(self.lock):
                tables = self._sample_all(requests, options, deadline)
        return pd.concat(tables, ignore_index=True)

    def _sample_all(
        self, requests: list[ServingRequest], options: _SamplingOptions, deadline: Deadline
    ) -> list[pd.DataFrame]:
        """Sample the requests in order until the call has examined MAX_DRAWS candidates."""
        from synthcxr.config.schema import default_max_draws

        tables: list[pd.DataFrame] = []
        n_left = MAX_DRAWS
        for index, request in enumerate(requests):
            max_draws = options.max_draws or default_max_draws(request.n, selective=bool(request.label))
            meter = _DrawMeter(deadline)
            tables.append(self._sample(index, request, min(max_draws, n_left), options, meter))
            n_left -= meter.n_draws
            if n_left <= 0 and index + 1 < len(requests):
                warnings.warn(
                    f"the call examined its {MAX_DRAWS} candidates in {index + 1} of {len(requests)} requests;"
                    " send the others in another call",
                    stacklevel=3,
                )
                break
        return tables

    def _sample(
        self, index: int, request: ServingRequest, max_draws: int, options: _SamplingOptions, meter: _DrawMeter
    ) -> pd.DataFrame:
        from synthcxr.data import images
        from synthcxr.storage import digests

        meter.deadline.check()
        pixels, table = self.sampler.sample(
            request.label,
            request.n,
            request.seed,
            max_draws,
            method=options.method,
            threshold=options.threshold if request.label else 0.0,
            view=request.view,
            sex=request.sex,
            age=request.age,
            on_block=meter.record,
        )
        pngs = [images.encode_png(image) for image in pixels]
        table = table.drop(columns="requested")
        table.insert(0, "request", index)
        table["sha256"] = [digests.sha256_bytes(png) for png in pngs]
        table["latent_sha256"] = table.pop("latent_sha256")
        table["image"] = pngs
        return table


@dataclasses.dataclass(frozen=True)
class ClassifierModel:
    """Turns images into a table of findings and probabilities."""

    session: Session

    def get_raw_model(self) -> Session:
        """Return the object behind the MLflow model."""
        return self.session

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return one row per image: findings by their thresholds, then p_* (calibrated probabilities).

        The images are [N, 1, R, R], uint8 or float in [-1, 1].
        """
        import numpy as np
        import pandas as pd

        from synthcxr.data.findings import format_finding_labels
        from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS
        from synthcxr.model_files import predictions

        deadline = Deadline.from_environment()
        with raise_as_bad_request():
            images = _to_network_input(np.asarray(model_input), self.session.metadata.resolution)
            logits = []
            for start in range(0, len(images), BATCH_SIZE):
                deadline.check()
                logits.append(self.session.run(images[start : start + BATCH_SIZE])["logits"])
        probabilities = predictions.to_probabilities(np.concatenate(logits))
        present = predictions.is_present(probabilities, self.session.metadata.thresholds).astype(float)
        calibrated = predictions.calibrate(probabilities, self.session.metadata.calibration)
        table = pd.DataFrame({"Finding Labels": [format_finding_labels(row) for row in present]})
        return pd.concat([table, pd.DataFrame(calibrated, columns=list(PROBABILITY_COLUMNS))], axis=1)


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> GeneratorModel | ClassifierModel:
    """Open the model folder that MLflow unpacked; `model_config` may have the key `device`: auto, cuda or cpu."""
    from synthcxr.api.sampler import Sampler
    from synthcxr.model_files import model_folder
    from synthcxr.synthesis.runtime.onnx_session import Session

    folder = Path(path)
    device = dict(model_config or {}).get("device", "auto")
    if (folder / model_folder.GENERATOR_FILE).is_file():
        return GeneratorModel(Sampler.open(folder, device=device))
    model_folder.verify_files(folder)
    kind: Kind = "classifier" if (folder / model_folder.CLASSIFIER_FILE).is_file() else "judge"
    return ClassifierModel(Session.open(folder / f"{kind}.onnx", kind=kind, device=device))


@dataclasses.dataclass(frozen=True)
class ServingRequest:
    """One row of a call; "" means any finding, view, sex or age."""

    label: str
    n: int
    seed: int
    view: str = ""
    sex: str = ""
    age: str = ""

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> ServingRequest:
        """Parse one row of the table; a seed that is missing in one row only is None or NaN there."""
        from synthcxr.data.random_streams import MAX_SEED
        from synthcxr.errors import DataError

        label, n, seed = row.get("label", ""), row.get("n", 0), row.get("seed")
        attributes = [_read_optional_text(row, name) for name in ("view", "sex", "age")]
        if not isinstance(label, str):
            raise DataError(f'label must be a text, "" for any finding, is {label!r}')
        if not _is_whole(n) or n < 1:
            raise DataError(f"n must be a whole number of images, at least 1, is {n!r}")
        seed = 0 if seed is None or seed != seed else seed
        if not _is_whole(seed) or not 0 <= seed <= MAX_SEED:
            raise DataError(f"seed must be a whole number from 0 to {MAX_SEED}, is {seed!r}")
        return cls(label, int(n), int(seed), *attributes)


@dataclasses.dataclass
class _DrawMeter:
    """Counts the candidates that one request examined, and ends it at the deadline."""

    deadline: Deadline
    n_draws: int = 0

    def record(self, n_draws: int) -> None:
        self.n_draws = n_draws
        self.deadline.check()


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole number; True, False and text are none."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return False
    return isinstance(value, numbers.Integral) or (isinstance(value, numbers.Real) and float(value).is_integer())


def _read_optional_text(row: Mapping[Any, Any], name: str) -> str:
    """A text of a row; "" where the row lacks it."""
    from synthcxr.errors import DataError

    value = row.get(name, "")
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{name} must be a text, is {value!r}")
    return value


def _check_total(n: int) -> None:
    from synthcxr.errors import DataError

    if not 1 <= n <= MAX_IMAGES:
        raise DataError(
            f"a call must request 1 to {MAX_IMAGES} images, not {n}; send several calls with different seeds, or run"
            " `synthcxr generate`"
        )


@dataclasses.dataclass(frozen=True)
class _SamplingOptions:
    """The parameters of a call: sampling method, lowest probability of a requested finding, limit of candidates."""

    method: SamplerMethod
    threshold: float
    max_draws: int | None

    @classmethod
    def from_params(cls, params: Mapping[str, Any] | None) -> _SamplingOptions:
        from synthcxr.errors import DataError

        values = dict(params or {})
        max_draws = values.get("max_draws") or 0
        threshold = values.get("threshold") or 0.0
        if not _is_whole(max_draws):
            raise DataError(f"max_draws must be a whole number, is {max_draws!r}")
        if not isinstance(threshold, numbers.Real):
            raise DataError(f"threshold must be a number, is {threshold!r}")
        if not 0 <= max_draws <= MAX_DRAWS:
            raise DataError(f"max_draws must be 0 (chosen from n) to {MAX_DRAWS}, is {max_draws}")
        return cls(values.get("method") or "auto", float(threshold), int(max_draws) or None)


def _to_network_input(images: NDArray[Any], side: int) -> NDArray[np.float32]:
    import numpy as np

    from synthcxr.data.images import to_float
    from synthcxr.errors import DataError

    if images.ndim != 4 or images.shape[1:] != (1, side, side) or not len(images):
        raise DataError(f"images must have the shape [N, 1, {side}, {side}], not {list(images.shape)}")
    if images.dtype == np.uint8:
        return to_float(images[:, 0])
    if images.dtype.kind != "f":
        raise DataError(f"images must be uint8, or float in [-1, 1], not {images.dtype}")
    if not np.isfinite(images).all() or np.abs(images).max() > 1.001:
        raise DataError("float images must be in [-1, 1]; give uint8 pixels, or scale them")
    return images.astype(np.float32)


@contextlib.contextmanager
def raise_as_bad_request() -> Iterator[None]:
    """Raise errors of the caller as MLflow's, whose message a scoring server returns with status 400."""
    from mlflow.exceptions import MlflowException

    from synthcxr.errors import SynthCXRError

    try:
        yield
    except SynthCXRError as error:
        raise MlflowException.invalid_parameter_value(str(error)) from error

"""What MLflow loads a registered model with: `mlflow.pyfunc.load_model("models:/synthcxr-generator@champion")`.

MLflow imports this module by name and calls `_load_pyfunc`; nothing heavy is imported before that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from synthcxr.api import Method, Sampler
    from synthcxr.model_files.onnx_metadata import Kind
    from synthcxr.synthesis.runtime.onnx_session import Session

MAX_IMAGES = 1000
MAX_DRAWS = 100_000
BATCH = 32
METHODS: tuple[Method, ...] = ("auto", "reject", "guided")


@dataclasses.dataclass(frozen=True)
class Generator:
    """A table of requests (label, n, seed) in, a table of images out.

    Callers at once take turns: the runtime uses every core for one of them, and memory stays that of one.
    """

    sampler: Sampler
    turn: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def get_raw_model(self) -> Sampler:
        """What MLflow shows of it."""
        return self.sampler

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """A row an image: request (the row that asked), index, seed, findings, p_*, weight, digests, the PNG.

        `label` may be empty or join findings by `|`; `seed` may be absent. At most 1,000 images a call, among at most
        100,000 candidates a request; where those hold fewer, fewer rows come back.
        """
        import pandas as pd

        with as_bad_request():
            requests = [Request.read(row) for row in model_input.to_dict("records")]
            _check_total(sum(request.n for request in requests))
            how = _How.read(params)
            with self.turn:
                made = [self._made(at, request, how) for at, request in enumerate(requests)]
        return pd.concat(made, ignore_index=True)

    def _made(self, at: int, request: Request, how: _How) -> pd.DataFrame:
        from synthcxr.data import images
        from synthcxr.storage import digests

        pixels, table = self.sampler.sample(
            request.label,
            request.n,
            request.seed,
            how.max_draws,
            method=how.method,
            threshold=how.threshold if request.label else 0.0,
        )
        pngs = [images.encode_png(image) for image in pixels]
        table = table.drop(columns="requested")
        table.insert(0, "request", at)
        table["sha256"] = [digests.sha256_bytes(png) for png in pngs]
        table["latent_sha256"] = table.pop("latent_sha256")
        table["image"] = pngs
        return table


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Images in, a table of findings and probabilities out."""

    session: Session

    def get_raw_model(self) -> Session:
        """What MLflow shows of it."""
        return self.session

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Images [N, 1, R, R], uint8 or float in [-1, 1], to a row each: findings by their thresholds, then p_*."""
        import numpy as np
        import pandas as pd

        from synthcxr.data import findings, records
        from synthcxr.model_files import predictions

        with as_bad_request():
            held = _as_network_input(np.asarray(model_input), self.session.contract.resolution)
            parts = [self.session.run(held[at : at + BATCH])["logits"] for at in range(0, len(held), BATCH)]
        raw = predictions.probabilities(np.concatenate(parts))
        present = predictions.present(raw, self.session.contract.thresholds).astype(float)
        probabilities = predictions.calibrated(raw, self.session.contract.calibration)
        table = pd.DataFrame({"Finding Labels": [findings.join(row) for row in present]})
        return pd.concat([table, pd.DataFrame(probabilities, columns=list(records.PROBABILITY_COLUMNS))], axis=1)


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Generator | Classifier:
    """Open the model folder that MLflow unpacked; `model_config` may hold `device`: auto, cuda or cpu."""
    from synthcxr.api import Sampler
    from synthcxr.model_files import model_folder
    from synthcxr.synthesis.runtime.onnx_session import Session

    folder = Path(path)
    device = dict(model_config or {}).get("device", "auto")
    if (folder / "generator.onnx").is_file():
        return Generator(Sampler.open(folder, device=device))
    model_folder.verify(folder)
    kind: Kind = "classifier" if (folder / "classifier.onnx").is_file() else "judge"
    return Classifier(Session.open(folder / f"{kind}.onnx", kind=kind, device=device))


@dataclasses.dataclass(frozen=True)
class Request:
    """One row of what is asked for; `label` "" is any finding."""

    label: str
    n: int
    seed: int

    @classmethod
    def read(cls, row: Mapping[Any, Any]) -> Request:
        """One row of the table; an absent label or seed is None or NaN there."""
        from synthcxr.data.random_streams import MAX_SEED
        from synthcxr.errors import DataError

        label, n, seed = row.get("label"), row.get("n"), row.get("seed")
        label = label if isinstance(label, str) else ""
        seed = 0 if seed is None or seed != seed else seed
        if n is None or n != n or int(n) != n or n < 1:
            raise DataError(f"n is the number of images, at least 1, not {n}")
        if int(seed) != seed or not 0 <= seed <= MAX_SEED:
            raise DataError(f"seed is a whole number from 0, not {seed}")
        return cls(label, int(n), int(seed))


def _check_total(n: int) -> None:
    from synthcxr.errors import DataError

    if not 1 <= n <= MAX_IMAGES:
        raise DataError(
            f"asked for {n} images; a call gives 1 to {MAX_IMAGES}: send several with other seeds, or run"
            " `synthcxr generate`"
        )


@dataclasses.dataclass(frozen=True)
class _How:
    """The parameters of a call: how candidates are chosen, how sure a finding must be, how many are tried."""

    method: Method
    threshold: float
    max_draws: int | None

    @classmethod
    def read(cls, params: Mapping[str, Any] | None) -> _How:
        from synthcxr.errors import DataError

        given = dict(params or {})
        max_draws = int(given.get("max_draws") or 0)
        if not 0 <= max_draws <= MAX_DRAWS:
            raise DataError(f"max_draws is 0 (chosen from n) to {MAX_DRAWS}, not {max_draws}")
        asked = str(given.get("method") or "auto")
        method = next((method for method in METHODS if method == asked), None)
        if method is None:
            raise DataError(f"method is one of {', '.join(METHODS)}, not {asked!r}")
        return cls(method, float(given.get("threshold") or 0.0), max_draws or None)


def _as_network_input(held: NDArray[Any], side: int) -> NDArray[np.float32]:
    import numpy as np

    from synthcxr.data import images
    from synthcxr.errors import DataError

    if held.ndim != 4 or held.shape[1:] != (1, side, side) or not len(held):
        raise DataError(f"images are [N, 1, {side}, {side}], not {list(held.shape)}")
    if held.dtype == np.uint8:
        return images.to_float(held[:, 0])
    if held.dtype.kind != "f":
        raise DataError(f"images are uint8, or float in [-1, 1], not {held.dtype}")
    if not np.isfinite(held).all() or np.abs(held).max() > 1.001:
        raise DataError("float images lie in [-1, 1]; give uint8 pixels, or scale them")
    return held.astype(np.float32)


@contextlib.contextmanager
def as_bad_request() -> Iterator[None]:
    """Turn an error that the caller can mend into MLflow's, whose message a scoring server passes on (status 400)."""
    from mlflow.exceptions import MlflowException

    from synthcxr.errors import SynthCXRError

    try:
        yield
    except SynthCXRError as error:
        raise MlflowException.invalid_parameter_value(str(error)) from error

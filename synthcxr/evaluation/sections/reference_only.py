"""Evidence where no film is at hand: images against what of its films a model carries, reference.npz.

That holds the val films as the judge sees them: feature rows, counts of its labels, and how far training films lie from
them. The val films set the judge's thresholds and chose its weights, so this is a first look and no test.
"""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.gates import NOT_APPLICABLE
from synthcxr.evaluation.metrics import bootstrap, frechet, label_distribution
from synthcxr.evaluation.metrics.frechet import MIN_FILMS, Provenance
from synthcxr.evaluation.metrics.label_distribution import Bool, Share

Float64 = NDArray[np.float64]

NO_FILMS = f"{NOT_APPLICABLE} (no films: give --reference)"


@dataclasses.dataclass(frozen=True)
class Reference:
    """Feature rows [n, d] of val films, counts [15] of the judge's labels, "No Finding" first, and the floor at `n`."""

    features: Float64
    counts: Float64
    n_val: int
    floor: float
    floor_n: int
    judge: str

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read reference.npz; ArtifactError where it is absent, broken or of an older form."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return cls(
                    features=held["judge_features"].astype(np.float64),
                    counts=held["counts"].astype(np.float64),
                    n_val=int(held["n_val"]),
                    floor=float(held["floor_judge"]),
                    floor_n=int(held["floor_n"]),
                    judge=str(held["digest_judge"]),
                )
        except FileNotFoundError:
            raise ArtifactError(
                f"{path}: no such file, and no films were given; give --reference, or models that hold it"
            ) from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path}: not the reference of a model ({error!r}); export it again") from error

    def without_any(self) -> Reference:
        """For a set that was chosen by its labels: no row is known to be of a film that shows what was asked for."""
        return dataclasses.replace(self, features=self.features[:0], counts=0 * self.counts, n_val=0)


def distance(
    reference: Reference,
    *,
    synthetic: NDArray[np.float32],
    provenance: Provenance,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The entry of "distance" for the judge: images [n, d] against the reference's rows, its floor beside it.

    `relative` is given only where there are as many images as the floor was taken with, and the rows are all of them.
    """
    n = min(len(synthetic), reference.floor_n)
    fields = [field.name for field in dataclasses.fields(frechet.Distance) if field.name != "provenance"]
    held = dataclasses.asdict(provenance) | dict.fromkeys(fields)
    held |= {"n_synthetic": n, "floor_n": reference.floor_n, "n_test": len(reference.features)}
    if reference.judge != provenance.digest:
        raise ArtifactError("the reference was taken with another judge than the one beside it; export them again")
    if min(n, len(reference.features)) < MIN_FILMS:
        return held | {"status": f"{NOT_APPLICABLE} (n = {min(n, len(reference.features))})"}
    value = frechet.frechet_distance(real=reference.features, synthetic=synthetic[:n])
    draws = np.array([_draw(reference.features, synthetic[:n], rng) for _ in range(n_bootstrap)])
    alike = n == reference.floor_n and len(reference.features) == reference.n_val and reference.floor > 0
    return held | {
        "value": value,
        "interval": bootstrap.centred(value, draws),
        "floor": reference.floor,
        "relative": value / reference.floor if alike else None,
        "relative_interval": bootstrap.centred_ratio(value / reference.floor, draws / reference.floor)
        if alike
        else None,
        "status": "computed",
    }


def labels(reference: Reference, present: Bool, *, weak: tuple[str, ...]) -> dict[str, Any]:
    """The content of "labels": shares of images [n, 14] against the reference's counts, Wilson's interval on both."""
    if reference.n_val < MIN_FILMS:
        empty = dict.fromkeys(("total_variation", "jensen_shannon", "kl"))
        why = f"{NOT_APPLICABLE} (n = {reference.n_val})"
        return empty | {"shares": {}, "not_judged": weak, "status": why}
    made = label_distribution.categories(present)
    shares = {}
    for name, real, synthetic in zip((NO_FINDING, *FINDINGS), reference.counts, made.sum(axis=0), strict=True):
        share = Share(
            real=real / reference.n_val,
            real_interval=bootstrap.wilson(real, reference.n_val),
            synthetic=float(synthetic) / len(made),
            synthetic_interval=bootstrap.wilson(float(synthetic), len(made)),
            ratio=float(synthetic) / len(made) / (real / reference.n_val) if real else None,
            ratio_interval=None,
            n_real_positive=int(real),
            judged=name not in weak,
        )
        shares[name] = dataclasses.asdict(share)
    judged = np.array([share["judged"] for share in shares.values()])
    counts = {"real": reference.counts[judged], "synthetic": made[:, judged].sum(axis=0).astype(np.float64)}
    return {
        "shares": shares,
        "total_variation": label_distribution.total_variation(**counts),
        "jensen_shannon": label_distribution.jensen_shannon(**counts),
        "kl": label_distribution.kullback_leibler(**counts),
        "not_judged": weak,
        "n_real": reference.n_val,
        "n_synthetic": len(made),
        "status": "computed",
    }


def _draw(real: Float64, synthetic: NDArray[np.float32], rng: np.random.Generator) -> float:
    """The distance between a resample of each side."""
    rows = (side[rng.integers(len(side), size=len(side))] for side in (real, synthetic))
    return frechet.distance_to(frechet.fitted(next(rows)), next(rows))

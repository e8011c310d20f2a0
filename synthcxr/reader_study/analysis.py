"""All that a study's readings show, as one tree of plain values ready for JSON."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.reader_study import accuracy, intervals, kappa, roc, scored_answers
from synthcxr.reader_study.answer_key import Key
from synthcxr.reader_study.classifier_agreement import agreement
from synthcxr.reader_study.intervals import Estimate

LEAST = 10  # readings of a part about which something is said
_CALLS = ("real", "unsure", "synthetic")


def analyse(rows: pd.DataFrame, key: Key, *, seed: int) -> dict[str, Any]:
    """The results of the readings of `readings.table`; the same for the same seed."""
    rng = np.random.default_rng(seed)
    single = rows[(rows["task"] == "single") & (rows["role"] == "case")]
    pairs = rows[rows["task"] == "pair"]
    numbers = sorted(map(int, rows["reader"].unique()))
    return {
        "study": key.study,
        "about": dict(key.about),
        "n_readings": len(rows),
        "n_cases": int(single["case"].nunique()),
        "n_real": int(single[single["origin"] == "real"]["case"].nunique()),
        "n_synthetic": int(single[single["origin"] == "synthetic"]["case"].nunique()),
        "n_pairs": int(pairs["case"].nunique()),
        "readers": {str(n): _reader(rows[rows["reader"] == n], key, n) for n in numbers},
        "not_begun": sorted(set(key.readers) - set(numbers)),
        "pooled": _pooled(single, rng),
        "pairs": None if pairs.empty else _pairs(pairs, rng),
        "between_readers": _between(single, numbers),
        "by_finding": {name: _of_finding(single, name, rng) for name in (NO_FINDING, *FINDINGS)},
        "time": _time(single),
        "quality": {origin: _median(single[single["origin"] == origin]["quality"]) for origin in ("real", "synthetic")},
        "classifier": agreement(single),
    }


def _reader(rows: pd.DataFrame, key: Key, number: int) -> dict[str, Any]:
    single = rows[(rows["task"] == "single") & (rows["role"] == "case")]
    pairs = rows[rows["task"] == "pair"]
    wanted = sum(place.role != "practice" for place in key.readers[number])
    synthetic = (single["origin"] == "synthetic").to_numpy(dtype=bool)
    confidence = single["confidence"].to_numpy(dtype=np.float64)
    return {
        "n": len(single),
        "complete": len(rows) == wanted,
        "n_unsure": int(single["right"].isna().sum()),
        "accuracy": _json(accuracy.of_reader(single["right"].to_numpy(dtype=np.float64))),
        **_calls(single),
        "auc": _json(roc.auc(confidence, synthetic)),
        "roc": roc.curve(confidence, synthetic),
        "repeats": _repeats(rows),
        "pairs": None if pairs.empty else _json(accuracy.of_reader(pairs["right"].to_numpy(dtype=np.float64))),
        "seconds": _median(rows["seconds"]),
    }


def _calls(single: pd.DataFrame) -> dict[str, Any]:
    """How often synthetic images, and real films, were called synthetic; the unsure were not."""
    found = {}
    for name, origin in (("sensitivity", "synthetic"), ("false_alarms", "real")):
        called = single[single["origin"] == origin]["called"] == "synthetic"
        found[name] = _json(dataclasses.replace(intervals.share(int(called.sum()), len(called)), p=None))
    return found


def _pooled(single: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    if single.empty:
        return {"accuracy": None, "auc": None, "sensitivity": None, "false_alarms": None}
    confidence, cases = scored_answers.grid(single, "confidence")
    origin, cluster = (scored_answers.by_case(single, column) for column in ("origin", "cluster"))
    names = [str(cluster[case]) for case in cases]
    synthetic = np.array([origin[case] == "synthetic" for case in cases])
    right, _ = scored_answers.grid(single, "right")
    called = np.where(np.isnan(confidence), np.nan, (confidence > scored_answers.UNSURE).astype(np.float64))
    parts = {"sensitivity": synthetic, "false_alarms": ~synthetic}
    return {
        "accuracy": _maybe(accuracy.pooled(right, names, rng)),
        "auc": _maybe(roc.pooled(confidence, synthetic, names, rng)),
        **{
            name: _maybe(accuracy.pooled(called[:, held], [n for n, h in zip(names, held, strict=True) if h], rng))
            for name, held in parts.items()
        },
    }


def _pairs(pairs: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    right, cases = scored_answers.grid(pairs, "right")
    return {
        "n_unsure": int(np.isnan(pairs["right"].to_numpy(dtype=np.float64)).sum()),
        "accuracy": _maybe(accuracy.pooled(right, list(map(str, cases)), rng)),
    }


def _repeats(rows: pd.DataFrame) -> dict[str, Any]:
    """What a reader said of the same image twice."""
    single = rows[rows["task"] == "single"]
    first = single[single["role"] == "case"].set_index("case")
    again = single[single["role"] == "repeat"].set_index("case")
    both = first.loc[first.index.intersection(again.index)]
    again = again.loc[both.index]
    same = int((both["called"] == again["called"]).sum())
    ratings = [held["confidence"].to_numpy(dtype=np.int64) - 1 for held in (both, again)]
    return {
        "n": len(both),
        "same_call": _json(dataclasses.replace(intervals.share(same, len(both)), p=None)),
        "kappa": _json(kappa.cohen(*ratings, k=roc.LEVELS, quadratic=True)),
    }


def _between(single: pd.DataFrame, numbers: list[int]) -> dict[str, Any]:
    """Kappas of the three calls among all readers, on the cases that all have read, and of each two."""
    if single.empty or len(numbers) < 2:
        return {"fleiss": None, "n_cases": 0, "cohen": []}
    rated = single.assign(rating=single["called"].map({name: at for at, name in enumerate(_CALLS)}))
    ratings, _ = scored_answers.grid(rated, "rating")
    read = ~np.isnan(ratings).any(axis=0)
    who = sorted(map(int, single["reader"].unique()))
    return {
        "fleiss": _json(kappa.fleiss(ratings[:, read].astype(np.int64), k=len(_CALLS))),
        "n_cases": int(read.sum()),
        "cohen": [
            {"readers": [who[a], who[b]], "kappa": _json(_of_two(ratings[a], ratings[b]))}
            for a, b in itertools.combinations(range(len(ratings)), 2)
        ],
    }


def _of_two(first: Any, second: Any) -> Estimate:
    read = ~np.isnan(first) & ~np.isnan(second)
    return kappa.cohen(first[read].astype(np.int64), second[read].astype(np.int64), k=len(_CALLS))


def _of_finding(single: pd.DataFrame, finding: str, rng: np.random.Generator) -> dict[str, Any]:
    """Accuracy on the images that carry a finding; nothing for fewer than LEAST of them."""
    part = single[[finding in held for held in single["labels"]]]
    n_cases = int(part["case"].nunique())
    found: dict[str, Any] = {"n_cases": n_cases, "n_readings": len(part)}
    if n_cases < LEAST:
        return found | {"accuracy": None}
    right, cases = scored_answers.grid(part, "right")
    cluster = scored_answers.by_case(part, "cluster")
    if len(right) == 1:
        return found | {"accuracy": _json(accuracy.of_reader(right[0]))}
    return found | {"accuracy": _maybe(accuracy.pooled(right, [str(cluster[case]) for case in cases], rng))}


def _time(single: pd.DataFrame) -> dict[str, Any]:
    parts: dict[str, Callable[[pd.DataFrame], pd.Series[Any]]] = {
        "all": lambda rows: rows["seconds"],
        "real": lambda rows: rows[rows["origin"] == "real"]["seconds"],
        "synthetic": lambda rows: rows[rows["origin"] == "synthetic"]["seconds"],
        "right": lambda rows: rows[rows["right"] == 1]["seconds"],
        "wrong": lambda rows: rows[rows["right"] == 0]["seconds"],
    }
    return {name: _median(take(single)) for name, take in parts.items()}


def _median(values: pd.Series[Any]) -> dict[str, Any]:
    held = values.to_numpy(dtype=np.float64)
    held = held[~np.isnan(held)]
    if not len(held):
        return {"median": None, "quartiles": None, "n": 0}
    low, middle, high = np.percentile(held, [25, 50, 75])
    return {"median": float(middle), "quartiles": [float(low), float(high)], "n": len(held)}


def _maybe(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else _json(estimate)


def _json(estimate: Estimate) -> dict[str, Any]:
    held = dataclasses.asdict(estimate)
    return held if estimate.p is not None else {name: value for name, value in held.items() if name != "p"}

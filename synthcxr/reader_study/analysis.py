"""The analysis of all readings of a study, as one tree of plain values that becomes analysis.json."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.reader_study import accuracy, agreement, intervals
from synthcxr.reader_study.answer_key import AnswerKey
from synthcxr.reader_study.intervals import Float64, StudyEstimate
from synthcxr.reader_study.scored_answers import UNSURE, get_value_by_case, to_reader_case_matrix

MIN_CASES_PER_FINDING = 10
_CALLS = ("real", "unsure", "synthetic")


def analyse_readings(rows: pd.DataFrame, key: AnswerKey, *, seed: int) -> dict[str, Any]:
    """Analyse the rows of `scored_answers.score_readings`. The same seed gives the same intervals."""
    rng = np.random.default_rng(seed)
    single = rows[(rows["task"] == "single") & (rows["role"] == "case")]
    pairs = rows[rows["task"] == "pair"]
    readers = sorted(map(int, rows["reader"].unique()))
    return {
        "study": key.study,
        "about": dict(key.about),
        "n_readings": len(rows),
        "n_cases": int(single["case"].nunique()),
        "n_real": int(single[single["origin"] == "real"]["case"].nunique()),
        "n_synthetic": int(single[single["origin"] == "synthetic"]["case"].nunique()),
        "n_pairs": int(pairs["case"].nunique()),
        "readers": {str(reader): _analyse_reader(rows[rows["reader"] == reader], key, reader) for reader in readers},
        "not_begun": sorted(set(key.readers) - set(readers)),
        "pooled": _pool_readers(single, rng),
        "pairs": None if pairs.empty else _pool_pairs(pairs, rng),
        "between_readers": _compare_readers(single, readers),
        "by_finding": {name: _analyse_finding(single, name, rng) for name in (NO_FINDING, *FINDINGS)},
        "time": _summarise_time(single),
        "quality": {
            origin: _summarise(single[single["origin"] == origin]["quality"]) for origin in ("real", "synthetic")
        },
        "classifier": agreement.compare_with_classifier(single),
    }


def _analyse_reader(rows: pd.DataFrame, key: AnswerKey, reader: int) -> dict[str, Any]:
    single = rows[(rows["task"] == "single") & (rows["role"] == "case")]
    pairs = rows[rows["task"] == "pair"]
    n_screens = sum(screen.role != "practice" for screen in key.readers[reader])
    synthetic = (single["origin"] == "synthetic").to_numpy(dtype=bool)
    confidence = _to_float(single["confidence"])
    return {
        "n": len(single),
        "complete": len(rows) == n_screens,
        "n_unsure": int(single["right"].isna().sum()),
        "accuracy": _to_json(accuracy.estimate_reader_accuracy(_to_float(single["right"]))),
        **_estimate_calls(single),
        "auc": _to_json(accuracy.estimate_reader_auc(confidence, synthetic)),
        "roc": accuracy.compute_roc(confidence, synthetic),
        "repeats": _compare_repeats(rows),
        "pairs": None if pairs.empty else _to_json(accuracy.estimate_reader_accuracy(_to_float(pairs["right"]))),
        "seconds": _summarise(rows["seconds"]),
    }


def _estimate_calls(single: pd.DataFrame) -> dict[str, Any]:
    """The shares of synthetic images and of real films that were called synthetic; unsure is not called synthetic."""
    shares = {}
    for name, origin in (("sensitivity", "synthetic"), ("false_alarms", "real")):
        called_synthetic = single[single["origin"] == origin]["called"] == "synthetic"
        shares[name] = _proportion_to_json(int(called_synthetic.sum()), len(called_synthetic))
    return shares


def _pool_readers(single: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    if single.empty:
        return {"accuracy": None, "auc": None, "sensitivity": None, "false_alarms": None}
    confidence, cases = to_reader_case_matrix(single, "confidence")
    origin, cluster = (get_value_by_case(single, column) for column in ("origin", "cluster"))
    cluster_of_case = np.array([str(cluster[case]) for case in cases])
    synthetic = np.array([origin[case] == "synthetic" for case in cases])
    correct, _ = to_reader_case_matrix(single, "right")
    called_synthetic = np.where(np.isnan(confidence), np.nan, (confidence > UNSURE).astype(np.float64))
    return {
        "accuracy": _to_json(accuracy.pool_accuracy(correct, cluster_of_case.tolist(), rng)),
        "auc": _to_json(accuracy.pool_auc(confidence, synthetic, cluster_of_case.tolist(), rng)),
        **{
            name: _to_json(accuracy.pool_accuracy(called_synthetic[:, subset], cluster_of_case[subset].tolist(), rng))
            for name, subset in (("sensitivity", synthetic), ("false_alarms", ~synthetic))
        },
    }


def _pool_pairs(pairs: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    correct, cases = to_reader_case_matrix(pairs, "right")
    return {
        "n_unsure": int(np.isnan(_to_float(pairs["right"])).sum()),
        "accuracy": _to_json(accuracy.pool_accuracy(correct, list(map(str, cases)), rng)),
    }


def _compare_repeats(rows: pd.DataFrame) -> dict[str, Any]:
    """How well a reader's two answers to the same image agree."""
    single = rows[rows["task"] == "single"]
    first = single[single["role"] == "case"].set_index("case")
    second = single[single["role"] == "repeat"].set_index("case")
    first = first.loc[first.index.intersection(second.index)]
    second = second.loc[first.index]
    n_same_call = int((first["called"] == second["called"]).sum())
    ratings = [answers["confidence"].to_numpy(dtype=np.int64) - 1 for answers in (first, second)]
    return {
        "n": len(first),
        "same_call": _proportion_to_json(n_same_call, len(first)),
        "kappa": _to_json(agreement.cohen_kappa(*ratings, k=accuracy.LEVELS, quadratic=True)),
    }


def _compare_readers(single: pd.DataFrame, readers: list[int]) -> dict[str, Any]:
    """Kappas of the calls: Fleiss' on the cases that all readers have read, and Cohen's of each two readers."""
    if single.empty or len(readers) < 2:
        return {"fleiss": None, "n_cases": 0, "cohen": []}
    rated = single.assign(rating=single["called"].map({call: rating for rating, call in enumerate(_CALLS)}))
    ratings, _ = to_reader_case_matrix(rated, "rating")
    read_by_all = ~np.isnan(ratings).any(axis=0)
    readers_of_singles = sorted(map(int, single["reader"].unique()))
    return {
        "fleiss": _to_json(agreement.fleiss_kappa(ratings[:, read_by_all].astype(np.int64), k=len(_CALLS))),
        "n_cases": int(read_by_all.sum()),
        "cohen": [
            {
                "readers": [readers_of_singles[first], readers_of_singles[second]],
                "kappa": _to_json(_compare_two_readers(ratings[first], ratings[second])),
            }
            for first, second in itertools.combinations(range(len(ratings)), 2)
        ],
    }


def _compare_two_readers(first: NDArray[np.float64], second: NDArray[np.float64]) -> StudyEstimate:
    read_by_both = ~np.isnan(first) & ~np.isnan(second)
    return agreement.cohen_kappa(
        first[read_by_both].astype(np.int64), second[read_by_both].astype(np.int64), k=len(_CALLS)
    )


def _analyse_finding(single: pd.DataFrame, finding: str, rng: np.random.Generator) -> dict[str, Any]:
    """The accuracy on images with a finding; None for fewer than MIN_CASES_PER_FINDING images."""
    rows = single[[finding in labels for labels in single["labels"]]]
    n_cases = int(rows["case"].nunique())
    counts: dict[str, Any] = {"n_cases": n_cases, "n_readings": len(rows)}
    if n_cases < MIN_CASES_PER_FINDING:
        return counts | {"accuracy": None}
    correct, cases = to_reader_case_matrix(rows, "right")
    if len(correct) == 1:
        return counts | {"accuracy": _to_json(accuracy.estimate_reader_accuracy(correct[0]))}
    cluster = get_value_by_case(rows, "cluster")
    cluster_of_case = [str(cluster[case]) for case in cases]
    return counts | {"accuracy": _to_json(accuracy.pool_accuracy(correct, cluster_of_case, rng))}


def _summarise_time(single: pd.DataFrame) -> dict[str, Any]:
    groups = {
        "all": single,
        "real": single[single["origin"] == "real"],
        "synthetic": single[single["origin"] == "synthetic"],
        "right": single[single["right"] == 1],
        "wrong": single[single["right"] == 0],
    }
    return {name: _summarise(rows["seconds"]) for name, rows in groups.items()}


def _summarise(values: pd.Series[Any]) -> dict[str, Any]:
    """Median and quartiles of the values that are not NaN."""
    numbers = _to_float(values)
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        return {"median": None, "quartiles": None, "n": 0}
    low, median, high = np.percentile(numbers, [25, 50, 75])
    return {"median": float(median), "quartiles": [float(low), float(high)], "n": len(numbers)}


def _to_float(values: pd.Series[Any]) -> Float64:
    return values.to_numpy(dtype=np.float64)


def _proportion_to_json(k: int, n: int) -> dict[str, Any] | None:
    """A proportion without the test against one half, which does not apply to it."""
    return _to_json(dataclasses.replace(intervals.estimate_proportion(k, n), p=None))


def _to_json(estimate: StudyEstimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    fields = dataclasses.asdict(estimate)
    return fields if estimate.p is not None else {name: value for name, value in fields.items() if name != "p"}

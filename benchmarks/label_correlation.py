"""Which findings rise together with a requested finding in latent optimisation: a table and a figure (see the paper).

For each finding, the judge, which the search does not use, scores the same candidates before and after the search. A
rise is the mean change of the judge's logit over accepted candidates, in standard deviations among candidates. It is
compared by rank correlation with how much more often the two findings occur together in NIH ChestX-ray14 than by
chance.

    python benchmarks/label_correlation.py MODELS [--blocks 4] [--findings Edema Effusion] [--out docs/results/related]
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from synthcxr.data import images
from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.request.label_mixture import NIH_LABEL_SETS, read_mixture
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.sampling.latent_optimisation import LatentOptimiser
from synthcxr.synthesis.sampling.strategy import SamplingStrategy

SEED = 11
MIN_ACCEPTED = 5
"""Accepted images that a row of the table needs."""


def compute_lift() -> np.ndarray:
    """Compute log2 of co-occurrence against chance, float [14, 14], over the label sets of NIH ChestX-ray14."""
    films = read_mixture(NIH_LABEL_SETS)
    carried = np.array([[name in names for name in FINDINGS] for names in films], dtype=float)
    counts = np.array(list(films.values()), dtype=float)
    single = counts @ carried / counts.sum()
    pair = (carried * counts[:, None]).T @ carried / counts.sum()
    ratios: np.ndarray = np.maximum(pair, 0.5 / counts.sum()) / np.outer(single, single)
    return np.asarray(np.log2(ratios))


def search_finding(strategy: SamplingStrategy, judge: Session, finding: int, n_blocks: int) -> dict[str, Any]:
    """Measure cost and effect of the search for one finding, over `n_blocks` blocks of candidates."""
    if strategy.differentiate is None:
        raise SystemExit("the search needs torch: pip install 'synthcxr[train]'")
    sampler, condition = strategy.sampler, LabelCondition.from_names([FINDINGS[finding]])
    search = LatentOptimiser(sampler, strategy.differentiate, condition)
    starts, moves, runs = [], [], 0
    steps: list[float] = []
    agreements = []
    for start in range(0, n_blocks * sampler.batch_size, sampler.batch_size):
        before, after = sampler.draw_block(SEED, start), search.draw_block(SEED, start)
        logits_before = judge.run(images.to_float(before.pixels))["logits"]
        starts.append(logits_before)
        runs += after.generator_runs
        if len(after.indices):
            logits_after = judge.run(images.to_float(after.pixels))["logits"]
            moves.append(logits_after - logits_before[after.indices - start])
            steps += (after.steps if after.steps is not None else np.zeros(0)).tolist()
            present = predictions.is_present(predictions.to_probabilities(logits_after), judge.metadata.thresholds)
            agreements += present[:, finding].tolist()
    n, n_candidates = len(agreements), n_blocks * sampler.batch_size
    spread = np.concatenate(starts).std(axis=0)
    rises = np.concatenate(moves).mean(axis=0) / spread if n >= MIN_ACCEPTED else np.full(len(FINDINGS), np.nan)
    return {
        "finding": FINDINGS[finding],
        "accepted": n,
        "led": n_candidates,
        "success": n / n_candidates,
        "judge_agrees": float(np.mean(agreements)) if n else None,
        "mean_steps": float(np.mean(steps)) if n else None,
        "runs_an_image": runs / n if n else None,
        "rises": rises.tolist(),
    }


def correlate(rises: np.ndarray, lift: np.ndarray) -> dict[str, float]:
    """Compute Spearman's correlation over ordered pairs of different findings for which the search succeeded."""
    is_compared = np.isfinite(rises) & ~np.eye(len(FINDINGS), dtype=bool)
    if is_compared.sum() < 3:
        return {"pairs": int(is_compared.sum())}
    result = stats.spearmanr(rises[is_compared], lift[is_compared])
    return {"pairs": int(is_compared.sum()), "spearman": float(result.statistic), "p": float(result.pvalue)}


def draw_figure(rises: np.ndarray, path: Path) -> None:
    """Draw one row per requested finding and one column per finding; the requested finding is bold."""
    largest = float(np.nanmax(np.abs(rises))) if np.isfinite(rises).any() else 1.0
    figure = Figure(figsize=(8.5, 7.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(rises, cmap="RdBu_r", vmin=-largest, vmax=largest)
    names = [name.replace("_", " ") for name in FINDINGS]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("finding by the judge")
    axes.set_ylabel("requested finding")
    for row, column in np.ndindex(rises.shape):
        if np.isfinite(rises[row, column]):
            weight = "bold" if row == column else "normal"
            light = abs(rises[row, column]) > 0.6 * largest
            ink = "white" if light else "black"
            axes.text(column, row, f"{rises[row, column]:.1f}", ha="center", va="center", color=ink, weight=weight)
    figure.colorbar(image, label="rise of the logit, in its standard deviations", shrink=0.8)
    figure.savefig(path, dpi=110)


def write_table(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the table: the cost of each search and every rise."""
    columns = [name for name in rows[0] if name != "rises"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, *FINDINGS])
        for row in rows:
            values = [*(row[name] for name in columns), *row["rises"]]
            writer.writerow([f"{value:.3f}" if isinstance(value, float) else value for value in values])


def main() -> None:
    """Write related.json, related.csv and related.png to the folder --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--findings", nargs="+", choices=FINDINGS, default=FINDINGS)
    parser.add_argument("--out", type=Path, default=Path("docs/results/related"))
    arguments = parser.parse_args()
    strategy = SamplingStrategy.open(arguments.models, method="optimise", batch_size=arguments.batch, device="cpu")
    judge = Session.open(arguments.models / "judge.onnx", device="cpu")
    rows = []
    for name in arguments.findings:
        rows.append(search_finding(strategy, judge, FINDINGS.index(name), arguments.blocks))
        print({key: value for key, value in rows[-1].items() if key != "rises"}, flush=True)
    rises = np.full((len(FINDINGS), len(FINDINGS)), np.nan)
    for row in rows:
        rises[FINDINGS.index(row["finding"])] = row["rises"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_table(rows, arguments.out / "related.csv")
    draw_figure(rises, arguments.out / "related.png")
    summary = {"models": strategy.collect_digests(), "related": correlate(rises, compute_lift())}
    print(json.dumps(summary["related"]))
    searches = [
        row | {"rises": [round(value, 4) if np.isfinite(value) else None for value in row["rises"]]} for row in rows
    ]
    text = json.dumps(summary | {"searches": searches}, indent=2)
    (arguments.out / "related.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What rises with the wanted finding when latents are led to it: the paper's observation, as a table and a figure.

For each finding the same candidates before and after the search, by the judge, which had no part in it: the change of
its logit in standard deviations among candidates, over those that were accepted. Beside it how much more often the two
stand together in NIH ChestX-ray14 than by chance, and the rank correlation between the two.

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
LEAST = 5
"""Accepted images from which a row is filled."""


def together() -> np.ndarray:
    """Float [14, 14]: log2 of how often two findings share a film against chance, over NIH's listed sets."""
    films = read_mixture(NIH_LABEL_SETS)
    carried = np.array([[name in names for name in FINDINGS] for names in films], dtype=float)
    counts = np.array(list(films.values()), dtype=float)
    single = counts @ carried / counts.sum()
    pair = (carried * counts[:, None]).T @ carried / counts.sum()
    return np.log2(np.maximum(pair, 0.5 / counts.sum()) / np.outer(single, single))


def led(chooser: SamplingStrategy, judge: Session, finding: int, n_blocks: int) -> dict[str, Any]:
    """What the search for one finding takes and does, over `n_blocks` blocks of candidates."""
    if chooser.differentiate is None:
        raise SystemExit("the search needs torch: pip install 'synthcxr[train]'")
    sampler, wanted = chooser.sampler, LabelCondition.from_names([FINDINGS[finding]])
    search = LatentOptimiser(sampler, chooser.differentiate, wanted)
    starts, moves, steps, runs = [], [], [], 0
    agreed = []
    for at in range(0, n_blocks * sampler.batch_size, sampler.batch_size):
        before, after = sampler.draw_block(SEED, at), search.draw_block(SEED, at)
        begun = judge.run(images.to_float(before.pixels))["logits"]
        starts.append(begun)
        runs += after.generator_runs
        if len(after.indices):
            ended = judge.run(images.to_float(after.pixels))["logits"]
            moves.append(ended - begun[after.indices - at])
            steps += (after.steps if after.steps is not None else np.zeros(0)).tolist()
            shown = predictions.is_present(predictions.to_probabilities(ended), judge.metadata.thresholds)
            agreed += shown[:, finding].tolist()
    n, n_led = len(agreed), n_blocks * sampler.batch_size
    spread = np.concatenate(starts).std(axis=0)
    rises = np.concatenate(moves).mean(axis=0) / spread if n >= LEAST else np.full(len(FINDINGS), np.nan)
    return {
        "finding": FINDINGS[finding],
        "accepted": n,
        "led": n_led,
        "success": n / n_led,
        "judge_agrees": float(np.mean(agreed)) if n else None,
        "mean_steps": float(np.mean(steps)) if n else None,
        "runs_an_image": runs / n if n else None,
        "rises": rises.tolist(),
    }


def correlation(rises: np.ndarray, lift: np.ndarray) -> dict[str, float]:
    """Spearman's, over ordered pairs of different findings where the search succeeded."""
    held = np.isfinite(rises) & ~np.eye(len(FINDINGS), dtype=bool)
    if held.sum() < 3:
        return {"pairs": int(held.sum())}
    found = stats.spearmanr(rises[held], lift[held])
    return {"pairs": int(held.sum()), "spearman": float(found.statistic), "p": float(found.pvalue)}


def draw(rises: np.ndarray, path: Path) -> None:
    """A row a wanted finding, a column each finding's rise; the wanted one itself is framed."""
    largest = float(np.nanmax(np.abs(rises))) if np.isfinite(rises).any() else 1.0
    figure = Figure(figsize=(8.5, 7.5), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(rises, cmap="RdBu_r", vmin=-largest, vmax=largest)
    names = [name.replace("_", " ") for name in FINDINGS]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("finding by the judge")
    axes.set_ylabel("finding the search was for")
    for row, column in np.ndindex(rises.shape):
        if np.isfinite(rises[row, column]):
            weight = "bold" if row == column else "normal"
            light = abs(rises[row, column]) > 0.6 * largest
            ink = "white" if light else "black"
            axes.text(column, row, f"{rises[row, column]:.1f}", ha="center", va="center", color=ink, weight=weight)
    figure.colorbar(shown, label="rise of the logit, in its standard deviations", shrink=0.8)
    figure.savefig(path, dpi=110)


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """The table: what each search took, and every rise."""
    columns = [name for name in rows[0] if name != "rises"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, *FINDINGS])
        for row in rows:
            values = [*(row[name] for name in columns), *row["rises"]]
            writer.writerow([f"{value:.3f}" if isinstance(value, float) else value for value in values])


def main() -> None:
    """Write related.json, related.csv and related.png into the folder --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--findings", nargs="+", choices=FINDINGS, default=FINDINGS)
    parser.add_argument("--out", type=Path, default=Path("docs/results/related"))
    given = parser.parse_args()
    chooser = SamplingStrategy.open(given.models, method="optimise", batch_size=given.batch, device="cpu")
    judge = Session.open(given.models / "judge.onnx", device="cpu")
    rows = []
    for name in given.findings:
        rows.append(led(chooser, judge, FINDINGS.index(name), given.blocks))
        print({key: value for key, value in rows[-1].items() if key != "rises"}, flush=True)
    rises = np.full((len(FINDINGS), len(FINDINGS)), np.nan)
    for row in rows:
        rises[FINDINGS.index(row["finding"])] = row["rises"]
    given.out.mkdir(parents=True, exist_ok=True)
    write(rows, given.out / "related.csv")
    draw(rises, given.out / "related.png")
    summary = {"models": chooser.collect_digests(), "related": correlation(rises, together())}
    print(json.dumps(summary["related"]))
    held = [
        row | {"rises": [round(value, 4) if np.isfinite(value) else None for value in row["rises"]]} for row in rows
    ]
    text = json.dumps(summary | {"searches": held}, indent=2)
    (given.out / "related.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Reaching a rare finding: plain rejection beside guided rejection, and the search, on one model folder.

The finding is the rarest whose rate lies between 0.1 % and 2 % by plain rejection of `--draws` candidates, which also
gives rejection's side. Generator runs count every image that the generator made, padding included. Beside them, what
leading the candidates cost, as so many more runs of generator and classifier, by processor time. The judge says how
many of the accepted show it in its opinion. `effective_share` says how evenly the weights lie: 1 where all are equal.

    python benchmarks/search.py MODELS [--draws 20000] [--images 100] [--out benchmarks/results/search.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data import images, random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.sampling.importance_guide import Guide
from synthcxr.synthesis.sampling.rejection import ImageBatch
from synthcxr.synthesis.sampling.strategy import SamplingStrategy

SEED, LEAST, MOST = 7, 0.001, 0.02


def rates(chooser: SamplingStrategy, draws: int) -> np.ndarray:
    """The share of candidates that show each finding [14]."""
    sampler, n = chooser.sampler, -(-draws // chooser.sampler.batch_size)
    limits = sampler.classifier.metadata.thresholds
    shown = [
        predictions.is_present(sampler.draw_block(SEED, at * sampler.batch_size).probabilities, limits)
        for at in range(n)
    ]
    return np.concatenate(shown).mean(axis=0)


def processor_s(work: Callable[[], object], n: int) -> float:
    """Seconds of processor for one of `n`, the least of five."""
    took = []
    for _ in range(5):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return min(took) / n


def costs(chooser: SamplingStrategy, guide: Guide) -> dict[str, float]:
    """Milliseconds of processor: an image made and classified, and a candidate led."""
    sampler = chooser.sampler
    z = random_streams.draw_latents(SEED, 0, sampler.batch_size, sampler.generator.metadata.latent)
    held = {"run": processor_s(lambda: sampler.generate(z), sampler.batch_size)}
    held["lead"] = processor_s(lambda: guide.propose(SEED, 0, sampler.batch_size), sampler.batch_size)
    return {name: 1000 * each for name, each in held.items()}


def reach(drawn: Iterator[ImageBatch], n: int, judge: Session, finding: int) -> dict[str, Any]:
    """What `n` images cost, and what they are."""
    started, runs, pixels, probabilities, weights = time.perf_counter(), 0, [], [], []
    candidates = 0
    for block in drawn:
        runs, candidates = runs + block.generator_runs, block.stop
        pixels.append(block.pixels)
        probabilities.append(block.probabilities)
        weights.append(block.weights)
        if sum(map(len, weights)) >= n:
            break
    wall_s, found = time.perf_counter() - started, np.concatenate(pixels)
    opinion = predictions.to_probabilities(judge.run(images.to_float(found))["logits"])
    agreed = predictions.is_present(opinion, judge.metadata.thresholds)[:, finding].mean()
    held = {
        "images": len(found),
        "runs": runs,
        "runs_an_image": runs / len(found),
        "candidates": candidates,
        "wall_s": wall_s,
    }
    joined = np.concatenate(weights)
    held |= {"judge_agrees": float(agreed), "largest_weight": float(joined.max())}
    held["effective_share"] = float(joined.sum() ** 2 / (joined**2).sum() / len(joined))
    return held | {"mean_probabilities": dict(zip(FINDINGS, np.concatenate(probabilities).mean(axis=0), strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--methods", nargs="+", choices=("guided", "optimise"), default=("guided", "optimise"))
    parser.add_argument("--finding", choices=FINDINGS, help="In place of the rarest.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/search.json"))
    given = parser.parse_args()
    plain = SamplingStrategy.open(given.models, method="reject", batch_size=given.batch, device="cpu")
    shares = rates(plain, given.draws)
    rare = [at for at in np.argsort(shares) if LEAST <= shares[at] <= MOST]
    if not rare:
        raise SystemExit(
            f"no finding has a rate of {LEAST:.1%} to {MOST:.0%}: {dict(zip(FINDINGS, shares, strict=True))}"
        )
    finding = FINDINGS.index(given.finding) if given.finding else int(rare[0])
    wanted, judge = (
        LabelCondition.from_names([FINDINGS[finding]]),
        Session.open(given.models / "judge.onnx", device="cpu"),
    )
    result: dict[str, Any] = {"finding": FINDINGS[finding], "rate": float(shares[finding])}
    result["reject"] = {"runs_an_image": float(1 / shares[finding]), "draws": given.draws}
    for method in given.methods:
        chooser = SamplingStrategy.open(given.models, method=method, batch_size=given.batch, device="cpu")
        result[method] = reach(chooser.draw(wanted, seed=SEED, start=0, stop=2**31), given.images, judge, finding)
        if chooser.proposal is not None:
            guide = chooser.proposal.get_guide(wanted, chooser.sampler)
            ms = costs(chooser, guide)
            spent = result[method]["runs"] * ms["lead"] / ms["run"]
            result[method] |= {"ms": ms, "moves": guide.schedule.n_moves, "last_power": guide.schedule.final_power}
            result[method]["leading_in_runs"] = spent / result[method]["images"]
        print(method, {name: value for name, value in result[method].items() if name != "mean_probabilities"})
    if "guided" in result:
        result["times_fewer"] = result["reject"]["runs_an_image"] / result["guided"]["runs_an_image"]
    result["machine"] = platform.processor() or platform.machine()
    print(json.dumps({name: result[name] for name in ("finding", "rate", "times_fewer") if name in result}))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()

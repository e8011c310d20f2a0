"""Cost of a rare finding by rejection, by guided rejection and by latent optimisation, for one model folder.

The finding is the rarest with a rate between 0.1 % and 2 % among `--draws` unconditional candidates, which also gives
the cost of rejection. Generator runs count every generated image, padding included. The cost of guiding the latents is
given as further runs of generator and classifier, by processor time. The judge's agreement is given for the accepted
images. `effective_share` is the effective sample size of the weights as a share of the images: 1 if all are equal.

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

SEED, MIN_RATE, MAX_RATE = 7, 0.001, 0.02


def measure_rates(strategy: SamplingStrategy, draws: int) -> np.ndarray:
    """Measure the share of candidates with each finding, float [14]."""
    sampler, n = strategy.sampler, -(-draws // strategy.sampler.batch_size)
    limits = sampler.classifier.metadata.thresholds
    present = [
        predictions.is_present(sampler.draw_block(SEED, block * sampler.batch_size).probabilities, limits)
        for block in range(n)
    ]
    shares: np.ndarray = np.concatenate(present).mean(axis=0)
    return shares


def measure_cpu_s(call: Callable[[], object], n: int) -> float:
    """Measure processor seconds per item of a call with `n` items; the lowest of five."""
    times_s = []
    for _ in range(5):
        started = time.process_time()
        call()
        times_s.append(time.process_time() - started)
    return min(times_s) / n


def measure_costs(strategy: SamplingStrategy, guide: Guide) -> dict[str, float]:
    """Measure processor milliseconds of one generated and classified image, and of one guided latent."""
    sampler = strategy.sampler
    z = random_streams.draw_latents(SEED, 0, sampler.batch_size, sampler.generator.metadata.latent)
    costs_s = {"run": measure_cpu_s(lambda: sampler.generate(z), sampler.batch_size)}
    costs_s["lead"] = measure_cpu_s(lambda: guide.propose(SEED, 0, sampler.batch_size), sampler.batch_size)
    return {name: 1000 * seconds for name, seconds in costs_s.items()}


def collect(blocks: Iterator[ImageBatch], n: int, judge: Session, finding: int) -> dict[str, Any]:
    """Collect `n` images and measure their cost, the judge's agreement and their weights."""
    started, runs, pixels, probabilities, weights = time.perf_counter(), 0, [], [], []
    candidates = 0
    for block in blocks:
        runs, candidates = runs + block.generator_runs, block.stop
        pixels.append(block.pixels)
        probabilities.append(block.probabilities)
        weights.append(block.weights)
        if sum(map(len, weights)) >= n:
            break
    wall_s, accepted = time.perf_counter() - started, np.concatenate(pixels)
    judge_probabilities = predictions.to_probabilities(judge.run(images.to_float(accepted))["logits"])
    agreement = predictions.is_present(judge_probabilities, judge.metadata.thresholds)[:, finding].mean()
    result = {
        "images": len(accepted),
        "runs": runs,
        "runs_an_image": runs / len(accepted),
        "candidates": candidates,
        "wall_s": wall_s,
    }
    joined = np.concatenate(weights)
    result |= {"judge_agrees": float(agreement), "largest_weight": float(joined.max())}
    result["effective_share"] = float(joined.sum() ** 2 / (joined**2).sum() / len(joined))
    return result | {"mean_probabilities": dict(zip(FINDINGS, np.concatenate(probabilities).mean(axis=0), strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--methods", nargs="+", choices=("guided", "optimise"), default=("guided", "optimise"))
    parser.add_argument("--finding", choices=FINDINGS, help="Measure this finding instead of the rarest.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/search.json"))
    arguments = parser.parse_args()
    rejection = SamplingStrategy.open(arguments.models, method="reject", batch_size=arguments.batch, device="cpu")
    shares = measure_rates(rejection, arguments.draws)
    rare = [finding for finding in np.argsort(shares) if MIN_RATE <= shares[finding] <= MAX_RATE]
    if not rare:
        raise SystemExit(
            f"no finding has a rate of {MIN_RATE:.1%} to {MAX_RATE:.0%}: {dict(zip(FINDINGS, shares, strict=True))}"
        )
    finding = FINDINGS.index(arguments.finding) if arguments.finding else int(rare[0])
    condition, judge = (
        LabelCondition.from_names([FINDINGS[finding]]),
        Session.open(arguments.models / "judge.onnx", device="cpu"),
    )
    result: dict[str, Any] = {"finding": FINDINGS[finding], "rate": float(shares[finding])}
    result["reject"] = {"runs_an_image": float(1 / shares[finding]), "draws": arguments.draws}
    for method in arguments.methods:
        strategy = SamplingStrategy.open(arguments.models, method=method, batch_size=arguments.batch, device="cpu")
        result[method] = collect(
            strategy.draw(condition, seed=SEED, start=0, stop=2**31), arguments.images, judge, finding
        )
        if strategy.proposal is not None:
            guide = strategy.proposal.get_guide(condition, strategy.sampler)
            ms = measure_costs(strategy, guide)
            spent = result[method]["runs"] * ms["lead"] / ms["run"]
            result[method] |= {"ms": ms, "moves": guide.schedule.n_moves, "last_power": guide.schedule.final_power}
            result[method]["leading_in_runs"] = spent / result[method]["images"]
        print(method, {name: value for name, value in result[method].items() if name != "mean_probabilities"})
    if "guided" in result:
        result["times_fewer"] = result["reject"]["runs_an_image"] / result["guided"]["runs_an_image"]
    result["machine"] = platform.processor() or platform.machine()
    print(json.dumps({name: result[name] for name in ("finding", "rate", "times_fewer") if name in result}))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()

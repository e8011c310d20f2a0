"""A generator as it was exported beside the same one made quicker on opening, both through onnxruntime.

The same weights, threads and latents, taken in turn (A B A B), medians. Says how far the
images differ, and where the time of the quicker one goes by onnxruntime's own profile. Random weights do: the
arithmetic is the same.

    python benchmarks/generate.py [--threads 1] [--repeats 5] [--out benchmarks/results/generate.json]
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch

from synthcxr.contract import Contract
from synthcxr.labels import FINDINGS
from synthcxr.networks import layers
from synthcxr.networks.generator import Generator, paper_channels
from synthcxr.networks.onnx import export
from synthcxr.synthesis import merging

LATENT = 256


def widths(side: int) -> dict[int, int]:
    """Channels at each size: the paper's at 1024 px, those of a small profile below."""
    return paper_channels(side) if side == 1024 else {2**k: min(128, 8192 >> k) for k in range(2, side.bit_length())}


def write(path: Path, side: int, blocks: str) -> None:
    """A generator with random weights, as `synthcxr export` writes it."""
    torch.manual_seed(0)
    network = Generator(LATENT, widths(side), blocks).eval()  # type: ignore[arg-type]
    layers.fold_scales(network)
    held = Contract("generator", side, LATENT, FINDINGS, {}, network.network_config(widths(side)), "", True, "")
    export(network, path=path, contract=held, row=(LATENT,), input_name="z", output_names=("image",), fp16=True)


def session(model: onnx.ModelProto, threads: int, *, profile: str = "") -> ort.InferenceSession:
    """As synthesis/session.py opens it on a CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def shares(model: onnx.ModelProto, z: np.ndarray, threads: int, folder: str) -> dict[str, float]:
    """The share of time of each kind of step."""
    profiled = session(model, threads, profile=f"{folder}/profile")
    for _ in range(3):
        profiled.run(None, {"z": z})
    took: collections.Counter[str] = collections.Counter()
    for event in json.loads(Path(profiled.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            took[event["args"]["op_name"]] += event["dur"]
    return {name: round(part / took.total(), 3) for name, part in took.most_common() if part > took.total() / 200}


def compare(side: int, blocks: str, batch: int, threads: int, repeats: int) -> dict[str, Any]:
    """Both sides of one size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        write(path, side, blocks)
        plain = onnx.load(path)
        quicker, n_merged = merging.merged(plain)
        z = np.random.default_rng(0).standard_normal((batch, LATENT), dtype=np.float32)
        sessions = session(plain, threads), session(quicker, threads)
        images = [each.run(None, {"z": z})[0] for each in sessions]
        walls: list[list[float]] = [[], []]
        for _ in range(repeats):
            for each, wall in zip(sessions, walls, strict=True):
                started = time.perf_counter()
                each.run(None, {"z": z})
                wall.append(time.perf_counter() - started)
        a, b = (batch / statistics.median(wall) for wall in walls)
        result = {"side": side, "blocks": blocks, "batch": batch, "merged": n_merged, "plain_images_per_s": a}
        result |= {
            "merged_images_per_s": b,
            "ratio": b / a,
            "largest_difference": float(abs(images[0] - images[1]).max()),
        }
        return result | {"shares": shares(quicker, z, threads, folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256, 1024])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generate.json"))
    given = parser.parse_args()
    rows = []
    for side in given.sides:
        for blocks in ("lean", "paper"):
            batch = {128: 8, 256: 4}.get(side, 1)
            rows.append(compare(side, blocks, batch, given.threads, given.repeats))
            print({name: value for name, value in rows[-1].items()})
    machine = {"processor": platform.processor() or platform.machine(), "threads": given.threads}
    held = {"machine": machine | {"onnxruntime": ort.__version__}, "rows": rows}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(held, indent=2) + "\n")


if __name__ == "__main__":
    main()

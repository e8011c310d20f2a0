"""Rate of an exported generator in onnxruntime against the same generator after the CPU fusion of synthcxr.

Both use the same weights, threads and latents and run in turn (A B A B); rates are medians. Also reports how much the
images differ, the time by kind of operation from onnxruntime's profile, the operations of the convolutions, and the
ratio that the operations alone would allow. Generators of 128, 256 and 1024 px have random weights, which does not
change the arithmetic; --models adds your own files.

    python benchmarks/generate.py [--models registry/starter] [--repeats 5] [--out benchmarks/results/generate.json]
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine
import numpy as np
import onnx
import onnxruntime as ort
import torch

from synthcxr.data.findings import FINDINGS
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks import layers
from synthcxr.networks.generator import Generator, paper_channels
from synthcxr.networks.onnx_export import export_onnx
from synthcxr.synthesis.runtime import cpu_fusion

LATENT = 256


def choose_channels(side: int) -> dict[int, int]:
    """Channels at each size: the paper's at 1024 px, those of a small profile below that."""
    return paper_channels(side) if side == 1024 else {2**k: min(128, 8192 >> k) for k in range(2, side.bit_length())}


def write_generator(path: Path, side: int, blocks: str) -> None:
    """Write a generator with random weights, as `synthcxr export` does."""
    torch.manual_seed(0)
    network = Generator(LATENT, choose_channels(side), blocks).eval()  # type: ignore[arg-type]
    layers.fold_scales(network)
    metadata = ModelMetadata(
        "generator", side, LATENT, FINDINGS, {}, network.build_network_config(choose_channels(side)), "", True, ""
    )
    export_onnx(
        network, path=path, metadata=metadata, row=(LATENT,), input_name="z", output_names=("image",), fp16=True
    )


def open_session(model: onnx.ModelProto, threads: int, *, profile: str = "") -> ort.InferenceSession:
    """Open a session with the options of synthesis/runtime/onnx_session.py on a CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def profile(model: onnx.ModelProto, z: np.ndarray, threads: int, folder: str) -> dict[str, Any]:
    """Profile the share of time by operation, and GFLOP per image and GFLOP/s of the convolutions."""
    profiled = open_session(model, threads, profile=f"{folder}/profile")
    n_runs = 3
    for _ in range(n_runs):
        profiled.run(None, {"z": z})
    time_by_operation: collections.Counter[str] = collections.Counter()
    n_flop = 0
    for event in json.loads(Path(profiled.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            time_by_operation[event["args"]["op_name"]] += event["dur"]
            n_flop += _count_flop(event["args"])
    shares = {
        name: round(part / time_by_operation.total(), 3)
        for name, part in time_by_operation.most_common()
        if part > time_by_operation.total() / 200
    }
    gflop = n_flop / 1e9
    return {
        "gflop": gflop / n_runs / len(z),
        "gflop_per_s": gflop / (time_by_operation["Conv"] / 1e6),
        "shares": shares,
    }


def _count_flop(step: dict[str, Any]) -> int:
    """Count 2 x multiply-adds of a convolution from the shapes of its weights and output."""
    if step["op_name"] != "Conv":
        return 0
    (shape,) = step["output_type_shape"][0].values()
    weight = next(size for entry in step["input_type_shape"][1:] for size in entry.values() if len(size) == 4)
    return 2 * int(math.prod(shape) * math.prod(weight[1:]))


def compare(model: onnx.ModelProto, batch: int, threads: int, repeats: int) -> dict[str, Any]:
    """Compare one generator with its fused form."""
    fused, n_merged = cpu_fusion.fuse_for_cpu(model)
    latent = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    z = np.random.default_rng(0).standard_normal((batch, latent), dtype=np.float32)
    sessions = open_session(model, threads), open_session(fused, threads)
    images = [runtime.run(None, {"z": z})[0] for runtime in sessions]
    walls: list[list[float]] = [[], []]
    for _ in range(repeats):
        for runtime, wall in zip(sessions, walls, strict=True):
            started = time.perf_counter()
            runtime.run(None, {"z": z})
            wall.append(time.perf_counter() - started)
    a, b = (batch / statistics.median(wall) for wall in walls)
    with tempfile.TemporaryDirectory() as folder:
        exported_profile, fused_profile = (profile(graph, z, threads, folder) for graph in (model, fused))
    return {
        "batch": batch,
        "n_merged": n_merged,
        "plain_images_per_s": a,
        "merged_images_per_s": b,
        "ratio": b / a,
        "bound": exported_profile["gflop"] / fused_profile["gflop"],
        "largest_difference": float(abs(images[0] - images[1]).max()),
        "plain": exported_profile,
        "merged": fused_profile,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", type=Path, nargs="+", default=[])
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256, 1024])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generate.json"))
    arguments = parser.parse_args()
    described = machine.describe() | {"n_threads": arguments.threads, "onnxruntime": ort.__version__}
    rows = []
    for description, model, batch in list_generators(arguments.models, arguments.sides):
        rows.append(description | compare(model, batch, arguments.threads, arguments.repeats))
        print({name: value for name, value in rows[-1].items()}, flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": described, "rows": rows}, indent=2) + "\n")


def list_generators(folders: list[Path], sides: list[int]) -> Iterator[tuple[dict[str, Any], onnx.ModelProto, int]]:
    """Yield each generator to compare: its description, the model and the batch size."""
    for folder in folders:
        yield {"models": folder.name}, onnx.load(folder / "generator.onnx"), 32
    for side in sides:
        for blocks in ("lean", "paper"):
            with tempfile.TemporaryDirectory() as name:
                path = Path(name) / "generator.onnx"
                write_generator(path, side, blocks)
                yield {"side": side, "blocks": blocks}, onnx.load(path), {128: 8, 256: 4}.get(side, 1)


if __name__ == "__main__":
    main()

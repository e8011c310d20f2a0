"""Rate of the training step (D and G) at each resolution, and of generation with onnxruntime, on a CUDA GPU.

    python benchmarks/cuda.py [--profile nih-1024] [--resolutions 1024 256 64] [--steps 8] [--out FILE]

Without a GPU, or if onnxruntime does not use it, the script prints one line and exits with code 2. It never
falls back to the CPU.
"""

from __future__ import annotations

if __name__ == "cuda":  # torch imports a package of this name and would find this file
    raise ImportError("benchmarks/cuda.py is not a package")

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import machine
import torch

from synthcxr.config.schema import GanConfig, load_config
from synthcxr.data.findings import FINDINGS
from synthcxr.data.random_streams import draw_latents
from synthcxr.errors import ConfigError, SynthCXRError
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks import flops, layers
from synthcxr.networks.device import select_device
from synthcxr.networks.onnx_export import export_onnx
from synthcxr.synthesis.runtime.onnx_session import CUDA, Session
from synthcxr.training import gan_state, schedule, step

PARAMS = Path(__file__).parents[1] / "params"


def measure_training(config: GanConfig, resolution: int, n_steps: int, *, bf16: bool) -> dict[str, object]:
    """Measure images/s and peak memory of the training step, with the penalty at the interval of the profile."""
    device = select_device("cuda")
    torch.cuda.reset_peak_memory_stats()
    state, batch = gan_state.create_state(config, device), config.batch[resolution]
    schedule_point = schedule.SchedulePoint(resolution, 1.0, batch, 1.0, 0)
    real = torch.rand(batch, 1, resolution, resolution, device=device) * 2 - 1
    n_steps = -(-n_steps // config.penalty_interval) * config.penalty_interval
    for index in range(-2, n_steps):
        if index == 0:
            torch.cuda.synchronize()
            started = time.perf_counter()
        step.run_step(state, schedule_point, real, config, bf16=bf16, index=index)
        gan_state.update_ema(state, batch, config.ema_half_life_nimg)
    torch.cuda.synchronize()
    images_per_s = batch * n_steps / (time.perf_counter() - started)
    flop = flops.count_image_flops(
        config.latent, config.channels, config.blocks, resolution, penalty_interval=config.penalty_interval
    )
    return {
        "resolution": resolution,
        "batch": batch,
        "precision": "bf16" if bf16 else "fp32",
        "images_per_s": images_per_s,
        "tflops": flop * images_per_s / 1e12,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def measure_generation(config: GanConfig, batch: int, n_batches: int) -> dict[str, object]:
    """Measure images/s of an untrained generator of the profile, exported as `synthcxr export` does."""
    network = gan_state.create_state(config, torch.device("cpu")).ema
    layers.fold_scales(network)
    metadata = ModelMetadata(
        kind="generator",
        resolution=config.resolution,
        latent=config.latent,
        findings=FINDINGS,
        thresholds={},
        network=network.build_network_config(config.channels),
        training_data="none",
        phantom=True,
        licence="Apache-2.0",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        row = (config.latent,)
        export_onnx(network, path=path, metadata=metadata, row=row, input_name="z", output_names=("image",), fp16=True)
        session = Session.open(path, kind="generator", device="cuda")
        require_cuda(session.provider)
        z = draw_latents(1, 0, batch, config.latent)
        session.run(z)
        started = time.perf_counter()
        for _ in range(n_batches):
            session.run(z)
        images_per_s = batch * n_batches / (time.perf_counter() - started)
    return {"provider": session.provider, "batch": batch, "images_per_s": images_per_s}


def require_cuda(provider: str) -> None:
    """Raise ConfigError unless the session runs on CUDA."""
    if provider != CUDA:
        raise ConfigError(f"onnxruntime runs on {provider}, not on {CUDA}")


def main() -> None:
    """Print each row and, with --out, write all rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="nih-1024")
    parser.add_argument("--resolutions", type=int, nargs="+")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32, help="batch size of generation")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    try:
        if not torch.cuda.is_available():
            raise ConfigError("no GPU found by torch; nothing was measured")
        result = measure_all(arguments)
    except SynthCXRError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure_all(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure training in fp32 and bf16, and generation."""
    config = dataclasses.replace(load_config(PARAMS / f"{arguments.profile}.yaml").train_gan, device="cuda")
    rows = []
    for side in arguments.resolutions or sorted(config.channels, reverse=True):
        for bf16 in (False, True):
            rows.append(measure_training(config, side, arguments.steps, bf16=bf16))
            print(json.dumps(rows[-1]), flush=True)
            torch.cuda.empty_cache()
    generation = measure_generation(config, arguments.batch, arguments.steps)
    print(json.dumps(generation))
    gpu = {
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
    }
    return {
        "machine": machine.describe() | gpu,
        "profile": arguments.profile,
        "training": rows,
        "generation": generation,
    }


if __name__ == "__main__":
    main()

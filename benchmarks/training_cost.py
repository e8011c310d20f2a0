"""Estimate the days that a profile's schedule takes on H100 GPUs, from its operations. This is not a measurement.

    python benchmarks/training_cost.py [--profile nih-1024]

The peaks are those of NVIDIA for the H100 SXM, dense. 45 % of the fp32 peak is what Karras et al. reached: 12 million
images of their networks took about two weeks on a V100 (15.7 TFLOP/s), which is 46 %. 15 % of the TF32 peak is a guess:
layers of 512 and 1024 px have 16 to 64 maps and are limited by memory, as are all pointwise operations. Eight GPUs are
assumed to reach 90 % of eight times the rate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from synthcxr.config.schema import GanConfig, load_config
from synthcxr.networks import flops

PARAMS = Path(__file__).parents[1] / "params"
CASES = (("fp32", 67e12, 0.45), ("TF32", 495e12, 0.15))
COUNTS = ((1, 1.0), (8, 0.9))
KARRAS_NIMG = dict.fromkeys((8, 16, 32, 64, 128, 256, 512), 1_200_000) | {4: 600_000, 1024: 3_000_000}
V100_FLOPS, KARRAS_DAYS = 15.7e12, 14


def count_schedule_flops(config: GanConfig, nimg: dict[int, int]) -> int:
    """Count the operations of a schedule on the profile's networks."""
    return flops.count_training_flops(
        config.latent, config.channels, config.blocks, nimg, penalty_interval=config.penalty_interval
    )


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="nih-1024")
    arguments = parser.parse_args()
    config = load_config(PARAMS / f"{arguments.profile}.yaml").train_gan
    total = count_schedule_flops(config, config.nimg)
    print("| resolution | images shown | GFLOP per image | EFLOP | share |\n|---|---|---|---|---|")
    for side, nimg in config.nimg.items():
        flop = count_schedule_flops(config, {side: nimg})
        print(f"| {side} | {nimg:,} | {flop / nimg / 1e9:,.1f} | {flop / 1e18:.3f} | {flop / total:.1%} |")
    print(f"| all | {sum(config.nimg.values()):,} | | {total / 1e18:.2f} | |\n")
    print("| arithmetic | peak, TFLOP/s | utilisation assumed | GPUs | days |\n|---|---|---|---|---|")
    for name, peak, utilisation in CASES:
        for count, scaling in COUNTS:
            days = flops.estimate_days(
                total, peak_flops=peak, utilisation=utilisation, n_devices=count, scaling=scaling
            )
            print(f"| {name} | {peak / 1e12:.0f} | {utilisation:.0%} | {count} | {days:.1f} |")
    utilisation_share = (
        flops.estimate_days(count_schedule_flops(config, KARRAS_NIMG), peak_flops=V100_FLOPS, utilisation=1.0)
        / KARRAS_DAYS
    )
    print(f"\nKarras et al., {KARRAS_DAYS} days on a V100: {utilisation_share:.0%} of its fp32 peak")


if __name__ == "__main__":
    main()

"""The pictures of docs/generate.md: a row of synthetic images for each way to ask. No film is in them.

python benchmarks/example_grids.py MODELS [--out docs/results/generate] [--images 8]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from synthcxr.config.schema import load_config
from synthcxr.data import image_reader, images
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import GateError
from synthcxr.stages import generate

PLAIN = load_config(Path(__file__).parents[1] / "params" / "starter.yaml").generate
WAYS: dict[str, dict[str, object]] = {
    "anything": {},
    "cardiomegaly": {"labels": ("Cardiomegaly",)},
    "cardiomegaly-and-effusion": {"labels": ("Cardiomegaly", "Effusion")},
    "cardiomegaly-without-edema": {"labels": ("Cardiomegaly",), "without": ("Edema",)},
    "edema-reject": {"labels": ("Edema",), "method": "reject"},
    "edema-optimise": {"labels": ("Edema",), "method": "optimise"},
    "nih-mix": {"mix": "nih"},
}


def row(dataset: Path) -> np.ndarray:
    """The images beside each other, two pixels of white between."""
    table = read_metadata(dataset)
    squares = [image_reader.decode_pixels(data) for data in image_reader.read_all(dataset, table["file_name"])]
    return np.concatenate([np.pad(square, 2, constant_values=255) for square in squares], axis=1)


def main() -> None:
    """Write a PNG for each way; one that the draws do not reach is drawn as far as it came, and said."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/generate"))
    parser.add_argument("--images", type=int, default=8)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, asked in WAYS.items():
        config = dataclasses.replace(PLAIN, n=given.images, **asked)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            try:
                generate.run(config, model=given.models, out=made, model_name=given.models.name)
            except GateError as error:
                print(f"{name}: {error}")
            if len(read_metadata(made)):
                (given.out / f"{name}.png").write_bytes(images.encode_png(row(made)))
                print(given.out / f"{name}.png")


if __name__ == "__main__":
    main()

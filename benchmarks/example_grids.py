"""The pictures of docs/generate.md: a row of synthetic images for each kind of request. They contain no film.

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

BASE_CONFIG = load_config(Path(__file__).parents[1] / "params" / "starter.yaml").generate
REQUESTS: dict[str, dict[str, object]] = {
    "anything": {},
    "cardiomegaly": {"labels": ("Cardiomegaly",)},
    "cardiomegaly-and-effusion": {"labels": ("Cardiomegaly", "Effusion")},
    "cardiomegaly-without-edema": {"labels": ("Cardiomegaly",), "without": ("Edema",)},
    "edema-reject": {"labels": ("Edema",), "method": "reject"},
    "edema-optimise": {"labels": ("Edema",), "method": "optimise"},
    "nih-mix": {"mix": "nih"},
}


def draw_row(dataset: Path) -> np.ndarray:
    """Place the images of a dataset side by side with a white border of two pixels."""
    table = read_metadata(dataset)
    names = list(table["file_name"])
    files = image_reader.read_all(dataset, names)
    squares = [image_reader.decode_pixels(data, name=name) for data, name in zip(files, names, strict=True)]
    return np.concatenate([np.pad(square, 2, constant_values=255) for square in squares], axis=1)


def main() -> None:
    """Write one PNG per request. If the draws run out, print so and show the images so far."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/generate"))
    parser.add_argument("--images", type=int, default=8)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, request in REQUESTS.items():
        config = dataclasses.replace(BASE_CONFIG, n=arguments.images, **request)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            dataset = Path(folder) / "dataset"
            try:
                generate.run(config, model=arguments.models, out=dataset, model_name=arguments.models.name)
            except GateError as error:
                print(f"{name}: {error}")
            if len(read_metadata(dataset)):
                (arguments.out / f"{name}.png").write_bytes(images.encode_png(draw_row(dataset)))
                print(arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()

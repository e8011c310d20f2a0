"""Time of packing films with this checkout and with another one, in the order A B A B; medians and their ratio.

The first set is an archive of drawn films in compressed DICOM, in turn JPEG-LS, JPEG 2000 and RLE, which is removed
afterwards; --films adds a folder of films. Each run is a process of its own. Its clock starts after the imports and
stops when the films are packed and checked; processor seconds are those of the whole run, its workers included.

    python benchmarks/prepare.py OTHER_CHECKOUT [--films FOLDER] [--n 240] [--side 1024] [--rounds 3] [--out FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)
from ruamel.yaml import YAML

from synthcxr.data.images import Float32
from synthcxr.readers import detect_reader, phantom

ROOT = Path(__file__).parents[1]
SYNTAXES = (JPEGLSLossless, JPEG2000Lossless, RLELossless)
N_DRAWINGS = 8
RUN = """
import json, sys, time
from pathlib import Path
from synthcxr.checks import films
from synthcxr.config.schema import load_config
from synthcxr.stages import prepare
config = load_config(Path(sys.argv[1])).prepare
started = time.perf_counter()
summary = prepare.run(config, out=Path(sys.argv[2]), report=lambda line: None)
print(json.dumps({"wall_s": time.perf_counter() - started, "n": summary.counts["films"]}))
"""


def write_archive(root: Path, n: int, side: int) -> None:
    """Write `n` films of 12 bits, one per patient: a few drawings with other noise in each."""
    rng = np.random.default_rng(0)
    drawings = [phantom.draw_film(1, index, side) for index in range(N_DRAWINGS)]
    for index in range(n):
        noise = rng.normal(0, 0.004, (side, side)).astype(np.float32)
        film = build_film(drawings[index % N_DRAWINGS] + noise, f"P{index}")
        film.compress(SYNTAXES[index % len(SYNTAXES)], generate_instance_uid=False)
        film.save_as(root / f"{index:05d}.dcm", enforce_file_format=True)


def build_film(unit: Float32, patient: str) -> FileDataset:
    """Build a frontal chest film from pixels in [0, 1]."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = (
        DigitalXRayImageStorageForPresentation,
        ExplicitVRLittleEndian,
    )
    meta.MediaStorageSOPInstanceUID = UID(generate_uid())
    film = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    film.SOPClassUID, film.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    film.Modality, film.PatientID, film.ViewPosition, film.BodyPartExamined = "DX", patient, "PA", "CHEST"
    film.Rows, film.Columns = unit.shape
    film.SamplesPerPixel, film.PhotometricInterpretation, film.PixelRepresentation = 1, "MONOCHROME2", 0
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
    film.PixelData = np.rint(np.clip(unit, 0, 1) * 4095).astype(np.uint16).tobytes()
    film["PixelData"].VR = "OW"
    return film


def write_params(path: Path, source: dict[str, str], checkout: Path) -> Path:
    """Write the default parameters of a checkout with one source of films, packed at 256 px."""
    yaml = YAML()
    params = yaml.load((checkout / "params.yaml").read_text(encoding="utf-8"))
    params["prepare"] |= {"sources": [source], "resolution": 256}
    yaml.dump(params, path)
    return path


def measure(checkout: Path, params: Path) -> dict[str, float]:
    """Measure the wall and processor seconds of one run with the code of `checkout`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", RUN, params, Path(folder) / "out"],
            env=os.environ | {"PYTHONPATH": str(checkout.resolve())},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu_s": cpu_s}


def compare(other: Path, source: dict[str, str], folder: Path, rounds: int) -> dict[str, Any]:
    """Measure both checkouts in turn; the first run of each, which fills the caches, does not count."""
    sides = {"other": other, "this": ROOT}
    params = {name: write_params(folder / f"{name}.yaml", source, checkout) for name, checkout in sides.items()}
    runs: dict[str, list[dict[str, float]]] = {"other": [], "this": []}
    for _ in range(rounds + 1):
        for name, checkout in sides.items():
            runs[name].append(measure(checkout, params[name]))
            print(name, json.dumps(runs[name][-1]), file=sys.stderr, flush=True)
    result: dict[str, Any] = {"n": runs["this"][0]["n"]}
    for unit in ("wall_s", "cpu_s"):
        values = {name: [round(run[unit], 2) for run in runs[name][1:]] for name in runs}
        medians = {name: statistics.median(values[name]) for name in runs}
        result[unit] = values | {"ratio_of_medians": round(medians["this"] / medians["other"], 3)}
    return result


def main() -> None:
    """Print the result and, with --out, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--films", type=Path)
    parser.add_argument("--n", type=int, default=240)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine.describe(), "side": arguments.side}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "archive").mkdir()
        write_archive(folder / "archive", arguments.n, arguments.side)
        (folder / "salt").write_text("0" * 32, encoding="ascii")
        source = {"reader": "dicom", "path": str(folder / "archive"), "salt": str(folder / "salt")}
        result["compressed DICOM"] = compare(arguments.other, source, folder, arguments.rounds)
        if arguments.films:
            source = {"reader": detect_reader(arguments.films).name, "path": str(arguments.films.resolve())}
            result["films"] = compare(arguments.other, source, folder, arguments.rounds)
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

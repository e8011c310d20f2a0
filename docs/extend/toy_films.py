"""Films and images as NumPy files, thumbnails as features, and the symmetry of images as a metric."""

import functools
import io
from pathlib import Path

import numpy as np

from synthcxr.extend import (
    DataError,
    FeatureExtractor,
    Film,
    ImageFolder,
    Metric,
    Reader,
    describe_options,
    parse_finding_labels,
)


def read_films(path: str, *, source: str = "numpy", report=print):
    """Films PATIENT_FINDINGS_NUMBER.npy of uint8 pixels, such as 17_Mass+Edema_0.npy."""
    films = []
    for file in sorted(Path(path).glob("*.npy")):
        if file.stem.count("_") != 2:
            raise DataError(f"{file}: the name is not PATIENT_FINDINGS_NUMBER.npy; rename the file")
        patient, findings, _ = file.stem.split("_")
        findings = tuple(parse_finding_labels(findings.replace("+", "|")))
        read, read_size = functools.partial(read_pixels, file), functools.partial(read_side, file)
        films.append(Film(file.name, patient, source, "PA", findings, read, read_size, str(file), file=file))
    if not films:
        raise DataError(f"{path}: no .npy files; give the folder that contains them")
    return iter(films)


def load(file, **options):
    try:
        return np.load(file, allow_pickle=False, **options)
    except (EOFError, OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as a NumPy file: {error}") from error


def read_pixels(file):
    return load(file).astype(np.float32) / 255


def read_side(file):
    return min(load(file, mmap_mode="r").shape)


class NumpyFolder(ImageFolder):
    folder, suffix = "numpy", ".npy"

    def encode(self, pixels, record):
        np.save(file := io.BytesIO(), pixels, allow_pickle=False)
        return file.getvalue()


def compute_thumbnails(pixels):
    """Features float32 [n, 64]: images of 8 x 8 px."""
    n, side = len(pixels), pixels.shape[1] // 8
    return pixels.reshape(n, 8, side, 8, side).mean(axis=(2, 4)).reshape(n, 64).astype(np.float32) / 255


def measure_symmetry(pixels):
    """The agreement of each image of uint8 [n, R, R] with its mirror image, float64 [n]."""
    images = pixels.astype(np.float64) / 255
    return 1 - np.abs(images - images[:, :, ::-1]).mean(axis=(1, 2))


READER = Reader(
    "numpy",
    "files PATIENT_FINDINGS_NUMBER.npy",
    read_films,
    describe_options("path", "source"),
    matches=lambda path: any(path.glob("*.npy")),
)
FORMAT = NumpyFolder.declare_format(
    "numpy",
    "NumPy files of uint8 pixels, 1,000 per folder",
    media_type="application/octet-stream",
    bytes_per_pixel=1.0,
    decode=lambda data: load(io.BytesIO(data)),
)
EXTRACTOR = FeatureExtractor(
    name="thumbnails",
    summary="thumbnails of 8 x 8 px",
    resize="mean of blocks",
    find_digest=lambda: "version 1",
    open=lambda device: ("cpu", compute_thumbnails),
)
METRIC = Metric.of_each_image("symmetry", "agreement of an image with its mirror image", measure_symmetry)

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
    ImageFormat,
    Metric,
    MetricValue,
    Reader,
    describe_options,
    parse_finding_labels,
)


def read_films(path: str, *, source: str = "numpy", report=print):
    """Films PATIENT_FINDINGS_NUMBER.npy of uint8 pixels, such as 17_Mass+Edema_0.npy."""
    films = []
    for file in sorted(Path(path).glob("*.npy")):
        patient, findings, _ = file.stem.split("_")
        findings = tuple(parse_finding_labels(findings.replace("+", "|")))
        read, read_size = functools.partial(read_pixels, file), functools.partial(read_side, file)
        films.append(Film(file.name, patient, source, "PA", findings, read, read_size, origin=str(file)))
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


def decode(data):
    return load(io.BytesIO(data))


def compute_thumbnails(pixels):
    """Features float32 [n, 64]: images of 8 x 8 px."""
    n, side = len(pixels), pixels.shape[1] // 8
    return pixels.reshape(n, 8, side, 8, side).mean(axis=(2, 4)).reshape(n, 64).astype(np.float32) / 255


def compute_symmetry(images, films, rng):
    def measure(group):
        blocks = (pixels.astype(np.float32) for pixels in group.iterate_pixels(500))
        return 1 - np.concatenate([np.abs(x - x[:, :, ::-1]).mean(axis=(1, 2)) for x in blocks]).mean() / 255

    return MetricValue(float(measure(images)), films=None if films is None else float(measure(films)))


READER = Reader(
    name="numpy",
    films="files PATIENT_FINDINGS_NUMBER.npy",
    read=read_films,
    options=describe_options("path", "source"),
    matches=lambda path: any(path.glob("*.npy")),
)
FORMAT = ImageFormat(
    name="numpy",
    summary="NumPy files of uint8 pixels, 1,000 per folder",
    folder=NumpyFolder.folder,
    pattern="*/*.npy",
    media_type="application/octet-stream",
    suffix=NumpyFolder.suffix,
    bytes_per_pixel=1.0,
    open=lambda root, generator: NumpyFolder(root),
    decode=decode,
)
EXTRACTOR = FeatureExtractor(
    name="thumbnails",
    summary="thumbnails of 8 x 8 px",
    resize="mean of blocks",
    find_digest=lambda: "version 1",
    open=lambda device: ("cpu", compute_thumbnails),
)
METRIC = Metric(name="symmetry", meaning="agreement of an image with its mirror image", compute=compute_symmetry)

"""Records, a request and an origin, to write a dataset without a model."""

from __future__ import annotations

import numpy as np

from synthcxr.data.findings import FINDINGS
from synthcxr.data.images import encode_png
from synthcxr.data.synthetic_dataset import ImageRecord
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.storage.digests import sha256_bytes
from synthcxr.writers.formats.store import ImageStore
from synthcxr.writers.generation_request import GenerationRequest, Origin

LATENT_SIZE = 5
GENERATOR = ModelMetadata("generator", 8, LATENT_SIZE, FINDINGS, {}, {}, "f" * 16, False, "Apache-2.0", digest="a" * 64)
CLASSIFIER = ModelMetadata("classifier", 8, 0, FINDINGS, {}, {}, "f" * 16, True, "Apache-2.0", digest="b" * 64)
ORIGIN = Origin("models:/x@champion", GENERATOR, CLASSIFIER, ("synthcxr", "generate"))
REQUEST = GenerationRequest(
    n=9,
    seed=1,
    labels=("Edema",),
    max_draws=20,
    batch=4,
    format="png",
    models={"generator": "a" * 64, "classifier": "b" * 64},
    pins={"provider": "CPUExecutionProvider", "onnxruntime": "1"},
    threads=2,
)


def make_record(candidate: int) -> ImageRecord:
    """The record of a candidate, without a file."""
    probabilities = tuple(round((candidate * 7 + column) % 100 / 99, 6) for column in range(14))
    return ImageRecord("", candidate, 1, "Edema", ("Edema", "Mass"), probabilities, 1.0, "")


def write_images(store: ImageStore, start: int, stop: int) -> list[ImageRecord]:
    """Write images start .. stop - 1, each a PNG of another length, into a store and return their records."""
    records = []
    for ordinal in range(start, stop):
        rng = np.random.default_rng(ordinal)
        png = encode_png(rng.integers(0, 255, (4, 3 + ordinal % 5), dtype=np.uint8))
        fields = {"file_name": store.file_name(ordinal), "sha256": sha256_bytes(png)}
        records.append(ImageRecord(**vars(make_record(ordinal)) | fields))
        store.write(ordinal, png, records[-1])
    return records

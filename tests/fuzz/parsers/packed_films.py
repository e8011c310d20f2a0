"""The files of a packed dataset of films: manifest, description and arrays."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, parse_file

SIDE = 16


def write_films(root: Path) -> Path:
    """Pack twelve phantoms at 8 and 16 px."""
    from support.small_study import write_films as pack

    return pack(root / "cxr", 12, SIDE)


def _open(file: str) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.data.film_dataset import open_film_dataset

        folder = write_films(root)

        def read() -> None:
            dataset = open_film_dataset(folder)
            _, rows = dataset.images(SIDE, ("test",))
            dataset.attributes(rows)
            dataset.patients(rows)
            dataset.sources_of("nih")

        return OpenParser(((folder / file).read_bytes(),), parse_file(folder / file, read))

    return open_parser


def _open_manifest_rows(root: Path) -> OpenParser:
    """Manifests that are valid parquet with columns of other names, types and values."""
    import pandas as pd
    import pyarrow as pa

    from synthcxr.data.film_dataset import open_film_dataset
    from synthcxr.data.films import MANIFEST_FILE, fingerprint_films

    folder = write_films(root)
    columns = pd.read_parquet(folder / MANIFEST_FILE).to_dict("list")

    def read(data: bytes) -> None:
        try:
            pd.DataFrame(json.loads(data)).to_parquet(folder / MANIFEST_FILE)
        except (ValueError, TypeError, OverflowError, RecursionError, AttributeError, pa.ArrowException):
            return  # the tree is no table
        dataset = open_film_dataset(folder)
        fingerprint_films(dataset.manifest)
        _, rows = dataset.images(SIDE, ("test",))
        dataset.attributes(rows)
        dataset.patients(rows)

    return OpenParser((json.dumps(columns).encode(),), read)


def _open_feature_cache(root: Path) -> OpenParser:
    """A damaged file of the cache is computed again."""
    import numpy as np

    from synthcxr.evaluation.features import cache

    features = {"features": np.zeros((4, 3), dtype=np.float32), "logits": np.ones((4, 14), dtype=np.float32)}
    stream = io.BytesIO()
    np.savez(stream, **features)
    cache.load_or_compute(root, {"a": 1}, lambda: features)
    (path,) = root.glob("*.npz")
    return OpenParser(
        (stream.getvalue(),), parse_file(path, lambda: cache.load_or_compute(root, {"a": 1}, lambda: features))
    )


def _open_mapped_features(root: Path) -> OpenParser:
    """A damaged file of mapped features is computed again; using the mapping of another one does not crash."""
    import numpy as np

    from synthcxr.evaluation.features import cache

    features = {"features": np.ones((4, 3), dtype=np.float32), "logits": np.ones((4, 14), dtype=np.float32)}

    def read() -> None:
        arrays = cache.load_or_compute_rows(root, {"a": 1}, lambda: iter([features]), 4)
        for array in arrays.values():
            array.tobytes()

    read()
    (path,) = root.glob("*.npz")
    return OpenParser((path.read_bytes(),), parse_file(path, read))


PARSERS = [
    Parser("manifest_file", "binary", _open("manifest.parquet")),
    Parser("manifest_rows", "json", _open_manifest_rows, share=0.7),
    Parser("film_dataset_json", "json", _open("dataset.json")),
    Parser("film_images_npy", "npy", _open("images_0016.npy")),
    Parser("film_rows_npy", "npy", _open("rows_0016.npy")),
    Parser("feature_cache", "npz", _open_feature_cache),
    Parser("mapped_features", "npz", _open_mapped_features),
]

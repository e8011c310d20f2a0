"""The files of a synthetic dataset: metadata.csv, run.json, images, shards, latents and links to other datasets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, decode_text, parse_file

SIDE = 8
N_IMAGES = 6


def write_dataset(root: Path, *, image_format: str = "png") -> Path:
    """Generate a small dataset with stub models, as `synthcxr generate` writes it."""
    from support.stub_models import write_stub_models

    from synthcxr.config.schema import GenerateConfig
    from synthcxr.stages import generate

    config = GenerateConfig(
        n=N_IMAGES,
        seed=1,
        labels=(),
        without=(),
        per_label=None,
        mix=None,
        view=None,
        sex=None,
        age=None,
        method="reject",
        with_judge=True,
        max_draws=N_IMAGES,
        batch=4,
        device="cpu",
    )
    if not (root / "models").exists():
        write_stub_models(root / "models")
    generate.run(config, model=root / "models", out=root / "synthetic", model_name="stub", image_format=image_format)
    return root / "synthetic"


def _open_table(file: str) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.data import image_reader
        from synthcxr.data.synthetic_dataset import read_image_records, read_run
        from synthcxr.evaluation.image_sets import SyntheticSet

        dataset = write_dataset(root)

        def read() -> None:
            records = read_image_records(dataset)
            read_run(dataset)
            SyntheticSet.open(dataset, root / "cache")
            list(image_reader.read_verified(dataset, records))

        return OpenParser(((dataset / file).read_bytes(),), parse_file(dataset / file, read))

    return open_parser


def _open_checks(file: str) -> Callable[[Path], OpenParser]:
    """The table that `synthcxr check` builds from a dataset, without the expectations."""

    def open_parser(root: Path) -> OpenParser:
        from synthcxr.checks import synthetic

        dataset = write_dataset(root)
        example = (dataset / file).read_bytes()
        return OpenParser((example,), parse_file(dataset / file, lambda: synthetic.build_table(dataset)))

    return open_parser


def _open_latents(root: Path) -> OpenParser:
    from synthcxr.writers.sidecars.latents_npy import LATENTS_FILE, read_latents

    dataset = write_dataset(root)
    path = dataset / LATENTS_FILE
    return OpenParser((path.read_bytes(),), parse_file(path, lambda: read_latents(dataset)))


def _open_shard(root: Path) -> OpenParser:
    from synthcxr.data import image_reader
    from synthcxr.data.synthetic_dataset import read_image_records
    from synthcxr.errors import DataError
    from synthcxr.writers.formats.webdataset import TarShards

    dataset = write_dataset(root, image_format="webdataset")
    records = read_image_records(dataset)
    (path,) = (dataset / "shards").glob("*.tar")

    def read() -> None:
        reader = image_reader.ImageReader(dataset)
        for record, data in zip(records, image_reader.read(dataset, [r.file_name for r in records]), strict=True):
            if data is not None:
                image_reader.decode_pixels(data, name="x")
                reader.read(record.file_name)
        list(image_reader.read_verified(dataset, records))
        if None in list(TarShards(dataset).read(records)):
            raise DataError("an image is lost, which `generate` makes again")

    return OpenParser((path.read_bytes(),), parse_file(path, read))


def _open_image(image_format: str) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.data import image_reader

        dataset = write_dataset(root, image_format=image_format)
        files = sorted(path for path in (dataset / ("dicom" if image_format == "dicom" else "images")).rglob("*.*"))
        return OpenParser(
            tuple(path.read_bytes() for path in files[:3]), lambda data: image_reader.decode_pixels(data, name="x")
        )

    return open_parser


def _open_file_names(root: Path) -> OpenParser:
    """A name of metadata.csv leads to a file inside the dataset, or is refused."""
    from synthcxr.data import image_reader

    dataset = write_dataset(root)
    secret = root / "secret.txt"
    secret.write_bytes(b"secret")
    seeds = (b"shards/00000.tar/00000000.png", b"../secret.txt", str(secret).encode(), b"images/../../secret.txt")

    def read(data: bytes) -> None:
        for content in image_reader.read(dataset, [decode_text(data)]):
            if content == b"secret":
                raise AssertionError("a file outside the dataset was read")

    return OpenParser((b"images/00000/00000000.png",), read, seeds)


def _open_source(root: Path) -> OpenParser:
    """The source of a dataset as a run of MLflow stores it."""
    import mlflow  # noqa: F401  it loads the plugin while it is imported, and must do so first

    from synthcxr.plugins import mlflow_dataset_source

    dataset = write_dataset(root)
    source = mlflow_dataset_source.FolderSource.from_folder(dataset)
    paths = {str(dataset), source.path}

    def read(data: bytes) -> None:
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            return  # MLflow decodes the JSON
        if isinstance(fields, dict) and fields.get("path") in (*paths, "", None):
            mlflow_dataset_source.FolderSource.from_dict(fields).load()

    return OpenParser((source.to_json().encode(),), read)


def _open_source_folder(root: Path) -> OpenParser:
    """The digest and the profile of a dataset with a changed table, for `mlflow.log_input`."""
    import mlflow  # noqa: F401  it loads the plugin while it is imported, and must do so first

    from synthcxr.plugins import mlflow_dataset_source

    dataset = write_dataset(root)
    path = dataset / "metadata.csv"
    return OpenParser(
        (path.read_bytes(),), parse_file(path, lambda: mlflow_dataset_source.from_folder(dataset).to_dict())
    )


def _open_row_address(root: Path) -> OpenParser:
    """The address of a row, such as data/synthetic/metadata.csv:17."""
    from synthcxr.stages import lineage

    dataset = write_dataset(root)
    shutil.rmtree(root / "models")
    return OpenParser(
        (f"{dataset}/metadata.csv:2".encode(), f"{dataset}:3".encode()), lambda data: lineage.run(decode_text(data))
    )


PARSERS = [
    Parser("metadata_csv", "csv", _open_table("metadata.csv")),
    Parser("run_json", "json", _open_table("run.json")),
    Parser("checked_metadata_csv", "csv", _open_checks("metadata.csv"), share=0.5),
    Parser("checked_run_json", "json", _open_checks("run.json"), share=0.5),
    Parser("latents_npy", "npy", _open_latents),
    Parser("checked_latents_npy", "npy", _open_checks("latents.npy"), share=0.5),
    Parser("shard_tar", "tar", _open_shard),
    Parser("dataset_png", "png", _open_image("png")),
    Parser("dataset_dicom", "dicom", _open_image("dicom")),
    Parser("file_names", "text", _open_file_names),
    Parser("dataset_source", "json", _open_source),
    Parser("dataset_source_table", "csv", _open_source_folder, share=0.5),
    Parser("row_address", "text", _open_row_address, share=0.5),
]

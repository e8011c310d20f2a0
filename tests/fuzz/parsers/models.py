"""Model folders: ONNX files and their metadata, model.json, reference.npz, and the report of the proposal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.parser import OpenParser, Parser, parse_file


def write_models(root: Path) -> Path:
    """Write a folder of three stub models with model.json."""
    from support.stub_models import write_stub_models

    return write_stub_models(root / "models")


def _open_onnx(kind: str) -> Callable[[Path], OpenParser]:
    """An ONNX file: its metadata, a session on the CPU, and one run of it."""

    def open_parser(root: Path) -> OpenParser:
        from synthcxr.synthesis.runtime.onnx_session import Session

        path = write_models(root) / f"{kind}.onnx"
        return OpenParser(
            (path.read_bytes(),), parse_file(path, lambda: Session.open(path, kind=kind, device="cpu", threads=1))
        )

    return open_parser


def _open_onnx_graph(root: Path) -> OpenParser:
    """Graphs of another shape or operator whose digest is right: onnxruntime refuses them, or they are run."""
    import numpy as np
    import onnx
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    from synthcxr.model_files import onnx_metadata
    from synthcxr.synthesis.runtime.onnx_session import Session

    path = write_models(root) / "generator.onnx"
    metadata = onnx_metadata.read(path)
    model = onnx.load(path)
    del model.metadata_props[:]

    def run(data: bytes) -> None:
        try:
            changed = json_format.Parse(data, onnx.ModelProto(), ignore_unknown_fields=True)
        except (json_format.ParseError, DecodeError, RecursionError, UnicodeError, ValueError):
            return  # no file holds this
        onnx_metadata.stamp(changed, metadata)
        path.write_bytes(changed.SerializeToString())
        session = Session.open(path, kind="generator", device="cpu", threads=1)
        session.run(np.zeros((1, metadata.latent), dtype=np.float32))

    return OpenParser((json_format.MessageToJson(model).encode(),), run)


def _open_onnx_metadata(kind: str) -> Callable[[Path], OpenParser]:
    """Metadata in the file of a valid graph, with the right digest."""

    def open_parser(root: Path) -> OpenParser:
        import numpy as np
        import onnx

        from synthcxr.data.findings import FINDINGS
        from synthcxr.model_files import onnx_metadata, predictions
        from synthcxr.synthesis.runtime.onnx_session import Session

        path = write_models(root) / f"{kind}.onnx"
        model = onnx.load(path)
        ((_, text),) = ((prop.key, prop.value) for prop in model.metadata_props)
        calibration = {"temperature": 1.5, "shift": dict.fromkeys(FINDINGS, 0.1), "n_films": 60}
        example = json.loads(text) | {"calibration": calibration if kind == "classifier" else {}, "weak": ["Hernia"]}

        def read(data: bytes) -> None:
            try:
                onnx.helper.set_model_props(model, {onnx_metadata.METADATA_KEY: data.decode()})
            except ValueError:
                return  # a protobuf text is UTF-8
            onnx.save(model, path)
            session = Session.open(path, kind=kind, device="cpu", threads=1)
            probabilities = np.full((1, len(FINDINGS)), 0.3)
            predictions.calibrate(probabilities, session.metadata.calibration)
            predictions.is_present(probabilities, session.metadata.thresholds)

        return OpenParser((json.dumps(example).encode(),), read)

    return open_parser


def _open_index(root: Path) -> OpenParser:
    from synthcxr.model_files import model_folder

    folder = write_models(root)
    path = folder / model_folder.INDEX_FILE

    def read() -> None:
        model_folder.verify_files(folder)
        model_folder.read_attribution(folder)

    return OpenParser((path.read_bytes(),), parse_file(path, read))


def _open_reference(root: Path) -> OpenParser:
    import numpy as np
    from support.paths import REPOSITORY

    from synthcxr.config.schema import load_config
    from synthcxr.data.leakage import TrainingFilms
    from synthcxr.evaluation.sections.reference_only import Reference

    numbers = np.arange(3, dtype=np.uint64)
    films = TrainingFilms("f" * 16, numbers, numbers)
    arrays: dict[str, Any] = {
        "judge_features": np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32),
        "counts": np.ones(15),
        "n_val": np.array(60),
        "floor_judge": np.array(0.5),
        "floor_n": np.array(40),
        "digest_judge": np.array("a" * 64),
    }
    stream = io.BytesIO()
    np.savez(stream, **arrays, **films.to_arrays(films))
    path = root / "reference.npz"

    config = load_config(REPOSITORY / "params.yaml").evaluate

    def read() -> None:
        Reference.read(path, judge_digest="a" * 64, config=config).without_films()
        seen = TrainingFilms.read(path).union(TrainingFilms.read_earlier(path))
        films.count_overlap(seen)

    return OpenParser((stream.getvalue(),), parse_file(path, read))


def _open_condition_table(root: Path) -> OpenParser:
    import numpy as np

    from synthcxr.data.condition import PARTS, FilmAttributes, list_columns
    from synthcxr.data.condition_table import ConditionTable, draw_conditions

    findings = np.eye(5, 14, dtype=np.float32)
    findings[4] = np.nan
    codes, ages = np.array(["PA", "AP", "F", "M", ""]), np.arange(5, dtype=np.float32)
    stream, path = io.BytesIO(), root / "reference.npz"
    np.savez(stream, **ConditionTable.from_films(FilmAttributes(findings, codes, codes, ages), PARTS).to_arrays())

    def read() -> None:
        table = ConditionTable.read(path, list_columns(PARTS))
        table.select(table.attributes.views == table.attributes.views[0])
        draw_conditions(table, 1, range(3))

    return OpenParser((stream.getvalue(),), parse_file(path, read))


def _open_proposal_report(root: Path) -> OpenParser:
    """proposal.json beside a proposal of these models."""
    import dataclasses

    import onnx
    from support.stub_models import LATENT, write_stub_model

    from synthcxr.data.findings import FINDINGS, NO_FINDING
    from synthcxr.model_files import model_folder, onnx_metadata
    from synthcxr.stages import list_labels

    folder = write_models(root)
    digests = {kind: onnx_metadata.read(folder / f"{kind}.onnx").digest for kind in ("generator", "classifier")}
    path = folder / model_folder.PROPOSAL_FILE
    write_stub_model(path, "classifier")
    metadata = dataclasses.replace(onnx_metadata.read(path), kind="proposal", latent=LATENT, network=digests)
    model = onnx.load(path)
    stamped = onnx_metadata.stamp(model, metadata)
    onnx.save(model, path)
    row = {"n_shown": 10, "runs_an_image": 3.5}
    report = {"digest": stamped.digest, "n_held": 100, "findings": dict.fromkeys((NO_FINDING, *FINDINGS), row)}
    return OpenParser(
        (json.dumps(report).encode(),),
        parse_file(
            folder / model_folder.PROPOSAL_REPORT_FILE,
            lambda: list_labels.run(model=folder, n=None, device="cpu", batch_size=1000),
        ),
    )


PARSERS = [
    Parser("generator_onnx", "binary", _open_onnx("generator")),
    Parser("classifier_onnx", "binary", _open_onnx("classifier"), share=0.5),
    Parser("onnx_graph", "json", _open_onnx_graph),
    Parser("generator_metadata", "json", _open_onnx_metadata("generator")),
    Parser("classifier_metadata", "json", _open_onnx_metadata("classifier")),
    Parser("model_json", "json", _open_index),
    Parser("reference_npz", "npz", _open_reference),
    Parser("condition_table", "npz", _open_condition_table),
    Parser("proposal_json", "json", _open_proposal_report, share=0.3),
]

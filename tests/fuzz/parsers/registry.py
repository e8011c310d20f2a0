"""Addresses of models and of the MLflow store, and the files of the embedded store."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, decode_text, parse_file
from fuzz.parsers.models import write_models


def _stay_on_this_machine() -> None:
    """Refuse names of other hosts in this process, so that a changed address does not leave the machine."""
    find_address = socket.getaddrinfo

    def find_local_address(host: object, *args: object, **kwargs: object) -> object:
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return find_address(host, *args, **kwargs)

    socket.getaddrinfo = find_local_address


def _create_store(root: Path) -> Path:
    """Create an embedded store with a registered model in the folder `root`, and make that the current folder."""
    from synthcxr.registry import connection, tracking_uri

    os.chdir(root)
    os.environ.pop(tracking_uri.URI_VARIABLE, None)
    (root / "registry").mkdir()
    client = connection.connect(tracking_uri.embedded_uri(), create=True)
    client.create_registered_model("synthcxr-generator")
    return root / "registry" / "mlflow.db"


def _open_address(has_store: bool) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.registry import model_address

        models = write_models(root)
        if has_store:
            _create_store(root)
        else:
            os.chdir(root)
        seeds = (b"models:/synthcxr-generator@champion", b"models:/synthcxr-generator/3", b"runs:/0123abc/generator")

        def resolve(data: bytes) -> None:
            text = decode_text(data)
            if "\0" not in text:  # no argument of a command has it
                model_address.resolve_model(text)

        return OpenParser((str(models).encode(), b"models", b"models/generator.onnx"), resolve, seeds)

    return open_parser


def _open_uri(root: Path) -> OpenParser:
    """The value of MLFLOW_TRACKING_URI: it is interpreted, and no connection is opened."""
    from synthcxr.registry import tracking_uri

    os.chdir(root)
    examples = (
        b"http://user:pass@127.0.0.1:5000/path",
        b"sqlite:///registry/mlflow.db",
        b"postgresql+psycopg2://u:p@127.0.0.1/db?x=1",
        b"file:///tmp/x",
        b"https://[::1]:80/",
        b"databricks://profile",
    )

    def interpret(data: bytes) -> None:
        uri = decode_text(data)
        tracking_uri.store_kind(uri)
        tracking_uri.redact(uri)
        for path in (tracking_uri.sqlite_path(uri), tracking_uri.local_path(uri)):
            if path is not None:
                tracking_uri.relocate(path)

    return OpenParser(examples, interpret)


def _open_connection(root: Path) -> OpenParser:
    """Connect to what a changed address names: nothing answers, and every reason is one line."""
    from synthcxr.registry import connection

    _stay_on_this_machine()
    _create_store(root)
    example = f"sqlite:///{root}/registry/mlflow.db".encode()
    seeds = (b"http://user:secret@127.0.0.1:9/", b"https://127.0.0.1:9", b"foo://x", b"sqlite:////nowhere/x.db")

    def connect(data: bytes) -> None:
        text = decode_text(data)
        if "\0" not in text and not text.startswith(("postgres", "mysql", "mssql", "databricks")):
            connection.connect(text)

    return OpenParser((example,), connect, seeds)


def _open_store_file(root: Path) -> OpenParser:
    """The file of the embedded store; each input has a name of its own, because MLflow keeps its connections."""
    from synthcxr.registry import client

    example = _create_store(root).read_bytes()
    folder = root / "stores"
    count = 0

    def connect(data: bytes) -> None:
        nonlocal count
        count += 1
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / f"{count}.db"
        path.write_bytes(data)
        registry = client.Registry.open(f"sqlite:///{path}")
        registry.get_aliases("synthcxr-generator")
        list(registry.list_versions())

    return OpenParser((example,), connect)


def _open_run_id(root: Path) -> OpenParser:
    """The file that names the run of a project's trainings."""
    from synthcxr.registry import active_run, connection, tracking_uri

    _create_store(root)
    client = connection.connect(tracking_uri.embedded_uri())
    path = root / active_run.RUN_ID_FILE
    path.parent.mkdir(parents=True)
    experiment = client.create_experiment("x")

    def find() -> None:
        with connection.translate_errors(tracking_uri.embedded_uri()):
            active_run.find_active_run(client, experiment, films="f", trainings={})

    return OpenParser((b'{"run_id": "0123456789abcdef0123456789abcdef"}',), parse_file(path, find))


PARSERS = [
    Parser("model_address", "text", _open_address(False)),
    Parser("registered_address", "text", _open_address(True), share=0.1),
    Parser("tracking_uri", "text", _open_uri),
    Parser("store_connection", "text", _open_connection, share=0.05),
    Parser("store_file", "binary", _open_store_file, share=0.05),
    Parser("run_id", "json", _open_run_id, share=0.1),
]

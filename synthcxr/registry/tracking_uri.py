"""Find the MLflow store and interpret its addresses. Imports no MLflow, opens no connection, writes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from synthcxr.storage import redaction

EMBEDDED_DATABASE = Path("registry/mlflow.db")
ARTIFACTS = "artifacts"
URI_VARIABLE = "MLFLOW_TRACKING_URI"


def embedded_uri() -> str:
    """Return the address of the current folder's own registry, whether or not it exists."""
    return f"sqlite:///{EMBEDDED_DATABASE.absolute()}"


def find() -> str | None:
    """Return MLFLOW_TRACKING_URI, else the current folder's own registry if it exists, else None."""
    return os.environ.get(URI_VARIABLE) or (embedded_uri() if EMBEDDED_DATABASE.is_file() else None)


def store_kind(uri: str) -> str:
    """Return "embedded", "sqlite" or "server"; results record this, because an address can hold a password."""
    if uri == embedded_uri():
        return "embedded"
    return "sqlite" if uri.startswith("sqlite:") else "server"


def redact(uri: str) -> str:
    """Return the address for a message: a path relative to the current folder, or a server without its password."""
    if uri == embedded_uri():
        return str(EMBEDDED_DATABASE)
    return redaction.strip_userinfo(uri)


def sqlite_path(uri: str) -> Path | None:
    """Return the file behind a sqlite address, else None."""
    if uri == embedded_uri():
        return EMBEDDED_DATABASE.absolute()
    scheme, _, path = uri.partition(":///")
    return Path(unquote(path)) if scheme.partition("+")[0] == "sqlite" and path else None


def local_path(uri: str) -> Path | None:
    """Return the path behind an artifact address on this machine, else None."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # such as a host with one bracket
        return None
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if "://" not in uri and ":/" not in uri else None


def relocate(path: Path) -> Path:
    """Map an artifact path of the embedded registry to the current folder.

    A sqlite store keeps absolute paths, which are wrong after the project folder has moved.
    """
    marker = (EMBEDDED_DATABASE.parent.name, ARTIFACTS)
    for index in range(len(path.parts) - 1, 0, -1):
        if path.parts[index - 1 : index + 1] == marker:
            return EMBEDDED_DATABASE.parent.absolute().joinpath(*path.parts[index:])
    return path

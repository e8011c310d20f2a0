"""Where the registry and the cache of pulled models lie; knows paths and addresses, asks nobody and makes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

EMBEDDED = Path("registry/mlflow.db")
ARTIFACTS = "artifacts"
VARIABLE = "MLFLOW_TRACKING_URI"


def embedded() -> str:
    """The address of this folder's own registry, whether it is there or not."""
    return f"sqlite:///{EMBEDDED.absolute()}"


def find() -> str | None:
    """MLFLOW_TRACKING_URI, else this folder's own registry if it is there, else None."""
    return os.environ.get(VARIABLE) or (embedded() if EMBEDDED.is_file() else None)


def kind(uri: str) -> str:
    """ "embedded", "sqlite" or "server": what results may say of an address that can hold a password."""
    if uri == embedded():
        return "embedded"
    return "sqlite" if uri.startswith("sqlite:") else "server"


def shown(uri: str) -> str:
    """The address as a message may show it: a path as it stands here, a server without its password."""
    if uri == embedded():
        return str(EMBEDDED)
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri


def database(uri: str) -> Path | None:
    """The file of a sqlite address, else None."""
    scheme, _, path = uri.partition(":///")
    return Path(unquote(path)) if scheme.partition("+")[0] == "sqlite" and path else None


def local(uri: str) -> Path | None:
    """The path behind an artifact address that lies on this machine, else None."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(uri) if "://" not in uri and ":/" not in uri else None


def here(path: Path) -> Path:
    """Where an artifact of this folder's own registry lies now: a sqlite store keeps the paths of where it was made."""
    marker = (EMBEDDED.parent.name, ARTIFACTS)
    for at in range(len(path.parts) - 1, 0, -1):
        if path.parts[at - 1 : at + 1] == marker:
            return EMBEDDED.parent.absolute().joinpath(*path.parts[at:])
    return path


def cache() -> Path:
    """$SYNTHCXR_CACHE, else synthcxr in $XDG_CACHE_HOME, else ~/.cache/synthcxr."""
    if own := os.environ.get("SYNTHCXR_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthcxr"

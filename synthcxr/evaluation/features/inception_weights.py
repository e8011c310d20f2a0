"""Where the Inception network of the original FID lies: the TorchScript file that its authors' numbers come from.

SYNTHCXR_INCEPTION names a local copy; else it is fetched once into the user's cache. It loads only after its sha256
is checked. Imports no torch.
"""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.request
from pathlib import Path

from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic, digests

VARIABLE = "SYNTHCXR_INCEPTION"
URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
_TIMEOUT_S = 20


def find() -> Path | None:
    """The checked file, fetched if need be; None where it is not here and cannot be fetched.

    ArtifactError where the named file is absent, or what is here has another sha256.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else cached()
    if not path.is_file():
        if named:
            raise ArtifactError(f"{path}: no such file; mend {VARIABLE}, or unset it")
        if not _fetch(path):
            return None
    digest = digests.sha256_file(path)
    if digest != SHA256:
        raise ArtifactError(f"{path}: sha256 {digest} is not that of the original Inception, {SHA256}; fetch it again")
    return path


def missing() -> str:
    """What to do where the file is not here."""
    return f"download {URL} (sha256 {SHA256[:16]}...) and set {VARIABLE} to the file"


def cached() -> Path:
    """Where a fetched copy is kept."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "synthcxr" / "inception-2015-12-05.pt"


def _fetch(path: Path) -> bool:
    """Whether the file could be fetched; it is put in place whole or not at all."""
    try:
        with urllib.request.urlopen(URL, timeout=_TIMEOUT_S) as answer, atomic.file(path, shared=True) as file:
            shutil.copyfileobj(answer, file)
    except (OSError, http.client.HTTPException):
        return False
    return True

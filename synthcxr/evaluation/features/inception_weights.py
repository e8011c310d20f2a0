"""Finds or downloads the TorchScript file of the Inception network on which published FID values are based.

SYNTHCXR_INCEPTION may name a local copy. Otherwise the file is downloaded once into the user's cache folder. Its
sha256 is checked before use. Imports no torch.
"""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.request
from pathlib import Path

from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic, digests
from synthcxr.storage.cache_dir import cache_dir

VARIABLE = "SYNTHCXR_INCEPTION"
URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
_TIMEOUT_S = 20


def find_weights() -> Path | None:
    """The checked file, downloaded if necessary, or None if it is not on this machine and cannot be downloaded.

    Raises ArtifactError if the file that SYNTHCXR_INCEPTION names does not exist, or if the sha256 is wrong.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else cached_path()
    if not path.is_file():
        if named:
            raise ArtifactError(f"{path}: no such file; correct {VARIABLE}, or unset it")
        if not _download(path):
            return None
    digest = digests.sha256_file(path)
    if digest != SHA256:
        raise ArtifactError(
            f"{path}: sha256 {digest} is not that of the original Inception, {SHA256}; download it again"
        )
    return path


def describe_missing() -> str:
    """What to do if the file is not on this machine."""
    return f"download {URL} (sha256 {SHA256[:16]}...) and set {VARIABLE} to the file"


def cached_path() -> Path:
    """Where a downloaded copy is stored."""
    return cache_dir() / "inception-2015-12-05.pt"


def _download(path: Path) -> bool:
    """Download the file and return whether that succeeded; a failed download leaves no partial file."""
    try:
        with (
            urllib.request.urlopen(URL, timeout=_TIMEOUT_S) as response,
            atomic.open_file(path, concurrent=True) as file,
        ):
            shutil.copyfileobj(response, file)
    except (OSError, http.client.HTTPException):
        return False
    return True

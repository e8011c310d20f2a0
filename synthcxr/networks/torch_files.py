"""Weight files of torch: the only place that opens them, without executing what a pickle contains."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from synthcxr.errors import ArtifactError
from synthcxr.storage import guarded_files

MAX_BYTES = 2**32


def read_state_dict(path: Path, *, advice: str) -> dict[str, Tensor]:
    """Read the tensors of a .pth file by name; ArtifactError, which ends in `advice`, for anything else."""
    with guarded_files.report_failure(path, "a torch weight file", error=ArtifactError, advice=advice):
        guarded_files.require_regular(path, MAX_BYTES)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(loaded, dict) or not all(
            isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in loaded.items()
        ):
            raise guarded_files.RefusedContentError("is not a torch weight file with tensors by name")
        return loaded


def read_script(path: Path, *, device: str, advice: str) -> torch.nn.Module:
    """Read a TorchScript file, whose sha256 the caller has checked, onto `device`; ArtifactError for anything else."""
    with guarded_files.report_failure(path, "a TorchScript file", error=ArtifactError, advice=advice):
        guarded_files.require_regular(path, MAX_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch has no other reader for this format
            network: torch.nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        return network.eval()

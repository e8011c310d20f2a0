"""Weight files are loaded unchanged, or refused by name."""

from pathlib import Path

import pytest
import torch

from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.int64)}


def test_round_trip(tmp_path: Path) -> None:
    """Tensors and metadata are unchanged, and no other file is left in the folder."""
    safetensors_files.save(tmp_path / "x.safetensors", TENSORS, {"nimg": "7"})
    tensors, metadata = safetensors_files.load(tmp_path / "x.safetensors")
    assert metadata == {"nimg": "7"}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_flipped_bits_and_truncation_are_detected(tmp_path: Path) -> None:
    """A damaged file is refused by name, wherever the damage is."""
    path = tmp_path / "x.safetensors"
    safetensors_files.save(path, TENSORS, {"nimg": "7"})
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        flipped = bytes([content[position] ^ 1])
        path.write_bytes(content[:position] + flipped + content[position + 1 :])
        with pytest.raises(ArtifactError, match=r"x\.safetensors"):
            safetensors_files.load(path)
    for length in (0, 5, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ArtifactError, match=r"x\.safetensors"):
            safetensors_files.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says that there is no such file."""
    with pytest.raises(ArtifactError, match="no such file"):
        safetensors_files.load(tmp_path / "x.safetensors")

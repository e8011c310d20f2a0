"""Weight files: whole, sound, of the right contents, or refused by name."""

from pathlib import Path

import pytest
import torch

from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.int64)}


def test_round_trip(tmp_path: Path) -> None:
    """Tensors and metadata come back as they were; nothing else is left in the folder."""
    safetensors_files.save(tmp_path / "x.safetensors", TENSORS, {"nimg": "7"})
    tensors, metadata = safetensors_files.load(tmp_path / "x.safetensors")
    assert metadata == {"nimg": "7"}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    """A damaged file is refused by name wherever the damage lies."""
    path = tmp_path / "x.safetensors"
    safetensors_files.save(path, TENSORS, {"nimg": "7"})
    sound = path.read_bytes()
    for at in range(0, len(sound), 7):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(ArtifactError, match=r"x\.safetensors"):
            safetensors_files.load(path)
    for length in (0, 5, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:length])
        with pytest.raises(ArtifactError, match=r"x\.safetensors"):
            safetensors_files.load(path)


def test_absent_file(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(ArtifactError, match="no such weight file"):
        safetensors_files.load(tmp_path / "x.safetensors")

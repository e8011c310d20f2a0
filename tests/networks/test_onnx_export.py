"""ONNX export: onnxruntime and torch agree, the metadata are in the file, and initialisers keep their names."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.exported_models import round_weights_to_fp16

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks import layers
from synthcxr.networks.generator import Generator
from synthcxr.networks.onnx_export import export_onnx

CHANNELS = {4: 16, 8: 16, 16: 8}


def write_generator(path: Path, *, fp16: bool) -> tuple[Generator, ModelMetadata]:
    torch.manual_seed(0)
    generator = Generator(12, CHANNELS).eval()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter)
    layers.fold_scales(generator)
    metadata = ModelMetadata(
        kind="generator",
        resolution=16,
        latent=12,
        findings=FINDINGS,
        thresholds={},
        network=generator.build_network_config(CHANNELS),
        training_data="films",
        phantom=True,
        licence="Apache-2.0",
    )
    stamped = export_onnx(
        generator,
        path=path,
        metadata=metadata,
        row=(12,),
        input_name="z",
        output_names=("image",),
        fp16=fp16,
    )
    return generator, stamped


@pytest.mark.parametrize("fp16", [False, True])
def test_onnxruntime_agrees_with_torch(tmp_path: Path, *, fp16: bool) -> None:
    """Images agree to 1e-4 at N = 1, 3 and 32; with fp16, torch uses the rounded weights."""
    generator, _ = write_generator(tmp_path / "g.onnx", fp16=fp16)
    if fp16:
        round_weights_to_fp16(generator)
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 3, 32):
        z = torch.randn(n, 12)
        with torch.no_grad():
            expected = generator(z).numpy()
        (image,) = session.run(None, {"z": z.numpy()})
        assert image.shape == (n, 1, 16, 16)
        assert np.abs(image - expected).max() < 1e-4


def test_metadata_round_trip_and_initialiser_names(tmp_path: Path) -> None:
    """The metadata are read back unchanged; initialisers have the names of the torch module and are stored in fp16."""
    generator, stamped = write_generator(tmp_path / "g.onnx", fp16=True)
    assert onnx_metadata.read(tmp_path / "g.onnx", kind="generator") == stamped
    initialisers = {tensor.name: tensor for tensor in onnx.load(tmp_path / "g.onnx").graph.initializer}
    used = {name for name, _ in generator.named_parameters() if not name.startswith(("to_grey.4", "to_grey.8"))}
    assert used <= set(initialisers)
    assert initialisers["blocks.16.conv1.weight"].data_type == onnx.TensorProto.FLOAT16


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    """A changed weight, a truncated file, a wrong kind and a foreign file each raise an error that names the file."""
    path = tmp_path / "g.onnx"
    write_generator(path, fp16=False)
    with pytest.raises(ArtifactError, match="is a generator, expected a judge"):
        onnx_metadata.read(path, kind="judge")
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(ArtifactError, match=r"changed\.onnx: its digest"):
        onnx_metadata.read(tmp_path / "changed.onnx")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"cut\.onnx"):
        onnx_metadata.read(tmp_path / "cut.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(ArtifactError, match="no synthcxr metadata"):
        onnx_metadata.read(tmp_path / "foreign.onnx")

"""Untrained networks in real ONNX files, as the export stage writes them; each folder is built once per process."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.paths import REPOSITORY

from synthcxr.config.gan_sections import ConditionPart
from synthcxr.config.schema import load_config
from synthcxr.data import images, random_streams
from synthcxr.data.condition import PARTS, FilmAttributes, list_columns
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.findings import FINDINGS
from synthcxr.data.leakage import REFERENCE_FILE
from synthcxr.model_files import onnx_metadata, predictions
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.networks import layers
from synthcxr.networks.classifier import Classifier, fold_norms, initialise_classifier
from synthcxr.networks.generator import Generator
from synthcxr.networks.onnx_export import MIN_FP16_ELEMENTS, export_onnx
from synthcxr.stages import distill
from synthcxr.synthesis.runtime.onnx_session import Session

CHANNELS = {4: 16, 8: 16, 16: 8}
LATENT = 12
SMALL = {"backbone": "small", "resolution": 16, "image_resolution": 16, "width": 4}


def build_metadata(kind: str, side: int, network: dict[str, Any], **fields: Any) -> ModelMetadata:
    """Build the metadata of a model file; `fields` override the defaults."""
    defaults = {"kind": kind, "resolution": side, "latent": 0, "findings": FINDINGS, "thresholds": {}}
    defaults |= {"network": network, "training_data": "films", "phantom": True, "licence": "Apache-2.0"}
    return ModelMetadata(**(defaults | fields))


def write_generator(
    path: Path,
    *,
    blocks: str = "lean",
    fp16: bool = True,
    channels: dict[int, int] = CHANNELS,
    condition: tuple[ConditionPart, ...] = (),
) -> Path:
    """Write a generator with random weights whose images use the whole grey range, and depend on a `condition`."""
    path.write_bytes(_build_generator_file(blocks, fp16, tuple(channels.items()), condition))
    return path


@functools.cache
def _build_generator_file(
    blocks: str, fp16: bool, channels: tuple[tuple[int, int], ...], condition: tuple[ConditionPart, ...]
) -> bytes:
    torch.manual_seed(0)
    columns = list_columns(condition)
    network = Generator(LATENT, dict(channels), blocks, len(columns)).eval()  # type: ignore[arg-type]
    if network.embed_condition is not None:
        torch.nn.init.normal_(network.embed_condition.weight, std=0.3)
    layers.fold_scales(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    network_config = network.build_network_config(dict(channels))
    metadata = build_metadata("generator", max(dict(channels)), network_config, latent=LATENT, condition=columns)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        export_onnx(
            network,
            path=path,
            metadata=metadata,
            row=(LATENT,),
            input_name="z",
            output_names=("image",),
            fp16=fp16,
            n_condition=len(columns),
        )
        return path.read_bytes()


def create_classifier(network: dict[str, Any], seed: int = 0) -> Classifier:
    """Create a classifier in evaluation mode with random norms, so that its logits depend on the image."""
    classifier = initialise_classifier(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return classifier.eval()


def write_classifier(
    path: Path, network: dict[str, Any] = SMALL, *, kind: str = "classifier", fp16: bool = True, **fields: Any
) -> Path:
    """Write a classifier with random weights; every threshold is 0.5 unless `fields` set others."""
    classifier = create_classifier(network, seed=len(kind))
    fold_norms(classifier)
    side = int(network["image_resolution"])
    fields = {"thresholds": dict.fromkeys(FINDINGS, 0.5)} | fields
    export_onnx(
        classifier,
        path=path,
        metadata=build_metadata(kind, side, network | {"folded": True}, **fields),
        row=(1, side, side),
        input_name="image",
        output_names=("logits", "features"),
        fp16=fp16,
    )
    return path


def write_exported_models(folder: Path, *, rate: float = 0.5) -> Path:
    """Write generator.onnx, classifier.onnx and judge.onnx at 16 px; about `rate` of the images show each finding."""
    return _write_files(folder, _build_models(rate))


def write_conditional_models(folder: Path, parts: tuple[ConditionPart, ...] = PARTS, *, rate: float = 0.5) -> Path:
    """Write the same models with a conditional generator, and reference.npz with a table of 200 invented films."""
    _write_files(folder, _build_models(rate))
    write_generator(folder / "generator.onnx", condition=parts)
    np.savez(folder / REFERENCE_FILE, **build_condition_table(parts).to_arrays())
    return folder


def build_condition_table(parts: tuple[ConditionPart, ...] = PARTS, n: int = 200) -> ConditionTable:
    """Build the table of `n` invented films; a film in five is unlabelled, and all 14 findings occur."""
    rng = np.random.default_rng(0)
    findings = (rng.random((n, len(FINDINGS))) < 0.2).astype(np.float32)
    findings[::5] = np.nan
    views, sexes = (np.array(codes)[rng.integers(0, 3, n)] for codes in (["PA", "AP", ""], ["F", "M", ""]))
    films = FilmAttributes(findings, views, sexes, rng.integers(1, 99, n).astype(np.float32))
    return ConditionTable.from_films(films, parts)


def write_guided_models(folder: Path, *, rate: float) -> Path:
    """Write the same models and a latent classifier (proposal.onnx) distilled from few pairs."""
    return _write_files(folder, _build_guided_models(rate))


def _write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@functools.cache
def _build_models(rate: float) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = Session.open(write_generator(folder / "generator.onnx"), device="cpu")
        pixels = images.to_uint8(generator.run(random_streams.draw_latents(99, 0, 2048, LATENT))["image"])
        for kind in ("classifier", "judge"):
            path = write_classifier(folder / f"{kind}.onnx", kind=kind)
            session = Session.open(path, device="cpu")
            probabilities = predictions.to_probabilities(session.run(images.to_float(pixels))["logits"])
            thresholds = np.quantile(probabilities, 1 - rate, axis=0).tolist()
            metadata = dataclasses.replace(session.metadata, thresholds=dict(zip(FINDINGS, thresholds, strict=True)))
            onnx_metadata.amend(path, metadata)
        return _read_files(folder)


@functools.cache
def _build_guided_models(rate: float) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = _write_files(Path(name) / "models", _build_models(rate))
        config = load_config(REPOSITORY / "params.yaml").distill
        config = dataclasses.replace(
            config, n_pairs=2000, n_held=2000, n_led=0, n_measured=64, width=32, n_epochs=4, device="cpu"
        )
        distill.run(config, models=folder)
        return _read_files(folder)


def round_weights_to_fp16(network: torch.nn.Module) -> None:
    """Round the weights in place to the values that an fp16 file stores."""
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dtype == torch.float32 and tensor.ndim > 1 and tensor.numel() >= MIN_FP16_ELEMENTS:
                tensor.copy_(tensor.half().float())

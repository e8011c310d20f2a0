"""Untrained networks in real ONNX files, as the export stage writes them; each folder is made once a process."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.paths import REPOSITORY

from synthcxr.config import schema as configs
from synthcxr.data import images, random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files import predictions
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.networks import classifier as classifiers
from synthcxr.networks import layers
from synthcxr.networks.generator import Generator
from synthcxr.networks.onnx_export import export
from synthcxr.stages import distill
from synthcxr.synthesis.runtime.onnx_session import Session

CHANNELS = {4: 16, 8: 16, 16: 8}
LATENT = 12
SMALL = {"backbone": "small", "resolution": 16, "image_resolution": 16, "width": 4}


def contract(kind: str, side: int, network: dict[str, Any], **promises: Any) -> Contract:
    fields = {"kind": kind, "resolution": side, "latent": 0, "findings": FINDINGS, "thresholds": {}}
    fields |= {"network": network, "training_data": "films", "phantom": True, "licence": "Apache-2.0"}
    return Contract(**(fields | promises))


def write_generator(
    path: Path, *, blocks: str = "lean", fp16: bool = True, channels: dict[int, int] = CHANNELS
) -> Path:
    """A generator with random weights whose images use the whole range of grey."""
    path.write_bytes(_generator(blocks, fp16, tuple(channels.items())))
    return path


@functools.cache
def _generator(blocks: str, fp16: bool, channels: tuple[tuple[int, int], ...]) -> bytes:
    torch.manual_seed(0)
    network = Generator(LATENT, dict(channels), blocks).eval()  # type: ignore[arg-type]
    layers.fold_scales(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    held = contract("generator", max(dict(channels)), network.network_config(dict(channels)), latent=LATENT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        export(network, path=path, contract=held, row=(LATENT,), input_name="z", output_names=("image",), fp16=fp16)
        return path.read_bytes()


def worn(network: dict[str, Any], seed: int = 0) -> classifiers.Classifier:
    """A classifier at rest whose norms are no longer the identity, so that the image decides its logits."""
    classifier = classifiers.initialise(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return classifier.eval()


def write_classifier(
    path: Path, network: dict[str, Any] = SMALL, *, kind: str = "classifier", fp16: bool = True, **promises: Any
) -> Path:
    """A classifier with random weights; every threshold is 0.5 unless `promises` say otherwise."""
    classifier = worn(network, seed=len(kind))
    classifiers.fold(classifier)
    side = int(network["image_resolution"])
    promises = {"thresholds": dict.fromkeys(FINDINGS, 0.5)} | promises
    held = contract(kind, side, network | {"folded": True}, **promises)
    outputs = ("logits", "features")
    export(
        classifier, path=path, contract=held, row=(1, side, side), input_name="image", output_names=outputs, fp16=fp16
    )
    return path


def write_folder(folder: Path, *, rate: float = 0.5) -> Path:
    """generator.onnx, classifier.onnx and judge.onnx of 16 px; each finding shows in about `rate` of the images."""
    return _written(folder, _plain(rate))


def write_guided_folder(folder: Path, *, rate: float) -> Path:
    """The same with a proposal, distilled from few pairs."""
    return _written(folder, _guided(rate))


def _written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@functools.cache
def _plain(rate: float) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = Session.open(write_generator(folder / "generator.onnx"), device="cpu")
        made = images.to_uint8(generator.run(random_streams.latents(99, 0, 2048, LATENT))["image"])
        for kind in ("classifier", "judge"):
            path = write_classifier(folder / f"{kind}.onnx", kind=kind)
            session = Session.open(path, device="cpu")
            found = predictions.probabilities(session.run(images.to_float(made))["logits"])
            limits = np.quantile(found, 1 - rate, axis=0).tolist()
            held = dataclasses.replace(session.contract, thresholds=dict(zip(FINDINGS, limits, strict=True)))
            contracts.amend(path, held)
        return _read(folder)


@functools.cache
def _guided(rate: float) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = _written(Path(name) / "models", _plain(rate))
        plain = configs.load(REPOSITORY / "params.yaml").distill
        few = dataclasses.replace(
            plain, n_pairs=2000, n_held=2000, n_led=0, n_measured=64, width=32, n_epochs=4, device="cpu"
        )
        distill.run(few, models=folder)
        return _read(folder)

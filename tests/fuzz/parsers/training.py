"""What trainings read: weights, checkpoints, the best generator, tables, and the config of an earlier training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.parser import OpenParser, Parser, parse_file

IDENTITY = {"config": "a", "films": "b"}


def _create_state() -> Any:
    import torch
    from support.small_gan import CONFIG

    from synthcxr.training import gan_state

    state = gan_state.create_state(CONFIG, torch.device("cpu"))
    for network, adam in ((state.generator, state.adam_g), (state.discriminator, state.adam_d)):
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        adam.step()
    state.nimg = state.phase_start = 64
    return state


def _open_weights(root: Path) -> OpenParser:
    from synthcxr.networks import safetensors_files

    network = _create_state().discriminator
    path = root / "discriminator.safetensors"
    safetensors_files.save(path, network, {"kind": "discriminator"})
    return OpenParser((path.read_bytes(),), parse_file(path, lambda: safetensors_files.load_weights(network, path)))


def _open_checkpoint(root: Path) -> OpenParser:
    """A damaged checkpoint is skipped with a message, so nothing here is refused."""
    from synthcxr.training import checkpoint

    state = _create_state()
    path = checkpoint.save_checkpoint(root, state, IDENTITY)

    def resume() -> None:
        checkpoint.resume_from_checkpoint(root, state, IDENTITY, lambda line: None)

    return OpenParser((path.read_bytes(),), parse_file(path, resume))


def _open_checkpoint_content(root: Path) -> OpenParser:
    """Checkpoints with a right digest but other tensors or metadata: of another version, or foreign."""
    import torch

    from synthcxr.networks import safetensors_files
    from synthcxr.training import checkpoint

    state = _create_state()
    path = checkpoint.save_checkpoint(root, state, IDENTITY)
    tensors, metadata = safetensors_files.load(path)
    example = {"shapes": {name: list(tensor.shape) for name, tensor in tensors.items()}, "metadata": metadata}

    def resume(data: bytes) -> None:
        try:
            tree = json.loads(data)
            changed = {
                name: tensors[name] if list(tensors.get(name, torch.empty(0)).shape) == shape else torch.zeros(shape)
                for name, shape in tree["shapes"].items()
                if name.isprintable()
            }
            safetensors_files.save(path, changed, {str(name): str(text) for name, text in tree["metadata"].items()})
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError):
            return  # no file holds this
        checkpoint.resume_from_checkpoint(root, state, IDENTITY, lambda line: None)

    return OpenParser((json.dumps(example).encode(),), resume)


def _open_best(root: Path) -> OpenParser:
    from synthcxr.networks import safetensors_files
    from synthcxr.training.best_checkpoint import BestCheckpoint

    generator = _create_state().generator
    path = root / "best.safetensors"

    def load(data: bytes) -> None:
        try:
            metadata = {str(name): str(value) for name, value in json.loads(data).items()}
            safetensors_files.save(path, generator, metadata)
        except (ValueError, AttributeError, RecursionError):
            path.write_bytes(data)
        best = BestCheckpoint(root, IDENTITY, lambda batches: 0.0, 4, lambda line: None)
        best.load_into(generator)

    return OpenParser((json.dumps(IDENTITY | {"distance": "0.5", "nimg": "64"}).encode(),), load)


def _open_gan_table(root: Path) -> OpenParser:
    from synthcxr.training.log_writer import COLUMNS, TrainingLogWriter

    rows = [",".join(COLUMNS), "16,8,1,0.001,1,2,0.1,1,-1,,,,40,3.5", "32,8,1,0.001,1,2,0.1,1,-1,,,0.7,40,7.5"]
    path = root / "log.csv"

    def resume() -> None:
        writer = TrainingLogWriter(root, root / "copy.csv", root / "snapshots", lambda row: None)
        writer.resume(32)
        if writer.rows:
            writer.select_nimg()
            writer.add_row({"nimg": 48.0, "wall_s": 1.0})

    return OpenParser(("\n".join(rows).encode() + b"\n",), parse_file(path, resume))


def _open_curve(root: Path) -> OpenParser:
    """A table of a training, whose rows `register` logs."""
    from synthcxr.registry import run_metrics

    path = root / "train_gan.csv"
    examples = (b"nimg,loss_d,loss_g\n100,1,0.5\n200,0.9,\n", b"epoch,loss,val_auroc_mean\n1,0.4,0.7\n2,0.3,nan\n")
    return OpenParser(examples, parse_file(path, lambda: run_metrics.read_curve(path)))


def _open_network_config(kind: str) -> Callable[[Path], OpenParser]:
    """The description of a network in config.json or in an ONNX file, from which the network is built."""

    def open_parser(root: Path) -> OpenParser:
        from support.dataset_records import GENERATOR

        from synthcxr.networks import onnx_import
        from synthcxr.networks.classifier import ClassifierNetwork, build_classifier
        from synthcxr.networks.generator import GeneratorNetwork, build_generator

        generator = {"latent": 8, "channels": {"4": 8, "8": 8}, "blocks": "lean"}
        classifier = {"backbone": "small", "resolution": 16, "image_resolution": 16, "width": 8}
        path, metadata = root / "x.onnx", GENERATOR

        def parse(data: bytes) -> None:
            try:
                tree = json.loads(data)
            except (ValueError, RecursionError):
                return  # the file that holds it has a parser of its own
            described = dataclasses.replace(metadata, network=tree)
            if kind == "generator":
                onnx_import._build_network(path, described, GeneratorNetwork, build_generator)
            else:
                onnx_import._build_network(path, described, ClassifierNetwork, build_classifier)

        return OpenParser((json.dumps(generator if kind == "generator" else classifier).encode(),), parse)

    return open_parser


PARSERS = [
    Parser("weights_file", "safetensors", _open_weights),
    Parser("checkpoint_file", "safetensors", _open_checkpoint),
    Parser("checkpoint_content", "json", _open_checkpoint_content, share=0.5),
    Parser("best_generator", "json", _open_best),
    Parser("gan_table", "csv", _open_gan_table),
    Parser("training_table", "csv", _open_curve),
    Parser("generator_config", "json", _open_network_config("generator"), share=0.5),
    Parser("classifier_config", "json", _open_network_config("classifier"), share=0.5),
]

"""One ONNX model running in onnxruntime: checked on opening, on the device that was asked for, or an error."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import io
import os
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files.onnx_metadata import Contract, Kind
from synthcxr.synthesis.runtime import cpu_fusion, fp16

Float32 = NDArray[np.float32]
Device = Literal["auto", "cuda", "cpu"]
Precision = Literal["fp32", "fp16"]

VERSION: str = ort.__version__
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Algorithms picked by timing differ from run to run, and TF32 rounds: both would cost the same bytes.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}
_NATIVE_ERRORS = (
    *(native.Fail, native.InvalidArgument, native.InvalidGraph, native.InvalidProtobuf, native.NotImplemented),
    *(native.EPFail, native.RuntimeException, RuntimeError, ValueError),
)
_OUTPUTS = {
    "generator": ("image",),
    "classifier": ("logits", "features"),
    "judge": ("logits", "features"),
    "proposal": ("logits",),
}

# Its log lines go straight to stderr, a missing GPU library among them; what matters also comes as an exception.
ort.set_default_logger_severity(4)


@dataclasses.dataclass(frozen=True)
class Session:
    """An opened model file. `provider` is the execution provider that onnxruntime really gave.

    `precision` is what it computes in: fp16 where it is a generator on a GPU, unless another was asked for.
    """

    contract: Contract
    provider: str
    precision: Precision
    _inference: ort.InferenceSession = dataclasses.field(repr=False)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        kind: Kind | None = None,
        device: Device = "auto",
        threads: int | None = None,
        precision: Precision | None = None,
    ) -> Session:
        """Open a model file; ArtifactError where it does not fit its contract, or `device` "cuda" was not got.

        `threads` None takes as many as there are cores; the bytes of an image may depend on their number.
        """
        contract = contracts.read(path, kind=kind)
        try:
            inference, precision = _start(_Asked(path, contract, precision), device, threads or n_threads())
        except _NATIVE_ERRORS as error:
            raise ArtifactError(f"{path}: onnxruntime cannot load it ({_first_line(error)})") from error
        _check_fit(path, contract, inference)
        return cls(contract, inference.get_providers()[0], precision, inference)

    @property
    def digest(self) -> str:
        """Hex sha256 of graph and initialisers."""
        return self.contract.digest

    @property
    def threads(self) -> int:
        """How many threads share the work of one operator."""
        return int(self._inference.get_session_options().intra_op_num_threads)

    def pins(self) -> dict[str, str]:
        """What the bits of its answers depend on beside the file."""
        return {"provider": self.provider, "precision": self.precision, "onnxruntime": VERSION}

    def run(self, array: Float32) -> dict[str, Float32]:
        """Every output by its name, for latents [N, Z] (generator) or images [N, 1, R, R] (classifier, judge).

        Bound, so that on a GPU an input goes there once and an output comes back once. Callers keep N the same.
        """
        outputs, bound = _OUTPUTS[self.contract.kind], self._inference.io_binding()
        try:
            bound.bind_cpu_input(self._inference.get_inputs()[0].name, np.ascontiguousarray(array))
            for name in outputs:
                bound.bind_output(name, "cuda" if self.provider == CUDA else "cpu")
            self._inference.run_with_iobinding(bound)
            values = bound.copy_outputs_to_cpu()
        except _NATIVE_ERRORS as error:
            raise ArtifactError(f"the {self.contract.kind} failed on {self.provider}: {_first_line(error)}") from error
        return dict(zip(outputs, values, strict=True))


def n_threads() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What of a file is to be run, and in what precision; None leaves it to the device."""

    path: Path
    contract: Contract
    precision: Precision | None

    def on(self, provider: str) -> Precision:
        """The precision there."""
        if self.contract.kind != "generator":
            return "fp32"
        return self.precision or ("fp16" if provider == CUDA else "fp32")

    def source(self, provider: str) -> Path | bytes:
        """The file, or of a generator its graph in fp16, which agrees to 1e-2, or made quicker for a CPU, to 1e-4."""
        if self.on(provider) == "fp16":
            return bytes(fp16.halved(onnx.load(self.path)).SerializeToString())
        if self.contract.kind != "generator" or provider == CUDA:
            return self.path
        quicker, n_merged = cpu_fusion.merged(onnx.load(self.path))
        return bytes(quicker.SerializeToString()) if n_merged else self.path


def _start(asked: _Asked, device: Device, threads: int) -> tuple[ort.InferenceSession, Precision]:
    if device != "cpu":
        inference = _on_cuda(asked, threads)
        if inference is not None:
            return inference, asked.on(CUDA)
    if device == "cuda":
        raise ArtifactError(
            "--device cuda: onnxruntime did not get the GPU (it needs the NVIDIA driver, CUDA and cuDNN 9, and the"
            " onnxruntime-gpu package); mend that, or use --device auto or cpu"
        )
    return (
        ort.InferenceSession(asked.source(CPU), _options(threads), providers=[CPU], enable_fallback=0),
        asked.on(CPU),
    )


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores on which images are encoded: measured, a third of all CPU time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _on_cuda(asked: _Asked, threads: int) -> ort.InferenceSession | None:
    """A session that ran one sample on the GPU, or None where anything on the way there is missing."""
    if CUDA not in ort.get_available_providers() or not _has_driver():
        return None
    if hasattr(ort, "preload_dlls"):  # since 1.21: finds CUDA and cuDNN where pip put them
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    try:
        inference = ort.InferenceSession(
            asked.source(CUDA),
            _options(threads),
            providers=[(CUDA, _CUDA_OPTIONS), (CPU, {})],
            enable_fallback=0,
        )
        if inference.get_providers()[0] != CUDA:
            return None
        inference.run(None, {inference.get_inputs()[0].name: np.zeros(_input_shape(asked.contract, 1), np.float32)})
    except _NATIVE_ERRORS:
        return None
    return inference


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _input_shape(contract: Contract, n: int) -> tuple[int, ...]:
    if contract.kind in ("generator", "proposal"):
        return (n, contract.latent)
    return (n, 1, contract.resolution, contract.resolution)


def _check_fit(path: Path, contract: Contract, inference: ort.InferenceSession) -> None:
    inputs = {entry.name: entry.shape for entry in inference.get_inputs()}
    outputs = {entry.name: entry.shape for entry in inference.get_outputs()}
    side = contract.resolution
    if contract.kind == "generator":
        wanted = {"z": [contract.latent]}, {"image": [1, side, side]}
    elif contract.kind == "proposal":
        wanted = {"z": [contract.latent]}, {"logits": [len(FINDINGS)]}
    else:
        wanted = {"image": [1, side, side]}, {"logits": [len(FINDINGS)], "features": []}
        lacking = [finding for finding in FINDINGS if finding not in contract.thresholds]
        if lacking:
            raise ArtifactError(f"{path}: its metadata holds no threshold for {', '.join(lacking)}")
    if len(inputs) != 1:
        raise ArtifactError(f"{path}: a {contract.kind} has one input, this one has {', '.join(inputs)}")
    for what, shapes, names in (("input", inputs, wanted[0]), ("output", outputs, wanted[1])):
        for name, shape in names.items():
            if name not in shapes:
                raise ArtifactError(f"{path}: has no {what} {name!r}; it has {', '.join(shapes)}")
            if any(isinstance(held, int) and held != want for held, want in zip(shapes[name][1:], shape, strict=False)):
                raise ArtifactError(
                    f"{path}: its {what} {name!r} {shapes[name]} does not fit its metadata, N and {shape}"
                )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]

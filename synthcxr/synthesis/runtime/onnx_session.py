"""Open an ONNX model file in onnxruntime: check it, and run it on the requested device or raise an error."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import io
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from synthcxr.config.schema import Device
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import Kind, ModelMetadata
from synthcxr.storage import guarded_files, onnx_files
from synthcxr.storage.cores import count_usable_cores
from synthcxr.synthesis.runtime import cpu_fusion, fp16

Float32 = NDArray[np.float32]
Precision = Literal["fp32", "fp16"]

VERSION: str = ort.__version__
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Convolution algorithms chosen by timing differ between runs, and TF32 rounds: both would change the image bytes.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}
_NATIVE_ERRORS: tuple[type[Exception], ...] = (
    *(error for error in vars(native).values() if isinstance(error, type) and issubclass(error, Exception)),
    *(RuntimeError, ValueError, MemoryError),
)
_ADVICE = "export or pull the model again"
_OUTPUTS = {
    "generator": ("image",),
    "classifier": ("logits", "features"),
    "judge": ("logits", "features"),
    "proposal": ("logits",),
}

# onnxruntime logs to stderr, for example when a GPU library is missing; errors also arrive as exceptions.
ort.set_default_logger_severity(4)


@dataclasses.dataclass(frozen=True)
class Session:
    """An open model file. `provider` is the execution provider that onnxruntime actually uses.

    `precision` is that of the computation: fp16 for a generator on a GPU, unless `open` was given another.
    """

    metadata: ModelMetadata
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
        """Open a model file; ArtifactError if it does not match its metadata, or if `device` "cuda" is unavailable.

        `threads` None uses one thread per usable core. The bytes of an image may depend on the number of threads.
        """
        metadata = onnx_metadata.read(path, kind=kind)
        model = _ModelFile(path, metadata, precision)
        with guarded_files.report_failure(path, "a model for onnxruntime", error=ArtifactError, advice=_ADVICE):
            inference, precision = _start_inference(model, device, threads or count_usable_cores())
        _check_inputs_and_outputs(path, metadata, inference)
        return cls(metadata, inference.get_providers()[0], precision, inference)

    @property
    def digest(self) -> str:
        """Hex sha256 of graph and initialisers."""
        return self.metadata.digest

    @property
    def threads(self) -> int:
        """The number of threads that share one operator."""
        return int(self._inference.get_session_options().intra_op_num_threads)

    @property
    def runtime_settings(self) -> dict[str, str]:
        """What the bits of the outputs depend on besides the file and the number of threads."""
        return {"provider": self.provider, "precision": self.precision, "onnxruntime": VERSION}

    def run(self, array: Float32, condition: Float32 | None = None) -> dict[str, Float32]:
        """Every output by name, for latents [N, Z] (generator, proposal) or images [N, 1, R, R] (classifier, judge).

        A conditional generator also needs a `condition` [N, C]. Uses I/O binding, so each input and output is copied to
        or from a GPU once. Callers keep N constant.
        """
        names, binding = _OUTPUTS[self.metadata.kind], self._inference.io_binding()
        inputs = [array] if condition is None else [array, condition]
        if len(inputs) != len(_input_shapes(self.metadata)):
            raise ArtifactError(f"the {self.metadata.kind} takes {', '.join(_input_shapes(self.metadata))} as inputs")
        try:
            for name, values in zip(_input_shapes(self.metadata), inputs, strict=True):
                binding.bind_cpu_input(name, np.ascontiguousarray(values))
            for name in names:
                binding.bind_output(name, "cuda" if self.provider == CUDA else "cpu")
            self._inference.run_with_iobinding(binding)
            values = binding.copy_outputs_to_cpu()
        except _NATIVE_ERRORS as error:
            raise ArtifactError(f"the {self.metadata.kind} failed on {self.provider}: {_first_line(error)}") from error
        outputs = dict(zip(names, values, strict=True))
        self._check_outputs(outputs, len(array))
        return outputs

    def _check_outputs(self, outputs: dict[str, Float32], n: int) -> None:
        """Raise ArtifactError for outputs of other shapes than the graph declares, or that are not finite."""
        for name, values in outputs.items():
            row = _output_shape(self.metadata, name)
            if values.dtype != np.float32 or len(values) != n or values.ndim < 2 or (row and values.shape[1:] != row):
                raise ArtifactError(
                    f"the {self.metadata.kind} returned {name} {list(values.shape)} for {n} inputs; {_ADVICE}"
                )
            if not np.isfinite(values).all():
                raise ArtifactError(f"the {self.metadata.kind} returned values that are not finite ({name}); {_ADVICE}")


@dataclasses.dataclass(frozen=True)
class _ModelFile:
    """A model file and the precision to run it in; None lets the execution provider decide."""

    path: Path
    metadata: ModelMetadata
    precision: Precision | None

    def resolve_precision(self, provider: str) -> Precision:
        """The precision on an execution provider."""
        if self.metadata.kind != "generator":
            return "fp32"
        return self.precision or ("fp16" if provider == CUDA else "fp32")

    def load_for(self, provider: str) -> Path | bytes:
        """The file itself, or for a generator its graph in fp16 (agrees to 1e-2) or fused for a CPU (to 1e-4)."""
        if self.resolve_precision(provider) == "fp16":
            return bytes(fp16.convert_to_fp16(onnx_files.read_model(self.path)).SerializeToString())
        if self.metadata.kind != "generator" or provider == CUDA:
            return self.path
        fused, n_fused = cpu_fusion.fuse_for_cpu(onnx_files.read_model(self.path))
        return bytes(fused.SerializeToString()) if n_fused else self.path


def _start_inference(model: _ModelFile, device: Device, threads: int) -> tuple[ort.InferenceSession, Precision]:
    if device != "cpu":
        inference = _start_on_cuda(model, threads)
        if inference is not None:
            return inference, model.resolve_precision(CUDA)
    if device == "cuda":
        raise ArtifactError(
            "--device cuda: onnxruntime cannot use the GPU (it needs the NVIDIA driver, CUDA, cuDNN 9 and the"
            " onnxruntime-gpu package); install what is missing, or use --device auto or cpu"
        )
    inference = ort.InferenceSession(model.load_for(CPU), _build_options(threads), providers=[CPU], enable_fallback=0)
    return inference, model.resolve_precision(CPU)


def _build_options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take a third of all CPU time (measured) from the threads that encode images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _start_on_cuda(model: _ModelFile, threads: int) -> ort.InferenceSession | None:
    """A session that has run one sample on the GPU, or None if a requirement is missing."""
    if CUDA not in ort.get_available_providers() or not _has_driver():
        return None
    if hasattr(ort, "preload_dlls"):  # since 1.21: finds CUDA and cuDNN where pip installed them
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    try:
        inference = ort.InferenceSession(
            model.load_for(CUDA),
            _build_options(threads),
            providers=[(CUDA, _CUDA_OPTIONS), (CPU, {})],
            enable_fallback=0,
        )
        if inference.get_providers()[0] != CUDA:
            return None
        inputs = _input_shapes(model.metadata).items()
        inference.run(None, {name: np.zeros((1, *shape), np.float32) for name, shape in inputs})
    except _NATIVE_ERRORS:
        return None
    return inference


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _input_shapes(metadata: ModelMetadata) -> dict[str, tuple[int, ...]]:
    """The shape of one row of each input, by the metadata."""
    if metadata.kind not in ("generator", "proposal"):
        return {"image": (1, metadata.resolution, metadata.resolution)}
    shapes: dict[str, tuple[int, ...]] = {"z": (metadata.latent,)}
    return shapes | ({"condition": (len(metadata.condition),)} if metadata.condition else {})


def _output_shape(metadata: ModelMetadata, name: str) -> tuple[int, ...]:
    """The shape of one row of an output, by the metadata; () for features, which may have any length."""
    if name == "image":
        return (1, metadata.resolution, metadata.resolution)
    return (len(FINDINGS),) if name == "logits" else ()


def _check_inputs_and_outputs(path: Path, metadata: ModelMetadata, inference: ort.InferenceSession) -> None:
    """Raise ArtifactError unless names and shapes match the metadata; an empty expected shape matches any."""
    inputs = {entry.name: entry.shape for entry in inference.get_inputs()}
    outputs = {entry.name: entry.shape for entry in inference.get_outputs()}
    expected_inputs = {name: list(shape) for name, shape in _input_shapes(metadata).items()}
    expected_outputs = {name: list(_output_shape(metadata, name)) for name in _OUTPUTS[metadata.kind]}
    if metadata.kind in ("classifier", "judge"):
        missing = [finding for finding in FINDINGS if finding not in metadata.thresholds]
        if missing:
            raise ArtifactError(
                f"{path}: its metadata has no threshold for {', '.join(missing)}; run `synthcxr export` again"
            )
    if len(inputs) != len(expected_inputs):
        raise ArtifactError(
            f"{path}: by its metadata it takes {', '.join(expected_inputs)} as inputs, but it has {', '.join(inputs)}"
        )
    for role, shapes, expected in (("input", inputs, expected_inputs), ("output", outputs, expected_outputs)):
        for name, shape in expected.items():
            if name not in shapes:
                raise ArtifactError(f"{path}: has no {role} {name!r}; it has {', '.join(shapes)}")
            sizes = zip(shapes[name][1:], shape, strict=False)
            has_other_rank = len(shapes[name]) < 2 or (shape and len(shapes[name]) != len(shape) + 1)
            if has_other_rank or any(isinstance(size, int) and size != expected_size for size, expected_size in sizes):
                raise ArtifactError(
                    f"{path}: its {role} {name!r} {shapes[name]} does not match its metadata, N and {shape}"
                )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]

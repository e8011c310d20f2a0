"""What another process needs to open the same model: the bytes of its file, and the execution provider."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8
from synthcxr.errors import ArtifactError
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.storage import clean_up
from synthcxr.synthesis.runtime.onnx_session import CUDA, Session


@dataclasses.dataclass(frozen=True)
class SessionSpec:
    """A classifier or judge for another process, with one thread, on the execution provider `device_type`."""

    content: bytes
    kind: Kind
    device_type: str

    @classmethod
    def from_session(cls, path: Path, session: Session) -> SessionSpec:
        """The specification of a session that was opened from the file `path`."""
        return cls(path.read_bytes(), session.metadata.kind, session.provider)

    def __call__(self) -> Callable[[UInt8], Iterator[dict[str, Float32]]]:
        """Open the model and return a function from images uint8 [n, R, R] to its outputs.

        Raises ArtifactError if this process cannot use the same execution provider.
        """
        with clean_up.temporary_folder("synthcxr-worker-") as folder:
            path = folder / f"{self.kind}.onnx"
            path.write_bytes(self.content)
            session = Session.open(
                path, kind=self.kind, device="cuda" if self.device_type == CUDA else "cpu", threads=1
            )
        if session.provider != self.device_type:
            raise ArtifactError(
                f"--engine ray: a worker runs on {session.provider}, this process on {self.device_type}; use machines"
                " of one kind, or set evaluate.device to cpu"
            )

        def run(pixels: UInt8) -> Iterator[dict[str, Float32]]:
            yield session.run(images.to_float(pixels))

        return run

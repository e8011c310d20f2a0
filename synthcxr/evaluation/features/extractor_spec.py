"""Opens an extractor in another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from synthcxr.config.schema import Device
from synthcxr.data.images import UInt8
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features.engine import Outputs, Worker
from synthcxr.evaluation.features.extractors import Provenance, find_unavailable, open_extractor


@dataclasses.dataclass(frozen=True)
class ExtractorSpec:
    """All that another process needs to run an extractor that is no model of the project. Call it to make the worker.

    The worker raises ArtifactError where its machine has other weights than `provenance` names, or another device.
    """

    provenance: Provenance
    device: Device
    device_type: str

    def __call__(self) -> Worker:
        """Open the extractor."""
        name = self.provenance.extractor
        if missing := find_unavailable((name,)):
            raise ArtifactError(f"--engine ray: a worker cannot run {name}: {missing[name]}")
        extractor = open_extractor(name, self.device)
        if (extractor.provenance, extractor.device) != (self.provenance, self.device_type):
            raise ArtifactError(
                f"--engine ray: a worker has other weights of {name}, or runs it on {extractor.device} instead of"
                f" {self.device_type}; install the same packages on machines of one kind, or set evaluate.device to cpu"
            )

        def run(pixels: UInt8) -> Iterator[Outputs]:
            yield extractor.run(pixels)

        return run

"""How candidates are chosen: all as they were drawn, led by a proposal's guess, or searched for by gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, SEPARATOR
from synthcxr.data.records import Record
from synthcxr.model_files import predictions
from synthcxr.storage import digests
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.runtime.onnx_session import Device, Session
from synthcxr.synthesis.sampling.guided import Guided
from synthcxr.synthesis.sampling.importance_guide import FILE, Proposal
from synthcxr.synthesis.sampling.latent_optimisation import Differentiate, Search
from synthcxr.synthesis.sampling.rejection import CLASSIFIER, GENERATOR, Drawn, Sampler

Method = Literal["reject", "guided", "optimise"]
Asked = Literal["auto", "reject", "guided", "optimise"]
Float64 = NDArray[np.float64]
JUDGE = "judge.onnx"
Gradient = Callable[[Path, Path, int], Differentiate]
"""From generator.onnx, classifier.onnx and a number of threads to the logits' gradient."""


class Draw(Protocol):
    """The accepted among candidates start .. stop - 1, block by block, in candidate order."""

    def __call__(self, *, seed: int, start: int, stop: int) -> Iterator[Drawn]: ...


@dataclasses.dataclass(frozen=True)
class Chooser:
    """A model's sampler with a method; `differentiate` is there for a search alone, the proposal for what it guides."""

    sampler: Sampler
    method: Method
    differentiate: Differentiate | None = None
    judge: Session | None = None
    proposal: Proposal | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        method: Asked,
        batch: int,
        device: Device = "auto",
        threads: int | None = None,
        gradient: Gradient | None = None,
        with_judge: bool = False,
    ) -> Chooser:
        """Open what the method needs of a model folder. Only a search calls for the `gradient`."""
        sampler = Sampler.open(folder, batch=batch, device=device, threads=threads)
        judge = Session.open(folder / JUDGE, kind="judge", device=device, threads=threads) if with_judge else None
        if method == "optimise" and gradient is not None:
            led = gradient(folder / GENERATOR, folder / CLASSIFIER, sampler.generator.threads)
            return cls(sampler, "optimise", led, judge)
        if method == "guided" or (method == "auto" and (folder / FILE).is_file()):
            proposal = Proposal.open(folder / FILE, sampler, device=device, threads=threads)
            return cls(sampler, "guided", judge=judge, proposal=proposal)
        return cls(sampler, "reject", judge=judge)

    def digests(self) -> dict[str, str]:
        """What tells the models apart, and how their logits are read."""
        generator, classifier, judge = self.sampler.generator, self.sampler.classifier, self.judge
        held = {"generator": generator.digest, "classifier": classifier.digest, "labelling": _reading(classifier)}
        if self.proposal is not None:
            held |= {"proposal": self.proposal.session.digest}
        return held if judge is None else held | {"judge": judge.digest, "judging": _reading(judge)}

    def records(
        self, drawn: Drawn, *, seed: int, requested: tuple[str, ...], train_distances: Float64 | None = None
    ) -> list[Record]:
        """What the manifest says of each image; the probabilities in it are calibrated. No file is named yet."""
        written = predictions.calibrated(drawn.probabilities, self.sampler.classifier.contract.calibration)
        return [
            Record(
                file_name="",
                index=int(index),
                seed=seed,
                requested=SEPARATOR.join(requested),
                findings=self.sampler.findings(drawn.probabilities[row]),
                probabilities=_rounded(written[row]),
                weight=float(f"{drawn.weights[row]:.6g}"),
                sha256="",
                train_distance=None if train_distances is None else float(train_distances[row]),
                steps=None if drawn.steps is None else int(drawn.steps[row]),
                judged=() if drawn.judged is None else _rounded(drawn.judged[row]),
            )
            for row, index in enumerate(drawn.indices)
        ]

    def judged(self, drawn: Drawn) -> Drawn:
        """With the judge's probabilities, calibrated; one image at a time, so that none depends on another."""
        if self.judge is None:
            return drawn
        logits = [self.judge.run(images.to_float(image[np.newaxis]))["logits"] for image in drawn.pixels]
        held = np.concatenate(logits) if logits else np.empty((0, len(FINDINGS)))
        made = predictions.calibrated(predictions.probabilities(held), self.judge.contract.calibration)
        return dataclasses.replace(drawn, judged=made)

    def draw(self, wanted: Wanted) -> Draw:
        """What draws images that show what is wanted."""
        if self.proposal is not None:
            return Guided(self.sampler, self.proposal.guide(wanted, self.sampler))
        if self.differentiate is not None:
            return Search(self.sampler, self.differentiate, wanted).draw

        def draw(*, seed: int, start: int, stop: int) -> Iterator[Drawn]:
            return self.sampler.draw(seed=seed, wanted=wanted, start=start, stop=stop)

        return draw


def _reading(model: Session) -> str:
    """A fingerprint of thresholds and calibration."""
    thresholds, calibration = model.contract.thresholds, model.contract.calibration
    return digests.fingerprint([thresholds, calibration] if calibration else thresholds)


def _rounded(probabilities: Float64) -> tuple[float, ...]:
    return tuple(round(float(p), 6) for p in probabilities)

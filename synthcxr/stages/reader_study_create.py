"""Make a reader study from films and a dataset. A person runs it, DVC does not."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data import image_reader, images
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.findings import FINDINGS, to_finding_names
from synthcxr.data.images import UInt8
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, read_image_records, read_run
from synthcxr.errors import DataError
from synthcxr.evaluation.memorisation import pixel_index
from synthcxr.model_files import predictions
from synthcxr.reader_study import answer_key as keys
from synthcxr.reader_study import build, public_files, teaching
from synthcxr.reader_study.answer_key import Truth
from synthcxr.reader_study.design import Candidate, Design
from synthcxr.reader_study.power import Power
from synthcxr.reader_study.power import plan as plan_power
from synthcxr.storage import atomic, digests
from synthcxr.storage.overwrite_guard import refuse_foreign_files
from synthcxr.synthesis.runtime.onnx_session import Session

TEST = ("test",)
_BATCH = 64
Opinion = tuple[Mapping[str, float], tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Made:
    """A study that was made: where, how much is in it, and its readers' codes."""

    out: Path
    n_screens: int
    n_real: int
    n_synthetic: int
    codes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The same in words."""
        return (
            f"{self.out}: {self.n_real} real films, {self.n_synthetic} synthetic images; {self.n_screens} screens each",
            *self.notes,
            *(f"code of reader {at}: {code}" for at, code in enumerate(self.codes, start=1)),
            f"keep {self.out / keys.FOLDER} from the readers: it says which image is which",
        )


def power(accuracy: float, *, n: int, readers: int) -> Power:
    """How many readings detect an accuracy, and what a plan of `n` images and `readers` detects."""
    return plan_power(accuracy, n=n, readers=readers)


def create(
    design: Design, *, real: Path | None, synthetic: Path, models: Path | None, title: str, seed: int | None, out: Path
) -> Made:
    """Make a study in the new or empty folder `out`.

    Without films it holds synthetic images alone and only teaches. `models` is the folder whose classifier labelled
    the dataset; it labels the films too. ConfigError for a design that cannot be balanced, DataError for films or
    images that are too few, of another size or damaged.
    """
    design.check()
    refuse_foreign_files(out, ())
    made = _Synthetic.open(synthetic)
    films = None if real is None else _Films.open(real, made)
    seed = secrets.randbits(63) if seed is None else seed
    candidates = [*made.candidates(), *([] if films is None else films.candidates())]
    cases = build.choose(candidates, design, seed)
    opinions, notes = _label_films(films, made, models, [c for c in cases.images if c.origin == "real"])

    def read(candidate: Candidate) -> UInt8:
        return made.pixels(candidate.name) if candidate.origin == "synthetic" else _of(films).pixels(candidate.name)

    def truth(candidate: Candidate) -> Truth:
        if candidate.origin == "synthetic":
            probabilities, present = made.opinion(candidate.name)
        else:
            probabilities, present = opinions.get(candidate.name, ({}, ()))
        same = f"{candidate.origin}:{candidate.name}"
        return Truth(candidate.origin, same, candidate.cluster, candidate.findings, probabilities, present)

    about = {
        "synthetic": made.about,
        "real": None if films is None else {"fingerprint": films.data.fingerprint, "phantom": films.data.phantom},
        "films_labelled": bool(opinions),
        "design": dataclasses.asdict(design),
    }
    with atomic.open_folder(out) as partial:
        codes = build.write(partial, cases, design, seed=seed, title=title, read=read, truth=truth, about=about)
        made.write_lessons(partial / keys.FOLDER)
        n_screens = len(public_files.read(partial).readers[0].cases)
    n_real = sum(candidate.origin == "real" for candidate in cases.images)
    return Made(out, n_screens, n_real, len(cases.images) - n_real, codes, notes)


def _of(films: _Films | None) -> _Films:
    if films is None:
        raise DataError("no films were given; give --films")
    return films


@dataclasses.dataclass(frozen=True)
class _Synthetic:
    """A finished synthetic dataset by file name."""

    path: Path
    held: Mapping[str, ImageRecord]
    resolution: int
    about: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> _Synthetic:
        held = {record.file_name: record for record in read_image_records(path)}
        run = read_run(path)
        try:
            model = run["model"]
            about = {"model": model["name"], "digests": dict(model["digests"]), "phantom": bool(model["phantom"])}
            about["metadata"] = digests.sha256_file(path / METADATA_FILE)
            return cls(path, held, int(model["resolution"]), about)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path / RUN_FILE}: not the run.json of a dataset; generate it again") from error

    def candidates(self) -> list[Candidate]:
        return [Candidate("synthetic", name, name, record.findings) for name, record in self.held.items()]

    def pixels(self, name: str) -> UInt8:
        """The image of this file name; DataError where it is absent or not what was made."""
        (data,) = image_reader.read_verified(self.path, [self.held[name]])
        if data is None:
            raise DataError(f"{self.path}: {name} is absent or not the file that was made; generate it again")
        return image_reader.decode_pixels(data)

    def opinion(self, name: str) -> Opinion:
        """What the classifier said of it when it was made."""
        record = self.held[name]
        return dict(zip(FINDINGS, record.probabilities, strict=True)), record.findings

    def write_lessons(self, key: Path) -> None:
        """What teaching shows of the synthetic images of a study."""
        dataset = {name: self._image(name) for name in self.held}
        held = keys.read(key)
        places = (place for order in held.readers.values() for place in order if place.role != "repeat")
        truths = {name: held.truths[name] for place in places for name in place.images}
        taught = {name: dataset[t.same.partition(":")[2]] for name, t in truths.items() if t.origin == "synthetic"}
        teaching.write(key, taught, list(dataset.values()), self.pixels)

    def _image(self, name: str) -> teaching.Image:
        probabilities, present = self.opinion(name)
        point = pixel_index.smooth_and_reduce(self.pixels(name)[None]).ravel()
        point = point - point.mean()
        return teaching.Image(name, present, probabilities, point / max(float(np.linalg.norm(point)), 1e-6))


@dataclasses.dataclass(frozen=True)
class _Films:
    """The test films of a packed dataset by name, at the side of the synthetic images."""

    data: FilmDataset
    side: int
    at: Mapping[str, int]

    @classmethod
    def open(cls, path: Path, made: _Synthetic) -> _Films:
        data = open_film_dataset(path)
        if data.resolution < made.resolution:
            raise DataError(
                f"{path}: holds films up to {data.resolution} px, the images of {made.path} have {made.resolution} px;"
                " prepare the films at that resolution, they are never enlarged"
            )
        indices = data.indices(made.resolution, TEST)
        names = data.manifest["image_index"].to_numpy()[data.rows(made.resolution)[indices]]
        return cls(data, made.resolution, dict(zip(map(str, names), map(int, indices), strict=True)))

    def candidates(self) -> list[Candidate]:
        rows = self.data.rows(self.side)[list(self.at.values())]
        patients, findings = self.data.patients(rows), self.data.findings(rows)
        return [
            Candidate("real", name, str(patient), to_finding_names(map(float, held)))
            for name, patient, held in zip(self.at, patients, findings, strict=True)
        ]

    def pixels(self, name: str) -> UInt8:
        """The film of this name, uint8 [side, side]."""
        return np.asarray(self.data.memmap(self.side)[self.at[name]])


def _label_films(
    films: _Films | None, made: _Synthetic, models: Path | None, shown: Sequence[Candidate]
) -> tuple[dict[str, Opinion], tuple[str, ...]]:
    """What the classifier that labelled the dataset says of the films; nothing, and why, where it is not at hand."""
    if films is None:
        return {}, ("holds synthetic images alone: it can teach, and tests nobody",)
    if models is None or not (models / "classifier.onnx").is_file():
        return {}, ("films are not labelled by the classifier: no model was found, give --model",)
    session = Session.open(models / "classifier.onnx", kind="classifier")
    if session.digest != made.about["digests"].get("classifier"):
        return {}, ("films are not labelled by the classifier: another one labelled the dataset, give --model",)
    opinions: dict[str, Opinion] = {}
    for start in range(0, len(shown), _BATCH):
        names = [candidate.name for candidate in shown[start : start + _BATCH]]
        logits = session.run(images.to_float(np.stack([films.pixels(name) for name in names])))["logits"]
        probabilities = predictions.to_probabilities(logits)
        present = predictions.is_present(probabilities, session.metadata.thresholds)
        for name, row, calls in zip(names, probabilities, present, strict=True):
            opinions[name] = dict(zip(FINDINGS, map(float, row), strict=True)), to_finding_names(calls.astype(float))
    return opinions, ()

"""Create a reader study from films and a synthetic dataset. This command is run by a person, not by DVC."""

from __future__ import annotations

import dataclasses
import functools
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
from synthcxr.model_files.model_folder import CLASSIFIER_FILE
from synthcxr.reader_study import build
from synthcxr.reader_study.answer_key import KEY_FOLDER, ImageTruth, read_access_codes, read_answer_key
from synthcxr.reader_study.design import Design, StudyImage
from synthcxr.reader_study.public_files import read_served_study
from synthcxr.reader_study.teaching import LessonImage, write_lessons
from synthcxr.storage import atomic, digests, output_lock
from synthcxr.storage.overwrite_guard import refuse_foreign_files
from synthcxr.storage.progress import track
from synthcxr.synthesis.runtime.onnx_session import Session

TEST_SPLITS = ("test",)
_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class CreatedStudy:
    """The folder of a new study, its size, and the access codes of its readers. Field names are JSON keys."""

    out: Path
    n_screens: int
    n_real: int
    n_synthetic: int
    codes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The summary that the command prints."""
        return (
            f"{self.out}: {self.n_real} real films, {self.n_synthetic} synthetic images; {self.n_screens} screens per"
            " reader",
            *self.notes,
            *(f"access code of reader {number}: {code}" for number, code in enumerate(self.codes, start=1)),
            f"keep {self.out / KEY_FOLDER} away from the readers: it says which images are synthetic",
        )


@dataclasses.dataclass(frozen=True)
class _ClassifierLabel:
    """The classifier's probabilities of an image, and the findings at or above their thresholds."""

    probabilities: Mapping[str, float]
    present: tuple[str, ...]


_NO_LABEL = _ClassifierLabel({}, ())


@output_lock.replaces_folder(functools.partial(refuse_foreign_files, own_names=()))
def run(
    design: Design,
    *,
    films: Path | None,
    dataset: Path,
    models: Path | None,
    title: str,
    seed: int | None,
    out: Path,
) -> CreatedStudy:
    """Create a study in the new or empty folder `out`.

    Without films, the study contains only synthetic images and can only teach. `models` is the folder with the
    classifier that labelled the dataset; it labels the films too.

    Raises ConfigError for a design that cannot be balanced. Raises DataError if films or images are too few,
    damaged or of another size.
    """
    design.check()
    synthetic = _SyntheticImages.open(dataset)
    real = None if films is None else _TestFilms.open(films, synthetic)
    about: dict[str, Any] = {
        "synthetic": synthetic.about,
        "real": None if real is None else {"fingerprint": real.films.fingerprint, "phantom": real.films.phantom},
        "design": dataclasses.asdict(design),
    }
    request = digests.fingerprint([about, title, seed, str(models)])
    if atomic.finish_rename(out) == request:
        return _read_created_study(out)
    seed = secrets.randbits(63) if seed is None else seed
    candidates = [*synthetic.list_images(), *([] if real is None else real.list_images())]
    cases = build.choose_cases(candidates, design, seed)
    film_names = [image.name for image in cases.images if image.origin == "real"]
    film_labels, notes = _label_films(real, film_names, synthetic, models)

    def read_pixels(image: StudyImage) -> UInt8:
        if image.origin == "synthetic":
            return synthetic.read_pixels(image.name)
        if real is None:
            raise DataError("the study contains real films; give --films")
        return real.read_pixels(image.name)

    def get_truth(image: StudyImage) -> ImageTruth:
        is_synthetic = image.origin == "synthetic"
        label = synthetic.get_label(image.name) if is_synthetic else film_labels.get(image.name, _NO_LABEL)
        return ImageTruth(
            origin=image.origin,
            image_id=f"{image.origin}:{image.name}",
            cluster=image.cluster,
            findings=image.findings,
            probabilities=label.probabilities,
            present=label.present,
        )

    about |= {"films_labelled": bool(film_labels)}
    with atomic.open_folder(out, request=request) as partial:
        codes = build.write_study(
            partial, cases, design, seed=seed, title=title, read_pixels=read_pixels, get_truth=get_truth, about=about
        )
        synthetic.write_lessons(partial / KEY_FOLDER)
        n_screens = len(read_served_study(partial).readers[0].cases)
    n_real = len(film_names)
    return CreatedStudy(out, n_screens, n_real, len(cases.images) - n_real, codes, notes)


def _read_created_study(out: Path) -> CreatedStudy:
    """Describe a study that an earlier run has written and this one has only moved to `out`."""
    images = {truth.image_id: truth.origin for truth in read_answer_key(out / KEY_FOLDER).truths.values()}
    n_real = sum(origin == "real" for origin in images.values())
    n_screens = len(read_served_study(out).readers[0].cases)
    codes = read_access_codes(out / KEY_FOLDER)
    return CreatedStudy(out, n_screens, n_real, len(images) - n_real, codes, ("created by an earlier run",))


@dataclasses.dataclass(frozen=True)
class _SyntheticImages:
    """A finished synthetic dataset, with its records by file name."""

    path: Path
    records: Mapping[str, ImageRecord]
    resolution: int
    about: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> _SyntheticImages:
        records = {record.file_name: record for record in read_image_records(path)}
        run_fields = read_run(path)
        try:
            model = run_fields["model"]
            about = {
                "model": model["name"],
                "digests": dict(model["digests"]),
                "phantom": bool(model["phantom"]),
                "metadata": digests.sha256_file(path / METADATA_FILE),
            }
            return cls(path, records, int(model["resolution"]), about)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path / RUN_FILE}: is not the run.json of a dataset; generate it again") from error

    def list_images(self) -> list[StudyImage]:
        return [StudyImage("synthetic", name, name, record.findings) for name, record in self.records.items()]

    def read_pixels(self, name: str) -> UInt8:
        """The image with this file name; DataError if it is missing or was changed."""
        (data,) = image_reader.read_verified(self.path, [self.records[name]])
        if data is None:
            raise DataError(f"{self.path}: {name} is missing or was changed; generate the dataset again")
        return image_reader.decode_pixels(data, name=f"{self.path}: {name}")

    def get_label(self, name: str) -> _ClassifierLabel:
        """The label that the image got when it was generated."""
        record = self.records[name]
        return _ClassifierLabel(dict(zip(FINDINGS, record.probabilities, strict=True)), record.findings)

    def write_lessons(self, key_folder: Path) -> None:
        """Write the lessons for the synthetic images of a study, except repeats."""
        names = track(list(self.records), "lessons", unit="images")
        dataset = {name: self._to_lesson_image(name) for name in names}
        key = read_answer_key(key_folder)
        screens = (screen for screens in key.readers.values() for screen in screens if screen.role != "repeat")
        truths = {file_name: key.truths[file_name] for screen in screens for file_name in screen.images}
        taught = {
            file_name: dataset[truth.image_id.partition(":")[2]]
            for file_name, truth in truths.items()
            if truth.origin == "synthetic"
        }
        write_lessons(key_folder, taught, list(dataset.values()), self.read_pixels)

    def _to_lesson_image(self, name: str) -> LessonImage:
        label = self.get_label(name)
        embedding = pixel_index.smooth_and_reduce(self.read_pixels(name)[None]).ravel()
        embedding = embedding - embedding.mean()
        norm = max(float(np.linalg.norm(embedding)), 1e-6)
        return LessonImage(name, label.present, label.probabilities, embedding / norm)


@dataclasses.dataclass(frozen=True)
class _TestFilms:
    """The test films of a packed dataset, at the resolution of the synthetic images, with their index by name."""

    films: FilmDataset
    side: int
    index_of_name: Mapping[str, int]

    @classmethod
    def open(cls, path: Path, synthetic: _SyntheticImages) -> _TestFilms:
        films = open_film_dataset(path)
        side = synthetic.resolution
        if films.resolution < side:
            raise DataError(
                f"{path}: films have at most {films.resolution} px, but the images of {synthetic.path} have {side} px;"
                f" films are never enlarged, prepare them at {side} px"
            )
        indices = films.indices(side, TEST_SPLITS)
        names = films.manifest["image_index"].to_numpy()[films.rows(side)[indices]]
        return cls(films, side, dict(zip(map(str, names), map(int, indices), strict=True)))

    def list_images(self) -> list[StudyImage]:
        rows = self.films.rows(self.side)[list(self.index_of_name.values())]
        patients, labels = self.films.patients(rows), self.films.findings(rows)
        return [
            StudyImage("real", name, str(patient), to_finding_names(map(float, label)))
            for name, patient, label in zip(self.index_of_name, patients, labels, strict=True)
        ]

    def read_pixels(self, name: str) -> UInt8:
        """The film with this name, uint8 [side, side]."""
        return np.asarray(self.films.memmap(self.side)[self.index_of_name[name]])


def _label_films(
    films: _TestFilms | None, film_names: Sequence[str], synthetic: _SyntheticImages, models: Path | None
) -> tuple[dict[str, _ClassifierLabel], tuple[str, ...]]:
    """Label films with the classifier that labelled the dataset; without it, no labels and a note that says why."""
    if films is None:
        return {}, ("contains only synthetic images: the study can teach, but not test readers",)
    if models is None or not (models / CLASSIFIER_FILE).is_file():
        return {}, ("the classifier did not label the films: no model was found; give --model",)
    session = Session.open(models / CLASSIFIER_FILE, kind="classifier")
    if session.digest != synthetic.about["digests"].get("classifier"):
        return {}, ("the classifier did not label the films: another one labelled the dataset; give its --model",)
    labels: dict[str, _ClassifierLabel] = {}
    for start in track(range(0, len(film_names), _BATCH_SIZE), "labels of films", unit="batches"):
        names = film_names[start : start + _BATCH_SIZE]
        logits = session.run(images.to_float(np.stack([films.read_pixels(name) for name in names])))["logits"]
        probabilities = predictions.to_probabilities(logits)
        is_present = predictions.is_present(probabilities, session.metadata.thresholds)
        for name, film_probabilities, film_present in zip(names, probabilities, is_present, strict=True):
            labels[name] = _ClassifierLabel(
                dict(zip(FINDINGS, map(float, film_probabilities), strict=True)),
                to_finding_names(film_present.astype(float)),
            )
    return labels, ()

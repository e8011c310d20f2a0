"""A study's folder: no property of a file tells where its image is from, and the key lies apart."""

from __future__ import annotations

import json
import stat
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict
from support.small_study import DESIGN, Inputs, codes, make, write_films
from support.stub_models import SIDE, write_stub_models

from synthcxr.cli.main import main
from synthcxr.data import images
from synthcxr.errors import ConfigError, DataError
from synthcxr.reader_study import access_codes as coded
from synthcxr.reader_study import answer_key, constant_size_png, public_files
from synthcxr.reader_study import design as plan
from synthcxr.stages import reader_study_create
from synthcxr.storage import json_files


@pytest.fixture(scope="module")
def study(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 20 images, 4 repeats and 4 pairs, for 2 readers."""
    out = tmp_path_factory.mktemp("made") / "study"
    make(inputs, out)
    return out


def chunks(png: bytes) -> list[tuple[bytes, int]]:
    """The kind and length of each chunk."""
    at, found = 8, []
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        found.append((kind, length))
        at += 12 + length
    return found


@pytest.mark.parametrize("side", [1, 8, 64, 257, 300])
def test_a_png_is_what_it_shows_and_no_more(side: int) -> None:
    """Any pixels come back; length and chunks depend on the size alone, from a black square to noise."""
    rng = np.random.default_rng(side)
    shown = [np.zeros((side, side), np.uint8), rng.integers(0, 256, (side, side), dtype=np.uint8)]
    files = [constant_size_png.encode(pixels) for pixels in shown]
    for pixels, data in zip(shown, files, strict=True):
        assert np.array_equal(images.decode_png(data), pixels)
    assert len({len(data) for data in files}) == 1
    assert chunks(files[0]) == chunks(files[1])
    assert [kind for kind, _ in chunks(files[0])] == [b"IHDR", b"IDAT", b"IEND"]


def test_no_file_tells_its_origin(inputs: Inputs, tmp_path: Path) -> None:
    """Every file has the same length, chunks, header, mode and time; a forest on those, on the name and on the places
    in the folder and in the order, cross-validated, is right about as often as a coin."""
    make(inputs, tmp_path / "study", plan.Design(n=80, readers=3, repeats=0, practice=0, pairs=0, findings=()))
    truths = answer_key.read(tmp_path / "study" / "key").truths
    folder = tmp_path / "study" / "served" / "images"
    files = sorted(folder.iterdir())
    assert {path.name for path in files} == set(truths)
    data = [path.read_bytes() for path in files]
    assert len({(len(d), d[:33], tuple(chunks(d)), p.stat().st_mode) for d, p in zip(data, files, strict=True)}) == 1
    assert len({path.stat().st_mtime_ns for path in files}) == 1
    readers = public_files.read(tmp_path / "study").readers
    places = [{case.images[0]: at for at, case in enumerate(reader.cases)} for reader in readers]
    listed = [path.name for path in folder.iterdir()]
    by_inode = [path.name for path in sorted(files, key=lambda path: path.stat().st_ino)]
    known = np.array([
        [
            *(len(d), len(chunks(d)), p.stat().st_mtime_ns, *bytes.fromhex(p.stem)),
            *(place[p.name] for place in places),
            *(listed.index(p.name), by_inode.index(p.name)),
        ]
        for p, d in zip(files, data, strict=True)
    ])  # fmt: skip
    real = np.array([truths[path.name].origin == "real" for path in files])
    forest = RandomForestClassifier(300, random_state=0)
    right = (cross_val_predict(forest, known, real, cv=5) == real).sum()
    assert 26 <= right <= 54  # of 80 by a coin, all but 2 in a thousand times


def test_what_is_served_holds_nothing_of_the_key(study: Path) -> None:
    """Neither the served plan nor a file name carries a label, an origin, a film's name, a repeat or a code."""
    text = (study / "served" / "study.json").read_text()
    held = answer_key.read(study / "key")
    for truth in held.truths.values():
        assert truth.same.partition(":")[2] not in text
    for word in ("real", "synthetic", "repeat", "phantom", *codes(study)):
        assert word not in text
    for reader in public_files.read(study).readers:
        files = [name for case in reader.cases for name in case.images]
        assert len(set(files)) == len(files)  # a repeat has a file of its own


def test_the_key_is_for_its_owner_alone(study: Path) -> None:
    """Nobody else on the machine may look into the folder of the key."""
    assert stat.S_IMODE((study / "key").stat().st_mode) == 0o700


def test_the_key_fits_what_is_served(study: Path) -> None:
    """Every screen of every reader is in the key, its images are those of the inputs, and repeats show the same."""
    held, shown = answer_key.read(study / "key"), public_files.read(study)
    assert held.study == shown.study
    for reader in shown.readers:
        places = held.readers[reader.number]
        assert [place.images for place in places] == [case.images for case in reader.cases]
        assert [place.role == "practice" for place in places] == [case.practice for case in reader.cases]
        cases = {held.truths[p.images[0]].same for p in places if p.role == "case"}
        again = [held.truths[p.images[0]].same for p in places if p.role == "repeat"]
        assert len(again) == DESIGN.repeats
        assert set(again) <= cases


def test_pixels_are_those_of_the_inputs(study: Path, inputs: Inputs) -> None:
    """A synthetic image is shown exactly as it was made."""
    for name, truth in answer_key.read(study / "key").truths.items():
        if truth.origin == "synthetic":
            made = inputs.synthetic / truth.same.partition(":")[2]
            shown = images.decode_png((study / "served" / "images" / name).read_bytes())
            assert np.array_equal(shown, images.decode_png(made.read_bytes()))


def test_a_seed_repeats_the_order_but_not_the_names(inputs: Inputs, tmp_path: Path) -> None:
    """With the same seed the same images come in the same order, under other names and codes."""
    first, second = tmp_path / "a", tmp_path / "b"
    make(inputs, first), make(inputs, second)
    keys = [answer_key.read(folder / "key") for folder in (first, second)]
    shown = [[held.truths[p.images[0]].same for p in held.readers[1]] for held in keys]
    assert shown[0] == shown[1]
    assert not set(keys[0].truths) & set(keys[1].truths)
    assert not set(codes(first)) & set(codes(second))


def test_codes_are_not_to_be_guessed() -> None:
    """A code has 79 bits, and is known again in capitals, without dashes, with blanks."""
    made = {coded.make() for _ in range(200)}
    assert len(made) == 200
    code = made.pop()
    assert len(code.replace("-", "")) == 16
    assert coded.digest(code) == coded.digest(f" {code.upper().replace('-', ' ')} ") != coded.digest(code[:-1])


def test_the_films_are_labelled_by_the_classifier_of_the_dataset(tmp_path: Path, inputs: Inputs) -> None:
    """With the models that made the dataset every film carries the classifier's opinion; with others none, and why."""
    from support.small_study import write_synthetic

    films, dataset = write_films(tmp_path / "films", 40, SIDE), write_synthetic(tmp_path / "synthetic", 40, SIDE)
    models = write_stub_models(tmp_path / "models")
    design = plan.Design(n=20, readers=1, repeats=0, practice=2, pairs=0, findings=())
    held = {"real": films, "synthetic": dataset, "models": models, "title": "x", "seed": 0}
    made = reader_study_create.create(design, **held, out=tmp_path / "other")  # type: ignore[arg-type]
    assert any("another one labelled" in note for note in made.notes)
    from synthcxr.model_files import onnx_metadata

    run = json_files.read_json(dataset / "run.json")
    run["model"]["digests"]["classifier"] = onnx_metadata.read(models / "classifier.onnx").digest
    json_files.write_json(dataset / "run.json", run)
    assert not reader_study_create.create(design, **held, out=tmp_path / "same").notes  # type: ignore[arg-type]
    for truth in answer_key.read(tmp_path / "same" / "key").truths.values():
        assert len(truth.classifier) == 14


def test_what_does_not_fit_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    """Films that are too small, an image that was changed, a folder that holds something: one line, nothing written."""
    with pytest.raises(DataError, match="never enlarged"):
        make(Inputs(write_films(tmp_path / "small", 30, 32), inputs.synthetic), tmp_path / "out")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "letter.txt").write_text("mine")
    with pytest.raises(DataError, match=r"letter\.txt"):
        make(inputs, tmp_path / "held")
    with pytest.raises(ConfigError, match="--n"):
        make(inputs, tmp_path / "out", plan.Design(7, 1, 0, 0, 0, ()))
    assert not (tmp_path / "out").exists()


def test_the_command(inputs: Inputs, tmp_path: Path) -> None:
    """`create` prints the codes and where the key is; --power alone makes nothing."""
    arguments = ["--films", inputs.real, "--dataset", inputs.synthetic, "--n", "20", "--out", tmp_path / "study"]
    done = CliRunner().invoke(main, ["reader-study", "create", *map(str, arguments), "--readers", "2", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["codes"] == codes(tmp_path / "study")
    asked = CliRunner().invoke(main, ["reader-study", "create", "--power", "0.6", "--n", "100"])
    assert asked.exit_code == 0
    assert "210 readings of one reader" in asked.stdout


def test_it_teaches_without_films(inputs: Inputs, tmp_path: Path) -> None:
    """Without --films the set holds synthetic images alone, with their lessons."""
    design = plan.Design(n=10, readers=1, repeats=0, practice=0, pairs=0, findings=())
    made = reader_study_create.create(
        design, real=None, synthetic=inputs.synthetic, models=None, title="Lesson", seed=1, out=tmp_path / "lesson"
    )
    assert (made.n_real, made.n_synthetic, made.n_screens) == (0, 10, 10)
    assert "teach" in made.notes[0]

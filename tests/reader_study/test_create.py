"""`create` writes a study in which no property of a file reveals the origin of its image, with a separate key."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict
from support.cli_runner import invoke
from support.png_chunks import list_png_chunks
from support.refused_renames import refuse_renames_to
from support.small_study import DESIGN, StudyInputs, create_study, read_codes, write_dataset, write_films
from support.stub_models import SIDE, write_stub_models

from synthcxr.data import images
from synthcxr.errors import ConfigError, DataError
from synthcxr.model_files import onnx_metadata
from synthcxr.reader_study.answer_key import read_answer_key
from synthcxr.reader_study.design import Design
from synthcxr.reader_study.public_files import read_served_study
from synthcxr.stages import reader_study_create
from synthcxr.storage import json_files


@pytest.fixture(scope="module")
def study(inputs: StudyInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 20 images, 4 repeats and 4 pairs, for 2 readers."""
    out = tmp_path_factory.mktemp("create") / "study"
    create_study(inputs, out)
    return out


def test_no_file_reveals_its_origin(inputs: StudyInputs, tmp_path: Path) -> None:
    """All files have the same length, chunks, header, mode and time.

    A random forest on these, the file name and the positions in the folder and in the order, cross-validated, is about
    as often right as a coin.
    """
    design = Design(n=80, readers=3, repeats=0, practice=0, pairs=0, findings=())
    create_study(inputs, tmp_path / "study", design)
    truths = read_answer_key(tmp_path / "study" / "key").truths
    folder = tmp_path / "study" / "served" / "images"
    files = sorted(folder.iterdir())
    assert {path.name for path in files} == set(truths)
    contents = [path.read_bytes() for path in files]
    properties = {
        (len(data), data[:33], tuple(list_png_chunks(data)), path.stat().st_mode, path.stat().st_mtime_ns)
        for data, path in zip(contents, files, strict=True)
    }
    assert len(properties) == 1
    readers = read_served_study(tmp_path / "study").readers
    positions = [{screen.images[0]: position for position, screen in enumerate(reader.cases)} for reader in readers]
    by_listing = [path.name for path in folder.iterdir()]
    by_inode = [path.name for path in sorted(files, key=lambda path: path.stat().st_ino)]
    features = np.array([
        [
            *(len(data), len(list_png_chunks(data)), path.stat().st_mtime_ns, *bytes.fromhex(path.stem)),
            *(position_of_file[path.name] for position_of_file in positions),
            *(by_listing.index(path.name), by_inode.index(path.name)),
        ]
        for path, data in zip(files, contents, strict=True)
    ])  # fmt: skip
    is_real = np.array([truths[path.name].origin == "real" for path in files])
    forest = RandomForestClassifier(300, random_state=0)
    n_correct = (cross_val_predict(forest, features, is_real, cv=5) == is_real).sum()
    assert 26 <= n_correct <= 54  # of 80; a coin is outside this range twice in a thousand times


def test_served_files_contain_nothing_of_the_key(study: Path) -> None:
    """study.json contains no label, origin, film name, role or code; a repeat has a file of its own."""
    text = (study / "served" / "study.json").read_text()
    for truth in read_answer_key(study / "key").truths.values():
        assert truth.image_id.partition(":")[2] not in text
    for word in ("real", "synthetic", "repeat", "phantom", *read_codes(study)):
        assert word not in text
    for reader in read_served_study(study).readers:
        files = [name for screen in reader.cases for name in screen.images]
        assert len(set(files)) == len(files)


def test_only_the_owner_can_open_the_key(study: Path) -> None:
    """The folder of the key has mode 700."""
    assert stat.S_IMODE((study / "key").stat().st_mode) == 0o700


def test_the_key_matches_the_served_study(study: Path) -> None:
    """The key has every screen of every reader, in order, and repeats show images of the study."""
    key, served_study = read_answer_key(study / "key"), read_served_study(study)
    assert key.study == served_study.study
    for reader in served_study.readers:
        screens = key.readers[reader.number]
        assert [screen.images for screen in screens] == [screen.images for screen in reader.cases]
        assert [screen.role == "practice" for screen in screens] == [screen.practice for screen in reader.cases]
        cases, repeats = (
            [key.truths[screen.images[0]].image_id for screen in screens if screen.role == role]
            for role in ("case", "repeat")
        )
        assert len(repeats) == DESIGN.repeats
        assert set(repeats) <= set(cases)


def test_pixels_equal_those_of_the_dataset(study: Path, inputs: StudyInputs) -> None:
    """A synthetic image is served with the pixels of the dataset."""
    for file_name, truth in read_answer_key(study / "key").truths.items():
        if truth.origin == "synthetic":
            original = inputs.dataset / truth.image_id.partition(":")[2]
            served = images.decode_png((study / "served" / "images" / file_name).read_bytes())
            assert np.array_equal(served, images.decode_png(original.read_bytes()))


def test_a_seed_fixes_the_order_but_not_the_names(inputs: StudyInputs, tmp_path: Path) -> None:
    """With the same seed, the same images are in the same order, with other file names and codes."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        create_study(inputs, folder)
    first, second = (read_answer_key(folder / "key") for folder in folders)
    orders = [[key.truths[screen.images[0]].image_id for screen in key.readers[1]] for key in (first, second)]
    assert orders[0] == orders[1]
    assert not set(first.truths) & set(second.truths)
    assert not set(read_codes(folders[0])) & set(read_codes(folders[1]))


def test_films_are_labelled_by_the_classifier_of_the_dataset(tmp_path: Path) -> None:
    """With the classifier of the dataset every film gets its probabilities; with another, none and a note."""
    films, dataset = write_films(tmp_path / "films", 40, SIDE), write_dataset(tmp_path / "dataset", 40, SIDE)
    models = write_stub_models(tmp_path / "models")
    design = Design(n=20, readers=1, repeats=0, practice=2, pairs=0, findings=())

    def create(out: Path) -> tuple[str, ...]:
        study = reader_study_create.run(design, films=films, dataset=dataset, models=models, title="x", seed=0, out=out)
        return study.notes

    assert any("another one labelled" in note for note in create(tmp_path / "other"))
    run_json = json_files.read_json(dataset / "run.json")
    run_json["model"]["digests"]["classifier"] = onnx_metadata.read(models / "classifier.onnx").digest
    json_files.write_json(dataset / "run.json", run_json)
    assert not create(tmp_path / "same")
    for truth in read_answer_key(tmp_path / "same" / "key").truths.values():
        assert len(truth.probabilities) == 14


def test_unsuitable_inputs_are_refused(inputs: StudyInputs, tmp_path: Path) -> None:
    """Films that are too small, a folder with other files and an odd --n are errors, and nothing is written."""
    with pytest.raises(DataError, match="never enlarged"):
        create_study(StudyInputs(write_films(tmp_path / "small", 30, 32), inputs.dataset), tmp_path / "out")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("mine")
    with pytest.raises(DataError, match=r"letter\.txt"):
        create_study(inputs, tmp_path / "used")
    with pytest.raises(ConfigError, match="--n"):
        create_study(inputs, tmp_path / "out", Design(7, 1, 0, 0, 0, ()))
    assert not (tmp_path / "out").exists()


def test_the_command_prints_the_codes(inputs: StudyInputs, tmp_path: Path) -> None:
    """`create` prints the access codes; with --power it prints a power analysis only."""
    arguments = ["--films", inputs.films, "--dataset", inputs.dataset, "--n", "20", "--out", tmp_path / "study"]
    result = invoke("reader-study", "create", *arguments, "--readers", 2, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["codes"] == read_codes(tmp_path / "study")
    result = invoke("reader-study", "create", "--power", "0.6", "--n", "100")
    assert result.exit_code == 0
    assert "210 readings of one reader" in result.stdout


def test_without_films_the_study_only_teaches(inputs: StudyInputs, tmp_path: Path) -> None:
    """Without --films, the study contains synthetic images only, and a note says that it can teach."""
    design = Design(n=10, readers=1, repeats=0, practice=0, pairs=0, findings=())
    study = reader_study_create.run(
        design, films=None, dataset=inputs.dataset, models=None, title="Lesson", seed=1, out=tmp_path / "lesson"
    )
    assert (study.n_real, study.n_synthetic, study.n_screens) == (0, 10, 10)
    assert "teach" in study.notes[0]


def test_a_finished_study_that_cannot_be_moved_is_moved_by_the_next_run(inputs: StudyInputs, tmp_path: Path) -> None:
    """The second run creates no other study: it has the same codes and counts."""
    with (
        refuse_renames_to(tmp_path / "study"),
        pytest.raises(DataError, match="finished result is in .*study.partial: run the same command again"),
    ):
        create_study(inputs, tmp_path / "study")
    expected = tuple(read_codes(tmp_path / "study.partial"))
    study = create_study(inputs, tmp_path / "study")
    assert study.codes == expected == tuple(read_codes(tmp_path / "study"))
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    other = create_study(inputs, tmp_path / "other")
    assert (study.n_screens, study.n_real, study.n_synthetic) == (other.n_screens, other.n_real, other.n_synthetic)


@pytest.mark.parametrize("images", [["absent.png"], [], ["absent.png"] * 3])
def test_a_key_whose_screens_have_other_images_is_refused(study: Path, images: list[str], tmp_path: Path) -> None:
    """Answers to them could not be scored."""
    path = shutil.copytree(study / "key", tmp_path / "key") / "key.json"
    tree = json.loads(path.read_text())
    tree["readers"]["1"][0]["images"] = images
    path.chmod(0o600)
    path.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"key\.json: a screen has images that the key does not describe"):
        read_answer_key(path.parent)

"""`generate` with a conditional generator: the request selects the conditions, and all guarantees hold as before."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.default_request import DEFAULT_REQUEST
from support.exported_models import LATENT, build_condition_table, write_conditional_models, write_exported_models
from support.file_digests import digest_dataset

from synthcxr.api.sampler import Sampler
from synthcxr.data import images, random_streams
from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.condition import PARTS
from synthcxr.data.condition_table import draw_conditions
from synthcxr.data.findings import FINDINGS, format_finding_labels
from synthcxr.data.synthetic_dataset import read_image_records, read_metadata
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.stages import generate, list_labels, replay
from synthcxr.storage import json_files
from synthcxr.synthesis.request.condition_request import select_conditions
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.sampling.rejection import RejectionSampler
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.synthesis.tasks import Task, WorkerSpec, make_worker
from synthcxr.writers.journal import Journal

CONFIG = dataclasses.replace(DEFAULT_REQUEST, method="auto", labels=("Mass",), n=12, max_draws=2000)
PA_MASS = {"labels": ("Mass",), "view": "PA"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator whose condition has findings, view, sex and age."""
    return write_conditional_models(tmp_path_factory.mktemp("models") / "onnx")


@pytest.fixture(scope="module")
def unconditional_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported_models(tmp_path_factory.mktemp("models") / "onnx")


def run_generate(model: Path, out: Path, *, flags: Mapping[str, Any] | None = None, **changes: object) -> list[str]:
    """Run the stage with CONFIG, some of it changed, and return the lines that it says before the work starts."""
    lines: list[str] = []
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    generate.run(config, model=model, out=out, model_name="exported", say=lines.append, **(flags or {}))
    return lines


def test_images_show_the_requested_findings_of_the_condition(model: Path, tmp_path: Path) -> None:
    """Every image has the findings in its condition and shows them, with weight 1; columns and run.json record it."""
    assert run_generate(model, tmp_path / "x", n=6, without=("Hernia",), view="PA", sex="F", age="40-80") == []
    table, run = read_metadata(tmp_path / "x"), json_files.read_json(tmp_path / "x" / "run.json")
    for column in ("Condition Findings", "Finding Labels"):
        findings = table[column].str.split("|")
        assert findings.map(lambda names: "Mass" in names and "Hernia" not in names).all()
    assert set(table["view"]) == {"PA"} and set(table["sex"]) == {"F"} and set(table["weight"]) == {1.0}
    assert table["age"].astype(int).between(40, 80).all()
    assert run["request"]["method"] == "conditional"
    assert run["request"]["attributes"] == {"view": "PA", "sex": "F", "age": [40, 80]}
    assert run["model"]["digests"]["condition table"] == build_condition_table().digest
    entries = pd.read_csv(tmp_path / "x" / "Data_Entry.csv", dtype=str)
    assert set(entries["View Position"]) == {"PA"} and list(entries["Patient Age"]) == list(table["age"])
    croissant = json_files.read_json(tmp_path / "x" / "croissant.json")
    fields = {field["name"] for field in croissant["recordSet"][0]["field"]}
    assert fields >= {"Condition_Findings", "view", "sex", "age"}


def test_a_candidate_is_its_latent_and_the_condition_that_it_draws(model: Path, tmp_path: Path) -> None:
    """Images equal the generator's output for the latent and the condition drawn from the selected rows."""
    run_generate(model, tmp_path / "x", view="PA")
    records = read_image_records(tmp_path / "x")
    indices = [record.index for record in records]
    selected = select_conditions(build_condition_table(), AttributeRequest("PA"), LabelCondition(("Mass",)))
    conditions = draw_conditions(selected, CONFIG.seed, indices)
    latents = np.concatenate([random_streams.draw_latents(CONFIG.seed, index, 1, LATENT) for index in indices])
    generated = Session.open(model / "generator.onnx", device="cpu").run(latents, conditions)["image"]
    for record, image in zip(records, images.to_uint8(generated), strict=True):
        pixels = images.decode_png((tmp_path / "x" / record.file_name).read_bytes())
        assert np.abs(pixels.astype(int) - image).max() <= 1
    np.testing.assert_array_equal(np.load(tmp_path / "x" / "latents.npy", allow_pickle=False), latents)


def test_without_findings_conditions_are_those_of_the_films(model: Path, tmp_path: Path) -> None:
    """Every candidate is accepted, with conditions drawn from the whole table; method reject draws the same images."""
    run_generate(model, tmp_path / "x", labels=())
    run_generate(model, tmp_path / "reject", labels=(), method="reject")
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "reject")
    table = read_metadata(tmp_path / "x")
    drawn = draw_conditions(build_condition_table(), CONFIG.seed, range(12))
    drawn_findings = [format_finding_labels(row[:14]) for row in drawn.tolist()]
    assert list(table["index"]) == list(range(12)) and list(table["Condition Findings"]) == drawn_findings


def test_method_reject_draws_findings_from_the_whole_table(model: Path, tmp_path: Path) -> None:
    """Images show the requested finding although it is in few conditions; the view is still the requested one."""
    run_generate(model, tmp_path / "x", method="reject", view="AP", n=30)
    table = read_metadata(tmp_path / "x")
    assert table["Finding Labels"].str.contains("Mass").all() and set(table["view"]) == {"AP"}
    assert not table["Condition Findings"].str.contains("Mass").all()


def interrupt_after_a_block(monkeypatch: pytest.MonkeyPatch, model: Path, out: Path, **changes: object) -> None:
    append = Journal.append

    def append_and_interrupt(journal: Journal, line: object) -> None:
        append(journal, line)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", append_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_generate(model, out, **changes)
    monkeypatch.undo()
    assert out.with_name(f"{out.name}.partial").is_dir()


@pytest.mark.parametrize(
    "changes",
    [PA_MASS, {"labels": ("Mass", "Edema"), "per_label": 6, "sex": "M"}, {"labels": (), "age": "20-60"}],
    ids=["one set", "per label", "no findings"],
)
def test_an_interrupted_run_resumes_with_the_same_bytes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """The same command completes it; a request for another sex does not."""
    run_generate(model, tmp_path / "direct", **changes)
    interrupt_after_a_block(monkeypatch, model, tmp_path / "x", **changes)
    with pytest.raises(DataError, match="attributes .*, not .*sex F"):
        run_generate(model, tmp_path / "x", **(changes | {"sex": "F"}))
    run_generate(model, tmp_path / "x", **changes)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")


@pytest.mark.parametrize("image_format", ["png", "webdataset", "dicom"])
def test_a_dataset_is_extended_and_replayed(model: Path, tmp_path: Path, image_format: str) -> None:
    """A longer dataset has the bytes of one run, and each image can be made again, in every format."""
    if image_format == "dicom":
        pytest.importorskip("pydicom")
    flags = {"image_format": image_format}
    run_generate(model, tmp_path / "x", flags=flags, **PA_MASS)
    run_generate(model, tmp_path / "x", n=20, flags=flags | {"append": True}, **PA_MASS)
    run_generate(model, tmp_path / "direct", n=20, flags=flags, **PA_MASS)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    row = read_metadata(tmp_path / "x").iloc[-1]
    replay.run(dataset=tmp_path / "x", index=int(row["index"]), model=model, out=tmp_path / "again")
    if image_format != "webdataset":
        assert (tmp_path / "again").read_bytes() == (tmp_path / "x" / row["file_name"]).read_bytes()


def test_dicom_files_have_the_view_sex_and_age(model: Path, tmp_path: Path) -> None:
    """The elements hold the condition."""
    pydicom = pytest.importorskip("pydicom")
    run_generate(model, tmp_path / "x", n=4, sex="M", flags={"image_format": "dicom"})
    for row in read_metadata(tmp_path / "x").itertuples():
        dataset = pydicom.dcmread(tmp_path / "x" / row.file_name)
        assert dataset.get("ViewPosition", "") == row.view and dataset.PatientSex == "M"
        assert dataset.PatientAge == f"{int(row.age):03d}Y"


@pytest.mark.parametrize(("cell", "column"), [(",PA,", "view"), (",F,", "sex"), (",45\n", "age")])
def test_cells_that_generate_does_not_write_are_refused(model: Path, tmp_path: Path, cell: str, column: str) -> None:
    """A changed view, sex or age is one line, and reaches no other file."""
    run_generate(model, tmp_path / "x", n=4, view="PA", sex="F", age="45")
    path = tmp_path / "x" / "metadata.csv"
    path.write_text(path.read_text().replace(cell, cell[0] + "abcd" + cell[-1]))
    with pytest.raises(DataError, match=f"column {column} has values that are not valid"):
        read_metadata(tmp_path / "x")


def test_each_of_several_sets_draws_its_own_conditions(model: Path, tmp_path: Path) -> None:
    """The condition of every image shows the finding that its row requests, and replay finds the set again."""
    run_generate(model, tmp_path / "x", labels=("Edema", "Mass", "Hernia"), per_label=4, n=12, without=("Nodule",))
    table = read_metadata(tmp_path / "x")
    assert table["requested"].value_counts().to_dict() == {"Edema": 4, "Mass": 4, "Hernia": 4}
    for row in table.itertuples():
        names = table.loc[row.Index, "Condition Findings"].split("|")
        assert row.requested in names and "Nodule" not in names
    row = table.iloc[-1]
    sha256 = replay.run(dataset=tmp_path / "x", index=int(row["index"]), model=model, out=tmp_path / "again.png")
    assert sha256 == row["sha256"]


def test_a_combination_without_films_is_named_and_generated(model: Path, tmp_path: Path) -> None:
    """One line says that no film has it; the condition has the requested findings alone."""
    unseen = ("Mass", "Nodule", "Pneumonia", "Fibrosis", "Hernia")
    (line,) = run_generate(model, tmp_path / "x", labels=unseen, view="PA", n=3, max_draws=20_000)
    assert "patients in the training data have Mass and Nodule and Pneumonia and Fibrosis and Hernia" in line
    assert "view PA" in line
    assert set(read_metadata(tmp_path / "x")["Condition Findings"]) == {"|".join(sorted(unseen, key=FINDINGS.index))}
    assert run_generate(model, tmp_path / "y", labels=unseen, method="reject", n=1, max_draws=50_000) == []


def test_what_a_model_cannot_do_is_one_line(model: Path, unconditional_model: Path, tmp_path: Path) -> None:
    """Unconditional models refuse method conditional and attributes, conditional ones refuse method guided."""
    with pytest.raises(ConfigError, match="method conditional: the generator of this model takes no condition"):
        run_generate(unconditional_model, tmp_path / "x", method="conditional")
    with pytest.raises(ConfigError, match="view: the condition of this generator has no view"):
        run_generate(unconditional_model, tmp_path / "x", view="PA", labels=())
    with pytest.raises(ConfigError, match="method guided: a conditional generator has no proposal"):
        run_generate(model, tmp_path / "x", method="guided")
    views = write_conditional_models(tmp_path / "views", ("findings", "view"))
    with pytest.raises(ConfigError, match="age: the condition of this generator has no age"):
        run_generate(views, tmp_path / "x", age="60-70")
    (views / "reference.npz").unlink()
    with pytest.raises(ArtifactError, match=r"reference\.npz"):
        run_generate(views, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_another_table_of_conditions_is_another_model(model: Path, tmp_path: Path) -> None:
    """The digest of the generator does not cover the table, so resuming and replaying compare the table's own."""
    run_generate(model, tmp_path / "x")
    other = shutil.copytree(model, tmp_path / "other")
    np.savez(other / "reference.npz", **build_condition_table(PARTS, 150).to_arrays())
    with pytest.raises(DataError, match="another condition table"):
        run_generate(other, tmp_path / "x", n=20, flags={"append": True})
    index = int(read_metadata(tmp_path / "x")["index"][0])
    with pytest.raises(ArtifactError, match="another condition table than the dataset"):
        replay.run(dataset=tmp_path / "x", index=index, model=other, out=tmp_path / "again.png")


def test_a_worker_elsewhere_draws_the_same_images(model: Path) -> None:
    """A worker built from the specification, as another process gets it, draws the same conditions and pixels."""
    attributes = AttributeRequest("PA")
    strategy = SamplingStrategy.open(model, method="auto", batch_size=16, device="cpu", attributes=attributes)
    task = Task(LabelCondition(("Mass",)), seed=3, start=0, stop=64)
    spec = pickle.loads(pickle.dumps(WorkerSpec.from_strategy(model, strategy)))  # noqa: S301  as Ray sends it
    for here, there in zip(make_worker(strategy)(task), spec()(task), strict=True):
        np.testing.assert_array_equal(here.conditions, there.conditions)
        np.testing.assert_array_equal(here.pixels, there.pixels)


def test_a_sampler_gives_the_images_of_a_dataset(model: Path, tmp_path: Path) -> None:
    """`Sampler.sample` gives the same candidates with the columns of the condition, and names what has no films."""
    run_generate(model, tmp_path / "x", batch=32, **PA_MASS)
    expected = read_metadata(tmp_path / "x")
    sampler = Sampler.open(model, device="cpu")
    pixels, table = sampler.sample("Mass", n=12, seed=CONFIG.seed, view="PA")
    columns = ["index", "Finding Labels", "Condition Findings", "view", "sex", "age"]
    pd.testing.assert_frame_equal(table[columns], expected[columns], check_dtype=False)
    assert pixels.shape == (12, 16, 16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sampler.sample(FINDINGS, n=1, max_draws=32)
    assert "hardly or never seen this combination" in str(caught[0].message)
    with pytest.raises(ConfigError, match="method guided"):
        sampler.sample("Mass", method="guided")


def test_latents_are_optimised_at_a_fixed_condition(model: Path) -> None:
    """Each latent keeps the condition that its candidate drew, and its image is that of both."""
    from synthcxr.networks.latent_gradient import build_latents_to_logits

    sampler = RejectionSampler.open(model, batch_size=16, device="cpu")
    logits = build_latents_to_logits(model / "generator.onnx", model / "classifier.onnx", 2)
    strategy = SamplingStrategy(sampler, "optimise", logits, attributes=AttributeRequest("AP"))
    condition = LabelCondition(("Mass",))
    (block,) = strategy.draw(condition, seed=1, start=0, stop=16)
    selected = select_conditions(build_condition_table(), AttributeRequest("AP"), condition)
    assert block.conditions is not None and block.latents is not None and len(block.indices) > 8
    np.testing.assert_array_equal(block.conditions, draw_conditions(selected, 1, block.indices))
    pixels, probabilities = sampler.generate(block.latents, block.conditions)
    assert np.abs(pixels.astype(int) - block.pixels).max() <= 1
    assert sampler.accept(probabilities, condition).mean() > 0.9


def test_list_labels_measures_the_rate_by_condition(model: Path, unconditional_model: Path) -> None:
    """Candidates have the conditions of films; method conditional costs what candidates with the condition cost."""
    rates = {rate.finding: rate for rate in list_labels.run(model=model, n=320, device="cpu", batch_size=32)}
    drawn = draw_conditions(build_condition_table(), list_labels.SEED, range(320))
    mass = rates["Mass"]
    assert mass.n_conditioned == drawn[:, FINDINGS.index("Mass")].sum() and 0 < mass.n_confirmed <= mass.n_conditioned
    assert f"{mass.n_conditioned / mass.n_confirmed:.1f} with method conditional" in mass.format_line()
    plain = list_labels.run(model=unconditional_model, n=32, device="cpu", batch_size=32)
    assert all(rate.n_conditioned == 0 and "conditional" not in rate.format_line() for rate in plain)

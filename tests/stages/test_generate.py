"""The generate stage, on real onnxruntime sessions over small stand-in models."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.file_digests import digest_dataset

from synthcxr.config.schema import GenerateConfig
from synthcxr.data import findings, image_reader, images, random_streams, records
from synthcxr.errors import ArtifactError, ConfigError, DataError, GateError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.project import revision
from synthcxr.stages import generate
from synthcxr.storage import digests, json_files
from synthcxr.synthesis.runtime import onnx_session

SIDE, LATENT = 16, 8
PLAIN = {"n": 20, "seed": 1, "labels": (), "without": (), "per_label": None, "mix": None, "method": "auto"}
PLAIN |= {"with_judge": False, "max_draws": 400, "batch": 8, "device": "cpu"}
CONFIG = GenerateConfig(**PLAIN)


def save(path: Path, kind: str, nodes: list, inputs: dict, outputs: dict, weights: dict, **promises: object) -> None:
    """One stamped stand-in model file."""
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in shapes.items()]
        for shapes in (inputs, outputs)
    ]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(helper.make_graph(nodes, kind, *infos, held), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    fixed = {"resolution": SIDE, "latent": 0, "thresholds": {}, "network": {}, "training_data": "0" * 16}
    fields = {"kind": kind, "findings": findings.FINDINGS, "phantom": True, "licence": "Apache-2.0"} | fixed | promises
    contracts.stamp(model, Contract(**fields))
    onnx.save(model, path)


def save_generator(folder: Path, *, seed: int = 0, n_slow: int = 0, side: int = SIDE) -> None:
    """tanh(z W); `n_slow` products of large matrices make it take its time and change nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    weights = {
        "w": rng.standard_normal((LATENT, side * side)).astype(np.float32) / 2,
        "shape": np.array([-1, 1, side, side]),
    }
    nodes = [helper.make_node("MatMul", ["z", "w"], ["flat"])]
    last = "flat"
    if n_slow:
        weights |= {"up": np.ones((side * side, 2000), np.float32), "slow": np.eye(2000, dtype=np.float32)}
        weights |= {"down": np.ones((2000, side * side), np.float32), "zero": np.zeros((), np.float32)}
        nodes.append(helper.make_node("MatMul", ["flat", "up"], ["s0"]))
        nodes += [helper.make_node("MatMul", [f"s{at}", "slow"], [f"s{at + 1}"]) for at in range(n_slow)]
        nodes.append(helper.make_node("MatMul", [f"s{n_slow}", "down"], ["wide"]))
        nodes += [
            helper.make_node("Mul", ["wide", "zero"], ["none"]),
            helper.make_node("Add", ["flat", "none"], ["sum"]),
        ]
        last = "sum"
    nodes += [helper.make_node("Tanh", [last], ["tanh"]), helper.make_node("Reshape", ["tanh", "shape"], ["image"])]
    size = {"resolution": side, "latent": LATENT}
    save(folder / "generator.onnx", "generator", nodes, {"z": [LATENT]}, {"image": [1, side, side]}, weights, **size)


def save_classifier(folder: Path, *, side: int = SIDE, threshold: float = 0.6) -> None:
    """Logits linear in the image; nothing ever reaches the threshold of Hernia."""
    rng = np.random.default_rng(9)
    weights = {"w": rng.standard_normal((side * side, 14)).astype(np.float32) / 5}
    nodes = [
        helper.make_node("Flatten", ["image"], ["features"]),
        helper.make_node("MatMul", ["features", "w"], ["logits"]),
    ]
    thresholds = dict.fromkeys(findings.FINDINGS, threshold) | {"Hernia": 1.5}
    promises = {"resolution": side, "thresholds": thresholds}
    outputs = {"logits": [14], "features": [side * side]}
    save(folder / "classifier.onnx", "classifier", nodes, {"image": [1, side, side]}, outputs, weights, **promises)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_generator(folder)
    save_classifier(folder)
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of CONFIG, to be copied."""
    out = tmp_path_factory.mktemp("made") / "x"
    make(model, out)
    return out


@pytest.fixture
def standing(made: Path, tmp_path: Path) -> Path:
    """A finished dataset of CONFIG, alone in its folder."""
    return shutil.copytree(made, tmp_path / "x")


def make(model: Path, out: Path, config: GenerateConfig = CONFIG, *, flags: dict | None = None, **changes: object):
    """Run the stage with some values of the config changed."""
    changed = dataclasses.replace(config, **changes)
    return generate.run(changed, model=model, out=out, model_name="stand-in", command=["test"], **(flags or {}))


def beside(out: Path) -> list[str]:
    """What lies in the folder that holds the dataset."""
    return sorted(path.name for path in out.parent.iterdir())


def test_writes_the_whole_contract(model: Path, tmp_path: Path) -> None:
    """An unconditional set holds what the design lists, each image the one of its candidate, nothing beside it."""
    report = make(model, tmp_path / "x")
    out, table = tmp_path / "x", records.read_metadata(tmp_path / "x")
    assert beside(out) == ["x"]
    assert {path.name for path in out.iterdir()} == {
        "images",
        "metadata.csv",
        "latents.npy",
        "run.json",
        "croissant.json",
        "Data_Entry.csv",
    }
    assert list(table.columns) == list(records.RECORD_COLUMNS)
    assert list(table["file_name"][:2]) == ["images/00000/00000000.png", "images/00000/00000001.png"]
    assert list(table["index"]) == list(range(20))
    assert set(table["seed"]) == {1} and set(table["requested"]) == {""} and set(table["weight"]) == {1.0}
    latents = np.load(out / "latents.npy", allow_pickle=False)
    assert latents.dtype == np.float32 and np.array_equal(latents, random_streams.latents(1, 0, 20, LATENT))
    for png, sha256 in zip(image_reader.read_all(out, table["file_name"]), table["sha256"], strict=True):
        assert digests.sha256_bytes(png) == sha256 and images.decode_png(png).shape == (SIDE, SIDE)
    assert (report.status, report.found, report.draws, report.provider) == ("made", 20, 20, "CPUExecutionProvider")
    assert report.checks is not None and report.checks.passed
    assert json.loads(json.dumps(report.as_dict()))["found"] == 20


def test_labels_follow_from_probabilities(model: Path, tmp_path: Path) -> None:
    """`Finding Labels` are the findings at or above their threshold, and No Finding where none is."""
    make(model, tmp_path / "x", n=40)
    table = records.read_metadata(tmp_path / "x")
    present = table.loc[:, list(records.PROBABILITY_COLUMNS)].to_numpy() >= [0.6] * 13 + [1.5]
    assert list(table["Finding Labels"]) == [findings.join(row.astype(float)) for row in present]


def test_requested_findings_pass(model: Path, tmp_path: Path) -> None:
    """Each image of a conditional set shows every finding asked for; candidates come in order, some left out."""
    make(model, tmp_path / "x", labels=("effusion", "Atelectasis"), n=12)
    table = records.read_metadata(tmp_path / "x")
    run = json_files.read_json(tmp_path / "x" / "run.json")
    assert (table[["p_Effusion", "p_Atelectasis"]] >= 0.6).all(axis=None)
    assert set(table["requested"]) == {"Atelectasis|Effusion"}
    assert table["index"].is_monotonic_increasing and table["index"].iloc[-1] > 12
    assert run["counts"]["draws"] == table["index"].iloc[-1] + 1
    assert run["counts"]["acceptance_rate"] == pytest.approx(12 / run["counts"]["draws"])


def test_no_finding_can_be_asked_for(tmp_path: Path) -> None:
    """--label "No Finding" keeps the images in which nothing passes."""
    save_generator(tmp_path / "model")
    save_classifier(tmp_path / "model", threshold=0.9)
    report = make(tmp_path / "model", tmp_path / "x", labels=("No Finding",), n=3)
    assert report.draws > 3
    assert set(records.read_metadata(tmp_path / "x")["Finding Labels"]) == {"No Finding"}


def test_run_json(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """run.json says which models made what, on which provider, from which revision."""
    for name in revision.DVC_VARIABLES:
        monkeypatch.setenv(name, f"the {name}")
    monkeypatch.setenv("DVC_ROOT", "/somewhere/on/this/machine")
    make(model, tmp_path / "x")
    run = json_files.read_json(tmp_path / "x" / "run.json")
    assert run["command"] == ["test"] and run["model"]["name"] == "stand-in" and run["model"]["phantom"] is True
    assert run["model"]["digests"]["generator"] == contracts.read(model / "generator.onnx").digest
    assert run["request"] == {"n": 20, "seed": 1, "labels": [], "max_draws": 400, "batch": 8}
    assert run["counts"] == {"requested": 20, "found": 20, "draws": 20, "runs": 24, "acceptance_rate": 1.0}
    assert run["complete"] is True and run["format"] == "png" and run["provider"] == "CPUExecutionProvider"
    assert run["versions"]["onnxruntime"] and run["wall_s"] > 0
    assert run["dvc"] == {name: f"the {name}" for name in ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")}
    assert (run["git_revision"], run["git_dirty"]) == revision.git()
    assert "/somewhere/on/this/machine" not in json.dumps(run)


def test_what_the_films_sources_ask_for_goes_along(model: Path, tmp_path: Path) -> None:
    """The attribution in the model's index stands in run.json and croissant.json; bare ONNX files have none."""
    told = shutil.copytree(model, tmp_path / "model")
    json_files.write_json(told / "model.json", {"files": {}, "attribution": ["Films of a hospital"]})
    make(told, tmp_path / "x")
    make(model, tmp_path / "y")
    assert json_files.read_json(tmp_path / "x" / "run.json")["model"]["attribution"] == ["Films of a hospital"]
    assert json_files.read_json(tmp_path / "y" / "run.json")["model"]["attribution"] == []
    assert json_files.read_json(tmp_path / "x" / "croissant.json")["citeAs"] == "Films of a hospital"
    assert "citeAs" not in json_files.read_json(tmp_path / "y" / "croissant.json")


def test_a_weak_label_and_other_thresholds_are_told_apart(model: Path, standing: Path, tmp_path: Path) -> None:
    """run.json and the last lines name a weak finding; another threshold is another dataset."""
    weak = shutil.copytree(model, tmp_path / "weak")
    path = weak / "classifier.onnx"
    held = contracts.read(path)
    network = onnx.load(path)
    asked = findings.names(findings.vector(CONFIG.labels))[0] if CONFIG.labels else findings.FINDINGS[0]
    contracts.stamp(network, dataclasses.replace(held, weak=(asked,), thresholds=held.thresholds | {"Hernia": 0.123}))
    onnx.save(network, path)
    report = make(weak, tmp_path / "y", labels=(asked,), n=1, max_draws=5000)
    assert json_files.read_json(tmp_path / "y" / "run.json")["model"]["weak"] == [asked]
    assert any(line.startswith(f"weak label: the threshold of {asked}") for line in report.lines)
    with pytest.raises(DataError, match="another labelling"):
        make(weak, standing)


def test_two_runs_give_the_same_bytes(model: Path, tmp_path: Path) -> None:
    """Everything but run.json is byte-identical, and a longer set begins with the shorter one's images."""
    for name in ("a", "b"):
        make(model, tmp_path / name, labels=("Edema",))
    make(model, tmp_path / "c", labels=("Edema",), n=33)
    assert digest_dataset(tmp_path / "a") == digest_dataset(tmp_path / "b")
    short, long = digest_dataset(tmp_path / "a"), digest_dataset(tmp_path / "c")
    assert all(long[name] == sha256 for name, sha256 in short.items() if name.startswith("images/"))


def test_latents_do_not_depend_on_the_batch(model: Path, tmp_path: Path) -> None:
    """Which candidates are kept is the same in blocks of 8 and of 5."""
    make(model, tmp_path / "a", labels=("Edema",))
    make(model, tmp_path / "b", labels=("Edema",), batch=5)
    assert (tmp_path / "a/latents.npy").read_bytes() == (tmp_path / "b/latents.npy").read_bytes()


def test_shards(model: Path, made: Path, tmp_path: Path) -> None:
    """Shards hold key.png and key.json with constant headers, and the images are those of the folder."""
    make(model, tmp_path / "shards", flags={"form": "webdataset"})
    table = records.read_metadata(tmp_path / "shards")
    assert table["file_name"].iloc[3] == "shards/00000.tar/00000003.png"
    assert list(table["sha256"]) == list(records.read_metadata(made)["sha256"])
    with tarfile.open(tmp_path / "shards/shards/00000.tar") as tar:
        members = tar.getmembers()
        assert [member.name for member in members[:3]] == ["00000000.png", "00000000.json", "00000001.png"]
        assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {
            (0, 0, 0, "", 0o644)
        }
        assert json.load(tar.extractfile("00000003.json"))["index"] == 3
    assert len(members) == 40


def test_beyond_ten_thousand_the_default_is_shards(model: Path, tmp_path: Path) -> None:
    """A dry run says which form it would take, and writes nothing."""
    for n, form in ((10_000, "png"), (10_001, "webdataset")):
        report = make(model, tmp_path / "x", n=n, max_draws=n, flags={"dry_run": True})
        assert report.status == "dry run" and form in report.lines[0]
    assert "png" in make(model, tmp_path / "x", n=10_001, flags={"dry_run": True, "form": "png"}).lines[0]
    assert list(tmp_path.iterdir()) == []


def test_the_same_command_on_a_finished_dataset(model: Path, standing: Path, tmp_path: Path) -> None:
    """It says so and touches nothing."""
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "x").rglob("*")}
    report = make(model, tmp_path / "x")
    assert report.status == "already finished" and "nothing to do" in " ".join(report.lines)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "x").rglob("*")} == before
    assert beside(tmp_path / "x") == ["x"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"seed": 2}, "seed 1, not 2"), ({"labels": ("Edema",)}, "labels none, not Edema"), ({"n": 5}, "n 20, not 5")],
)
def test_another_command_is_refused(model: Path, standing: Path, changes: dict, says: str) -> None:
    """Into a finished dataset another command is an error that says what differs, and touches nothing."""
    before = digest_dataset(standing)
    with pytest.raises(DataError, match=says):
        make(model, standing, **changes)
    assert digest_dataset(standing) == before and beside(standing) == ["x"]


def test_force_replaces(model: Path, standing: Path, tmp_path: Path) -> None:
    """--force puts another command's dataset in the place of the one that stands."""
    make(model, standing, seed=2, n=9, flags={"force": True})
    make(model, tmp_path / "direct", seed=2, n=9)
    assert digest_dataset(standing) == digest_dataset(tmp_path / "direct")


def test_another_model_is_another_command(model: Path, standing: Path, tmp_path: Path) -> None:
    """The digest decides, not the name."""
    other = shutil.copytree(model, tmp_path / "other")
    save_generator(other, seed=5)
    with pytest.raises(DataError, match="another generator"):
        make(other, standing)


@pytest.mark.parametrize("flags", [{}, {"form": "webdataset"}])
def test_append(model: Path, tmp_path: Path, flags: dict) -> None:
    """--append gives the bytes of the longer set made at once; without it, n beyond what stands is an error."""
    asked = {"labels": ("Edema",)}
    make(model, tmp_path / "x", **asked, flags=flags)
    with pytest.raises(DataError, match="--append makes it 31"):
        make(model, tmp_path / "x", **asked, n=31, flags=flags)
    report = make(model, tmp_path / "x", **asked, n=31, flags=flags | {"append": True})
    make(model, tmp_path / "direct", **asked, n=31, flags=flags)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    assert "20 of them were there already" in report.lines
    assert beside(tmp_path / "x") == ["direct", "x"]


def test_what_stands_is_appended_to_with_its_threads(model: Path, standing: Path) -> None:
    """Bytes may depend on the thread count: a dataset grows with the one it was made with; --force takes one's own."""
    own, other = onnx_session.n_threads(), onnx_session.n_threads() + 1
    run = json_files.read_json(standing / records.RUN)
    assert run["threads"] == own
    json_files.write_json(standing / records.RUN, run | {"threads": other})
    report = make(model, standing, n=31, flags={"append": True})
    assert json_files.read_json(standing / records.RUN)["threads"] == other
    assert f"worked with {other} threads, as it was begun, so that the bytes are the same" in report.lines
    make(model, standing, n=31, flags={"force": True})
    assert json_files.read_json(standing / records.RUN)["threads"] == own


def test_what_is_begun_goes_on_with_its_threads(model: Path, standing: Path, tmp_path: Path) -> None:
    """A dataset that was begun with another thread count is ended with that one, and is not another command's."""
    run, other = json_files.read_json(standing / records.RUN), onnx_session.n_threads() + 1
    pins = {"provider": run["provider"], **run["versions"]}
    held = run["request"] | {"format": "png", "models": run["model"]["digests"], "pins": pins, "threads": other}
    json_files.write_json(tmp_path / "y.partial" / "request.json", held)
    (tmp_path / "y.partial" / "journal.jsonl").write_text('{"draws": 8, "wall_s": 0.1, "records": []}\n')
    make(model, tmp_path / "y")
    assert json_files.read_json(tmp_path / "y" / records.RUN)["threads"] == other
    assert records.read_metadata(tmp_path / "y")["index"].iloc[0] == 8


@pytest.mark.slow
def test_append_changes_the_form(model: Path, tmp_path: Path) -> None:
    """A folder of files appended to as shards is the shards made at once: more than one, each of a thousand."""
    make(model, tmp_path / "x", n=990, max_draws=1100)
    make(model, tmp_path / "x", n=1010, max_draws=1100, flags={"append": True, "form": "webdataset"})
    make(model, tmp_path / "direct", n=1010, max_draws=1100, flags={"form": "webdataset"})
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    assert sorted(path.name for path in (tmp_path / "x/shards").iterdir()) == ["00000.tar", "00001.tar"]


def test_append_makes_a_damaged_image_again(model: Path, standing: Path, tmp_path: Path) -> None:
    """What is taken over is verified; from the first harmed image on it is drawn again, with the same bytes."""
    (tmp_path / "x/images/00000/00000007.png").write_bytes(b"harmed")
    make(model, tmp_path / "x", n=31, flags={"append": True})
    make(model, tmp_path / "direct", n=31)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")


def test_draws_run_out(model: Path, tmp_path: Path) -> None:
    """The shorter set is in place and says so; a larger max_draws goes on to the bytes of the set made at once."""
    asked = {"labels": ("Edema",), "n": 30}
    for _ in range(2):
        with pytest.raises(GateError, match=r"of 30 asked for: 40 candidates drawn, \d+\.\d+% accepted"):
            make(model, tmp_path / "x", **asked, max_draws=40)
    run = json_files.read_json(tmp_path / "x/run.json")
    assert run["complete"] is False and run["counts"]["draws"] == 40
    assert 0 < run["counts"]["found"] == len(records.read_metadata(tmp_path / "x")) < 30
    make(model, tmp_path / "x", **asked)
    make(model, tmp_path / "direct", **asked)
    assert digest_dataset(tmp_path / "x") == digest_dataset(tmp_path / "direct")
    assert make(model, tmp_path / "x", **asked, max_draws=4000).status == "already finished"


@pytest.mark.parametrize("form", ["png", "webdataset"])
def test_a_finding_out_of_reach(model: Path, tmp_path: Path, form: str) -> None:
    """A finding that never passes ends with an empty set in place, not with a hang."""
    with pytest.raises(GateError, match="0 images of 16 px with Hernia, of 20 asked for: 400 candidates"):
        make(model, tmp_path / "x", labels=("Hernia",), flags={"form": form})
    assert records.read_metadata(tmp_path / "x").empty
    assert np.load(tmp_path / "x/latents.npy", allow_pickle=False).shape == (0, LATENT)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_something_else_is_left_alone(model: Path, standing: Path, tmp_path: Path, force: bool) -> None:
    """Neither a stranger's folder, nor a dataset with a stranger's file in it, nor a file is touched."""
    thesis = tmp_path / "y/thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    with pytest.raises(DataError, match=r"holds something else \(thesis.txt\)"):
        make(model, tmp_path / "y", flags={"force": force})
    with pytest.raises(DataError, match="is a file"):
        make(model, thesis, flags={"force": force})
    shutil.copy(thesis, standing / "notes.txt")
    with pytest.raises(DataError, match="notes.txt" if force else "seed"):
        make(model, standing, seed=2, flags={"force": force})
    assert thesis.read_text() == "years of work" and (standing / "notes.txt").exists()
    assert beside(standing) == ["x", "y"]


def test_an_empty_folder_is_fine(model: Path, tmp_path: Path) -> None:
    """OUT may be there already, if nothing is in it."""
    (tmp_path / "x").mkdir()
    assert make(model, tmp_path / "x").found == 20


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        (
            {"labels": ("Cardiomegoly",)},
            DataError,
            "unknown finding 'Cardiomegoly'; known: No Finding, Atelectasis.*Hernia",
        ),
        ({"labels": ("No Finding", "Edema")}, DataError, "contradictory"),
        ({"n": 0}, ConfigError, "generate.n: must be at least 1"),
        ({"batch": 0}, ConfigError, "generate.batch"),
        ({"seed": -1}, ConfigError, "generate.seed"),
        ({"device": "cuda"}, ArtifactError, "--device cuda: onnxruntime did not get the GPU"),
        ({"n": 10**13, "max_draws": 10**14}, DataError, r"needs about .* TB, .* are free"),
    ],
)
def test_bad_requests_write_nothing(
    model: Path, tmp_path: Path, changes: dict, error: type[Exception], says: str
) -> None:
    """One plain error, and the folder is as it was."""
    if changes.get("device") == "cuda" and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    with pytest.raises(error, match=says):
        make(model, tmp_path / "x", **changes)
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_fit_write_nothing(tmp_path: Path) -> None:
    """A classifier of another size than the generator is refused."""
    save_generator(tmp_path / "model")
    save_classifier(tmp_path / "model", side=32)
    with pytest.raises(ArtifactError, match="makes 16 px and the classifier sees 32 px"):
        make(tmp_path / "model", tmp_path / "x")
    assert beside(tmp_path / "x") == ["model"]


def test_two_runs_into_one_folder(model: Path, tmp_path: Path) -> None:
    """While another process holds the lock a run is refused; the lock file alone, its holder dead, stops nobody."""
    with (tmp_path / "x.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another run is writing here"):
            make(model, tmp_path / "x")
    assert make(model, tmp_path / "x").found == 20
    assert beside(tmp_path / "x") == ["x"]


CHILD = """
import sys
from pathlib import Path
from synthcxr.config.schema import GenerateConfig
from synthcxr.stages import generate
from synthcxr.synthesis import session
model, out, n, append, form = sys.argv[1:]
plain = PLAIN
config = GenerateConfig(**plain | {"n": int(n), "labels": ("Edema",), "max_draws": 4000})
flags = {"append": append == "True", "form": form}
generate.run(config, model=Path(model), out=Path(out), model_name="stand-in", **flags)
""".replace("PLAIN", repr(PLAIN))


def kill_after(n_lines: int, *arguments: object) -> bool:
    """Start a real run, SIGKILL it once its journal has so many lines; whether it was killed before its end."""
    journal = Path(f"{arguments[1]}.partial/journal.jsonl")
    child = subprocess.Popen([sys.executable, "-c", CHILD, *map(str, arguments)])
    while child.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= n_lines:
            child.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    return child.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slow")
    save_generator(folder, n_slow=4)
    save_classifier(folder)
    return folder


def test_killed_and_run_again(slow_model: Path, tmp_path: Path) -> None:
    """A run that SIGKILL hits at a random point ends, run again, with the bytes of one never stopped.

    In between, the last line of the journal is cut short, an image it lists is harmed, and another command, refused,
    touches nothing.
    """
    asked, out = {"labels": ("Edema",), "max_draws": 4000, "n": 40}, tmp_path / "x"
    assert kill_after(random.randint(2, 6), slow_model, out, 40, False, "png")
    assert not out.exists() and (tmp_path / "x.partial").is_dir()
    with pytest.raises(DataError, match=r"x\.partial: holds what another command makes \(seed 1, not 2"):
        make(slow_model, out, **asked | {"seed": 2})
    with (tmp_path / "x.partial/journal.jsonl").open("ab") as journal:
        journal.write(b'{"draws": 4')
    harm(tmp_path / "x.partial")
    assert make(slow_model, out, **asked).found == 40
    make(slow_model, tmp_path / "direct", **asked)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")
    assert beside(out) == ["direct", "x"]


@pytest.mark.slow
def test_killed_while_appending(slow_model: Path, tmp_path: Path) -> None:
    """While it grows beside the old one an --append may be killed: the old stands, and the same command goes on."""
    asked, out, flags = {"labels": ("Edema",), "max_draws": 4000}, tmp_path / "x", {"form": "webdataset"}
    make(slow_model, out, **asked, n=40, flags=flags)
    assert kill_after(random.randint(1, 6), slow_model, out, 80, True, "webdataset")
    assert len(records.read_metadata(out)) == 40
    make(slow_model, out, **asked, n=80, flags=flags | {"append": True})
    make(slow_model, tmp_path / "direct", **asked, n=80, flags=flags)
    assert digest_dataset(out) == digest_dataset(tmp_path / "direct")
    assert beside(out) == ["direct", "x"]


def harm(grown: Path) -> None:
    """Change one bit in the middle of the images' bytes."""
    files = sorted(path for path in grown.rglob("*") if path.suffix in {".png", ".tar"})
    data = bytearray(files[len(files) // 2].read_bytes())
    data[len(data) // 2] ^= 1
    files[len(files) // 2].write_bytes(data)


def test_force_drops_what_another_command_began(model: Path, made: Path, tmp_path: Path) -> None:
    """--force starts over where another command was interrupted."""
    grown = tmp_path / "x.partial"
    shutil.copytree(made / "images", grown / "images")
    asked = {"n": 20, "seed": 1, "labels": [], "max_draws": 400, "batch": 8, "format": "png", "models": {}, "pins": {}}
    asked |= {"threads": 1}
    json_files.write_json(grown / "request.json", asked)
    rows = [json.dumps({"draws": 8, "wall_s": 0.1, "records": []}) + "\n"]
    (grown / "journal.jsonl").write_text("".join(rows))
    with pytest.raises(DataError, match="another generator; another classifier"):
        make(model, tmp_path / "x")
    make(model, tmp_path / "x", flags={"force": True})
    assert digest_dataset(tmp_path / "x") == digest_dataset(made)
    assert beside(tmp_path / "x") == ["x"]


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=400k tmpfs "$1" && shift && "$@"; status=$?
ls "$DISK"; exit $status
"""
FULL = """
import os, sys
from pathlib import Path
from synthcxr.config.schema import GenerateConfig
from synthcxr.errors import DataError
from synthcxr.stages import generate
from synthcxr.synthesis import session
disk = Path(os.environ["DISK"])
plain = PLAIN
config = GenerateConfig(**plain | {"n": 70, "max_draws": 70})
ballast = disk / "ballast"
def attempt():
    return generate.run(config, model=Path(sys.argv[1]), out=disk / "x", model_name="stand-in", form="webdataset")
ballast.write_bytes(bytes(150_000))
try:
    attempt()
except DataError as error:
    print(error)
ballast.unlink()
print(attempt().lines[1])
""".replace("PLAIN", repr(PLAIN))


@pytest.mark.slow
def test_a_full_disk(model: Path, tmp_path: Path) -> None:
    """A disk that fills up is one plain line, and with room made the same command goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", str(disk)]
    environment = os.environ | {"DISK": str(disk)}
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], env=environment, check=False).returncode:
        pytest.skip("no small filesystem can be mounted here")
    run = [*inside, sys.executable, "-c", FULL, str(model)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "the disk is full; make room and run the same command again" in said[0]
    assert said[1].endswith("of them were there already") and said[2:] == ["x"]

"""The evaluate stage, on a small packed dataset, a written synthetic one and stand-in models in onnxruntime."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.in_memory_film import Held

from synthcxr.config.schema import EvaluateConfig, Gate
from synthcxr.data import film_dataset as datasets
from synthcxr.data import findings as labels
from synthcxr.data import image_reader, images, records
from synthcxr.data.findings import FINDINGS
from synthcxr.data.leakage import Seen
from synthcxr.data.records import Film, Record
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.evaluation.features import efficientnet_lite0
from synthcxr.evaluation.gates import Verdict
from synthcxr.evaluation.metrics import frechet, label_distribution, prdc
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.networks import efficientnet_weights
from synthcxr.stages import evaluate
from synthcxr.storage import digests, json_files
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import Shards

SIDE, N_FEATURES = 8, 6
FILMS = "0" * 16
SPLITS = {"train": 70, "judge": 25, "val": 6, "test": 60}
CONFIG = EvaluateConfig(
    extractors=("judge",),
    n_bootstrap=20,
    max_label_kl=1.0,
    seed=1,
    device="cpu",
    gates=(
        Gate("checks.failed", max=0.0, min=None),
        Gate("distance.judge.relative", max=3.0, min=None),
        Gate("labels.total_variation", max=0.5, min=None),
    ),
)


def picture(rng: np.random.Generator, *, light: float = 0.0) -> np.ndarray:
    """A film-like float32 [8, 8] in [0, 1]: two slopes of random strength, and noise."""
    ramp = np.linspace(-1, 1, SIDE)
    slopes = rng.normal(0, 0.12, 2)
    made = 0.5 + light + slopes[0] * ramp[:, None] + slopes[1] * ramp[None] + rng.normal(0, 0.05, (SIDE, SIDE))
    return np.clip(made, 0, 1).astype(np.float32)


def pack(out: Path, *, n_test: int = SPLITS["test"], origin: str = "memory") -> Path:
    """A packed dataset of two films a patient; nine of ten show Effusion."""
    rng, films, sides = np.random.default_rng(5), [], {}
    for split, n in (SPLITS | {"test": n_test}).items():
        for k in range(n):
            name, held = f"{split}{k:03d}.png", Held(picture(rng))
            findings = labels.vector(["Effusion"] if k % 10 else ["No Finding"])
            patient = f"{split}{k // 2}"
            films.append(Film(name, patient, "test", "PA", findings, held.read, held.read_size, f"{origin}:{name}"))
            sides[name] = split
    datasets.build(films, out=out, resolution=SIDE, sides=sides, on_bad="error")
    return out


@functools.cache
def learned_from() -> str:
    """The fingerprint of what `pack` packs, which is the same each time."""
    with tempfile.TemporaryDirectory() as folder:
        return datasets.open_dataset(pack(Path(folder))).fingerprint


def save_model(path: Path, kind: str, *, seed: int, side: int = SIDE, weak: tuple[str, ...] = ()) -> None:
    """Features linear in the image, logits linear in the features."""
    rng = np.random.default_rng(seed)
    weights = {
        "f": rng.standard_normal((side * side, N_FEATURES)).astype(np.float32) / side,
        "l": 4 * rng.standard_normal((N_FEATURES, 14)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "f"], ["features"]),
        helper.make_node("MatMul", ["features", "l"], ["logits"]),
    ]
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in shapes.items()]
        for shapes in ({"image": [1, side, side]}, {"logits": [14], "features": [N_FEATURES]})
    ]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(helper.make_graph(nodes, kind, *infos, held), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    contract = Contract(
        kind=kind,  # type: ignore[arg-type]
        resolution=side,
        latent=0,
        findings=FINDINGS,
        thresholds=dict.fromkeys(FINDINGS, 0.6),
        network={},
        training_data=FILMS,
        phantom=False,
        licence="Apache-2.0",
        weak=weak,
    )
    contracts.stamp(model, contract)
    onnx.save(model, path)


def save_models(folder: Path, *, weak: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / "judge.onnx", "judge", seed=1, weak=weak)
    save_model(folder / "classifier.onnx", "classifier", seed=2)
    nothing = np.empty(0, np.uint64)
    np.savez(folder / "reference.npz", **Seen(FILMS, nothing, nothing).arrays())
    return folder


def synthesise(
    out: Path,
    models: Path,
    *,
    n: int = 90,
    light: float = 0.0,
    requested: tuple[str, ...] = (),
    shards: bool = False,
    phantom: bool = False,
    instead: dict[int, np.ndarray] | None = None,
    films: Path | None = None,
) -> Path:
    """A finished synthetic dataset, labelled by the stand-in classifier, of a generator that learned from `films`.

    `instead` replaces the pixels of some.
    """
    rng = np.random.default_rng(77)
    out.mkdir(parents=True)
    pixels = np.stack([images.quantise(picture(rng, light=light)) for _ in range(n)])
    for at, square in (instead or {}).items():
        pixels[at] = square
    classifier = Session.open(models / "classifier.onnx", kind="classifier", device="cpu")
    probabilities = 1 / (1 + np.exp(-classifier.run(images.to_float(pixels))["logits"].astype(float)))
    store = (Shards if shards else PngFolder)(out)
    made = []
    for k in range(n):
        png = images.encode_png(pixels[k])
        findings = labels.names((probabilities[k] >= 0.6).astype(float))
        asked = labels.SEPARATOR.join(requested)
        row = Record(
            store.file_name(k), k, 1, asked, findings, tuple(probabilities[k].round(6)), 1.0, digests.sha256_bytes(png)
        )
        store.write(k, png, row)
        made.append(row)
    store.close()
    records.write_metadata(out / "metadata.csv", map(records.to_row, made))
    np.save(out / "latents.npy", np.zeros((n, 4), np.float32))
    run = {
        "model": {
            "digests": {"generator": "ab" * 32, "classifier": classifier.digest},
            "training_data": datasets.open_dataset(films).fingerprint if films else learned_from(),
            "phantom": phantom,
            "resolution": SIDE,
        },
        "request": {"n": n, "seed": 1, "labels": list(requested)},
        "counts": {"requested": n, "found": n},
        "complete": True,
        "format": "webdataset" if shards else "png",
    }
    json_files.write_json(out / "run.json", run)
    return out


@dataclasses.dataclass(frozen=True)
class Place:
    """Where everything of one test lies."""

    data: Path
    models: Path
    synthetic: Path
    root: Path

    def run(
        self,
        *,
        synthetic: Path | None = None,
        with_films: bool = True,
        distribution: str | None = None,
        **changes: Any,
    ) -> Verdict:
        return evaluate.run(
            dataclasses.replace(CONFIG, **changes),
            data=self.data if with_films else None,
            distribution=distribution,
            models=self.models,
            dataset=synthetic or self.synthetic,
            out=self.root / "results",
            features_cache=self.root / "cache",
        )

    def read(self, name: str = "metrics.json") -> dict[str, Any]:
        return json.loads((self.root / "results" / name).read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Films, models and an unconditional set from the films' own distribution."""
    root = tmp_path_factory.mktemp("made")
    models = save_models(root / "models")
    return Place(pack(root / "data"), models, synthesise(root / "synthetic", models), root)


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """The same, with results and cache of the test's own."""
    return dataclasses.replace(made, root=tmp_path)


def features_of(place: Place, splits: tuple[str, ...]) -> np.ndarray:
    """The judge's features of real films, straight through onnxruntime."""
    pixels, _ = datasets.open_dataset(place.data).images(SIDE, splits)
    return Session.open(place.models / "judge.onnx", device="cpu").run(images.to_float(pixels))["features"]


def synthetic_pixels(place: Place, n: int) -> np.ndarray:
    rows = records.read_metadata(place.synthetic)["file_name"][:n]
    return np.stack([images.decode_png(data) for data in image_reader.read_all(place.synthetic, rows)])


def test_good_images_pass_every_gate(place: Place) -> None:
    """Images of the films' own distribution: the verdict, in the files and returned, with the agreed shapes."""
    verdict = place.run()
    assert verdict.passed
    assert [gate.status for gate in verdict.gates] == ["passed"] * 3
    assert place.read("verdict.json") == json.loads(json.dumps(verdict.as_dict()))
    metrics = place.read()
    assert set(metrics) == {
        *("models", "dataset", "n_synthetic", "n_real_test", "phantom"),
        *("distance", "kernel", "infinity", "coverage", "by_finding", "similarity", "privacy"),
        *("labels", "agreement", "classifier", "checks", "protocol"),
    }
    assert (metrics["n_synthetic"], metrics["n_real_test"], metrics["phantom"]) == (90, 60, False)
    assert metrics["checks"]["failed"] == 0
    assert {"label divergence", "files", "no leakage"} <= {line["name"] for line in metrics["checks"]["lines"]}
    assert set(metrics["labels"]["shares"]) == {"No Finding", *FINDINGS}
    distance = metrics["distance"]["judge"]
    keys = {"value", "interval", "floor", "floor_n", "relative", "relative_interval", "n_synthetic", "n_train"}
    assert set(distance) == keys | {"n_test", "extractor", "digest", "resize", "status"}
    assert distance["status"] == "computed"
    assert distance["digest"] == contracts.read(place.models / "judge.onnx").digest
    assert all(isinstance(sentence, str) for sentence in metrics["protocol"].values())


def test_distance_and_floor_are_those_of_the_design(place: Place) -> None:
    """As many first images as train films, all test films; the judge's own split is no part of its floor."""
    place.run()
    found = place.read()["distance"]["judge"]
    train, test = features_of(place, ("train",)), features_of(place, ("test",))
    judge = Session.open(place.models / "judge.onnx", device="cpu")
    synthetic = judge.run(images.to_float(synthetic_pixels(place, 70)))["features"]
    value, floor = (frechet.frechet_distance(real=test, synthetic=rows) for rows in (synthetic, train))
    assert (found["value"], found["floor"]) == pytest.approx((value, floor), rel=1e-5)
    assert found["relative"] == pytest.approx(value / floor, rel=1e-5)
    assert (found["n_synthetic"], found["floor_n"], found["n_train"], found["n_test"]) == (70, 70, 70, 60)


def test_labels_are_the_judges_on_both_sides(place: Place) -> None:
    """Shares are counts of the judge's labels at its thresholds, of test films and of every image."""
    place.run()
    judge = Session.open(place.models / "judge.onnx", device="cpu")
    pixels, _ = datasets.open_dataset(place.data).images(SIDE, ("test",))
    shares = place.read()["labels"]["shares"]
    for side, array in (("real", pixels), ("synthetic", synthetic_pixels(place, 90))):
        present = label_distribution.present(judge.run(images.to_float(array))["logits"], judge.contract.thresholds)
        counted = label_distribution.categories(present).mean(axis=0)
        held = [shares[name][side] for name in ("No Finding", *FINDINGS)]
        assert held == pytest.approx(counted.tolist(), rel=1e-5)
    table = (place.root / "results" / "curves" / "label_shares.csv").read_text().splitlines()
    assert table[0] == "finding,real,real_low,real_high,synthetic,synthetic_low,synthetic_high,ratio"
    assert [row.split(",")[0] for row in table[1:]] == ["No Finding", *FINDINGS]


def test_copies_are_named_with_the_film_they_copy(place: Place) -> None:
    """Three films of the train split among the images: flagged in pixels and features, with their manifest rows."""
    films = datasets.open_dataset(place.data)
    squares, rows = films.images(SIDE, ("train",))
    copied = synthesise(place.root / "copied", place.models, instead={k: squares[9 * k] for k in (1, 2, 3)})
    verdict = place.run(synthetic=copied, gates=(Gate("privacy.pixels.n_below_null", max=0.0, min=None),))
    assert not verdict.passed
    table = pd.read_csv(place.root / "results" / "privacy.csv")
    names = records.read_metadata(copied)["file_name"]
    assert table["file_name"].tolist() == names.tolist()
    for space in ("pixels", "judge"):
        assert table.loc[[1, 2, 3], f"{space} flagged"].tolist() == [1, 1, 1]
        assert table.loc[[1, 2, 3], f"{space} film"].tolist() == [int(rows[9 * k]) for k in (1, 2, 3)]
        found = place.read()["privacy"][space]
        assert {pair["image"] for pair in found["pairs"][:3]} == {names[k] for k in (1, 2, 3)}
        assert found["found"]["exact"]["share"] == 1
        assert (found["n"], found["n_learned"], found["n_null"]) == (90, 95, 66)
    assert place.read()["privacy"]["n_flagged_in_all"] >= 3


def test_copies_of_films_without_the_request_count_too(place: Place) -> None:
    """For a set made on request the nearest film is looked for among all that were learnt from, whatever they show."""
    requested = synthesise(place.root / "asked", place.models, requested=("Effusion",))
    place.run(synthetic=requested)
    assert place.read()["privacy"]["pixels"]["n_learned"] == 95
    assert place.read()["privacy"]["pixels"]["n_null"] == 66


def test_a_set_for_several_sets_of_findings(place: Place) -> None:
    """Of a mix, or so many of each finding, no film is a fellow: comparisons say so, copies and agreement do not."""
    several = synthesise(place.root / "several", place.models)
    run = json_files.read_json(several / "run.json")
    parts = [{"labels": ["Mass"], "without": [], "n": 45}, {"labels": ["Edema"], "without": [], "n": 45}]
    json_files.write_json(several / "run.json", run | {"request": run["request"] | {"parts": parts}})
    place.run(synthetic=several)
    found = place.read()
    assert found["distance"]["judge"]["status"] == found["labels"]["status"] == "not applicable (n = 0)"
    assert found["by_finding"]["judge"]["status"] == "not applicable (n = 0)"
    assert "asked for as 2 sets of findings" in found["protocol"]["films"]
    assert found["privacy"]["pixels"]["n_learned"] == 95 and found["agreement"]["status"] == "computed"


def test_what_was_left_out_and_what_was_weighted(place: Place) -> None:
    """A set without a finding meets the films known to lack it; one with weights says that each image counts once."""
    without = synthesise(place.root / "without", place.models)
    run = json_files.read_json(without / "run.json")
    json_files.write_json(without / "run.json", run | {"request": run["request"] | {"without": ["Effusion"]}})
    table = (without / "metadata.csv").read_text()
    (without / "metadata.csv").write_text(table.replace(",1.000000,", ",2.500000,", 3))
    place.run(synthetic=without)
    found = place.read()
    films = datasets.open_dataset(place.data)
    test = films.findings(films.rows(SIDE)[films.indices(SIDE, ("test",))])
    assert found["n_real_test"] == int((test[:, labels.FINDINGS.index("Effusion")] == 0).sum()) < len(test)
    assert "that lack Effusion, as the images were asked to" in found["protocol"]["films"]
    assert "counts each image once" in found["protocol"]["weights"]


def test_coverage_is_that_of_the_first_images(place: Place) -> None:
    """As many first images as train films, among all test films, and the same of the train films beside it."""
    place.run()
    found = place.read()["coverage"]["judge"]
    train, test = features_of(place, ("train",)), features_of(place, ("test",))
    judge = Session.open(place.models / "judge.onnx", device="cpu")
    made = judge.run(images.to_float(synthetic_pixels(place, 70)))["features"]
    for side, rows in (("synthetic", made), ("training", train)):
        assert found[side] == pytest.approx(vars(prdc.prdc(real=test, synthetic=rows)), rel=1e-5)
    assert found["relative"] == pytest.approx(found["synthetic"]["coverage"] / found["training"]["coverage"], rel=1e-5)


def test_bad_images_fail_with_one_line_and_everything_written(place: Place) -> None:
    """Brighter images fail: one line with value and threshold, in the verdict that is returned and in the files."""
    verdict = place.run(synthetic=synthesise(place.root / "bad", place.models, light=0.3))
    assert not verdict.passed
    assert re.match(r"\d of 3 gates failed: .*distance.judge.relative is \d.*, at most 3 asked", verdict.failures)
    assert "\n" not in verdict.failures
    assert not place.read("verdict.json")["passed"]
    assert place.read()["distance"]["judge"]["relative"] > 3


@pytest.mark.slow
def test_the_same_evaluation_writes_the_same_bytes(place: Place) -> None:
    """No clock and no chance: with features from the cache and without, byte for byte."""
    written = []
    for _ in range(2):
        place.run()
        files = sorted(path for path in (place.root / "results").rglob("*") if path.is_file())
        written.append({str(path.relative_to(place.root)): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert sorted(written[0]) == [
        f"results/{name}"
        for name in (
            *("curves/cooccurrence.csv", "curves/label_shares.csv"),
            *("metrics.json", "privacy.csv", "summary.json", "verdict.json"),
        )
    ]


def test_reference_statistics_are_kept_by_digest(place: Place) -> None:
    """The test films' mean and covariance factor are fitted once for a judge, and anew for one of another digest."""

    def kept() -> dict[str, int]:
        files = (place.root / "cache").glob("*.npz")
        return {file.name: file.stat().st_mtime_ns for file in files if "factor" in np.load(file).files}

    place.run()
    first = kept()
    assert len(first) == 1
    place.run()
    assert kept() == first
    models = save_models(place.root / "models")
    save_model(models / "judge.onnx", "judge", seed=7)
    dataclasses.replace(place, models=models).run()
    assert len(kept()) == 2
    assert first.items() < kept().items()


def test_shards_give_what_files_give(place: Place) -> None:
    """The form of a dataset changes no number."""
    place.run()
    from_files = place.read()
    place.run(synthetic=synthesise(place.root / "shards", place.models, shards=True))
    assert place.read()["distance"] == from_files["distance"]
    assert place.read()["labels"] == from_files["labels"]


def test_fewer_images_than_training_films_say_both_n(place: Place) -> None:
    """The floor is taken at the images' N and the number of films stands beside it."""
    place.run(synthetic=synthesise(place.root / "few", place.models, n=55))
    found = place.read()["distance"]["judge"]
    assert (found["n_synthetic"], found["floor_n"], found["n_train"]) == (55, 55, 70)


def test_few_real_films_make_comparisons_not_applicable(place: Place) -> None:
    """Under 50 test films nothing is compared, gates say so with the n, and only the suite can still fail."""
    data = pack(place.root / "data", n_test=10)
    place = dataclasses.replace(place, data=data, synthetic=synthesise(place.root / "few", place.models, films=data))
    verdict = place.run()
    assert verdict.passed
    assert [gate.status for gate in verdict.gates] == ["passed", "not applicable", "not applicable"]
    assert all(gate.sentence.endswith("not applicable (n = 10).") for gate in verdict.gates[1:])
    metrics = place.read()
    assert metrics["labels"]["shares"] == {}
    assert metrics["distance"]["judge"]["value"] is None
    assert metrics["distance"]["judge"]["n_test"] == 10
    assert metrics["coverage"]["judge"]["status"] == "not applicable (n = 10)"
    assert metrics["privacy"]["pixels"]["status"] == "not applicable (n = 16)"
    assert "label divergence" not in {line["name"] for line in metrics["checks"]["lines"]}


def test_few_images_make_the_distance_not_applicable(place: Place) -> None:
    """A distance from 20 images says nothing; label shares with their wide intervals do."""
    verdict = place.run(synthetic=synthesise(place.root / "few", place.models, n=20))
    assert [gate.status for gate in verdict.gates][1:] == ["not applicable", "passed"]
    assert verdict.gates[1].sentence.endswith("not applicable (n = 20).")


def test_a_set_made_on_request_is_compared_with_films_that_carry_it(place: Place) -> None:
    """54 of 60 test films show Effusion: only they, and only such training films, take part."""
    requested = synthesise(place.root / "asked", place.models, requested=("Effusion",))
    place.run(synthetic=requested)
    metrics = place.read()
    assert metrics["n_real_test"] == 54
    assert metrics["distance"]["judge"]["n_test"] == 54
    assert metrics["distance"]["judge"]["n_train"] == 63
    assert metrics["labels"]["status"] == "computed"
    assert "chosen by their labels" in metrics["protocol"]["checks"]


@pytest.mark.parametrize(("asked", "n"), [("Hernia", 0), ("No Finding", 6)])
def test_a_request_that_few_films_carry_is_not_applicable(place: Place, asked: str, n: int) -> None:
    """Too few real films carry the request: distance and label gates do not apply."""
    verdict = place.run(synthetic=synthesise(place.root / "asked", place.models, requested=(asked,)))
    assert [gate.status for gate in verdict.gates[1:]] == ["not applicable"] * 2
    assert place.read()["labels"]["status"] == f"not applicable (n = {n})"


def test_weak_thresholds_enter_no_gate(place: Place) -> None:
    """A finding whose threshold rests on too few val films is listed, marked and not judged."""
    place = dataclasses.replace(place, models=save_models(place.root / "models", weak=("Hernia", "Mass")))
    gates = (
        Gate("labels.shares.Hernia.ratio", max=1.0, min=None),
        Gate("agreement.Hernia.synthetic", max=None, min=0.0),
        Gate("by_finding.judge.Hernia.relative", max=1e9, min=None),
    )
    assert [gate.status for gate in place.run(gates=gates).gates] == ["not applicable"] * 3
    sections = place.read()["agreement"], place.read()["by_finding"]["judge"]
    for section in sections:
        assert {name for name in FINDINGS if not section[name]["judged"]} == {"Mass", "Hernia"}
    found = place.read()["labels"]
    assert found["not_judged"] == ["Mass", "Hernia"]
    assert {name for name, share in found["shares"].items() if not share["judged"]} == {"Mass", "Hernia"}


def test_labels_of_another_classifier_are_not_checked_against_this_ones(place: Place) -> None:
    """Without the classifier that labelled the images there is no like to compare with, and the protocol says so."""
    models = save_models(place.root / "models")
    save_model(models / "classifier.onnx", "classifier", seed=3)
    dataclasses.replace(place, models=models).run()
    metrics = place.read()
    assert "another classifier" in metrics["protocol"]["checks"]
    assert "label divergence" not in {line["name"] for line in metrics["checks"]["lines"]}


def test_phantoms_are_said(place: Place) -> None:
    """Films or images of phantoms mark the metrics."""
    place.run(synthetic=synthesise(place.root / "drawn", place.models, phantom=True))
    assert place.read()["phantom"] is True


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extractors": ("fid",)}, "evaluate.extractors: unknown extractor 'fid'; known: judge, efficientnet-lite0"),
        ({"gates": (Gate("distance.judge.fid", max=1.0, min=None),)}, "unknown metric 'distance.judge.fid'"),
        ({"gates": (Gate("distance.efficientnet-lite0.relative", max=4.0, min=None),)}, "unknown metric"),
        ({"n_bootstrap": 0}, "evaluate.n_bootstrap: must be at least 1"),
    ],
)
def test_parameters_that_mean_nothing_are_refused_first(place: Place, changes: dict[str, Any], says: str) -> None:
    """Before any work, and with nothing written."""
    with pytest.raises(ConfigError, match=says):
        place.run(**changes)
    assert not list(place.root.iterdir())


def test_a_missing_extractor_is_one_line_and_a_gate_on_it_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its packages EfficientNet-Lite0 says what to install; asked for by a gate, nothing runs."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    both = ("judge", "efficientnet-lite0")
    for section, key in (("distance", "relative"), ("coverage", "relative"), ("privacy", "share")):
        gate = Gate(f"{section}.efficientnet-lite0.{key}", max=4.0, min=None)
        with pytest.raises(ConfigError, match=r"evaluate.gates\[0\]: .* cannot be computed here: install it with"):
            place.run(extractors=both, gates=(gate,))
    assert not list(place.root.iterdir())
    assert place.run(extractors=both).passed
    for section in ("distance", "coverage", "privacy"):
        status = place.read()[section]["efficientnet-lite0"]["status"]
        assert status.startswith("not computed: install it with `pip install 'synthcxr[train]'`")


@pytest.mark.slow
@pytest.mark.skipif(
    efficientnet_lite0.missing() is not None, reason=f"EfficientNet-Lite0: {efficientnet_lite0.missing()}"
)
def test_lite0_compares_with_all_films_the_generator_saw(place: Place) -> None:
    """An ImageNet extractor saw no film: train and judge films are its training films."""
    place.run(extractors=("efficientnet-lite0",), gates=(), n_bootstrap=2)
    found = place.read()["distance"]["efficientnet-lite0"]
    assert (found["status"], found["n_train"], found["n_synthetic"]) == ("computed", 95, 90)
    assert found["digest"] == efficientnet_weights.LITE0.sha256


def test_a_damaged_image_is_named(place: Place) -> None:
    """An image whose bytes changed cannot be evaluated."""
    harmed = synthesise(place.root / "harmed", place.models, n=60)
    name = records.read_metadata(harmed)["file_name"][7]
    (harmed / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=f"{name} is absent or not the file that was made"):
        place.run(synthetic=harmed)


def test_what_does_not_fit_is_named(place: Place) -> None:
    """No films, no dataset, no judge, or a judge of another size: one line each."""
    with pytest.raises(DataError, match="run `synthcxr prepare` first"):
        dataclasses.replace(place, data=place.root / "none").run()
    with pytest.raises(DataError, match="is it a finished synthetic dataset"):
        place.run(synthetic=place.root / "none")
    with pytest.raises(ArtifactError, match="judge.onnx: no such model file"):
        dataclasses.replace(place, models=place.root / "none").run()
    larger = place.root / "larger"
    larger.mkdir()
    save_model(larger / "judge.onnx", "judge", seed=1, side=16)
    with pytest.raises(DataError, match="its images have 8 px, .*judge.onnx sees 16 px"):
        dataclasses.replace(place, models=larger).run()
    broken = synthesise(place.root / "broken", place.models, n=3)
    (broken / "run.json").write_text("{}")
    with pytest.raises(DataError, match="not the run.json of a dataset"):
        place.run(synthetic=broken)


@pytest.mark.slow
def test_the_stage_needs_no_torch_for_the_judge() -> None:
    """A machine that only generates and judges imports the stage without torch or mlflow."""
    code = "import sys; import synthcxr.stages.evaluate; print(*({'torch', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []

"""The report on hand-made results: what it says, what it never holds, and where it goes."""

from __future__ import annotations

import base64
import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthcxr.config.schema import ReportConfig
from synthcxr.data import images
from synthcxr.data.films import MANIFEST_FILE, SPLITS
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, to_metadata_row, write_metadata
from synthcxr.errors import DataError
from synthcxr.registry import client, connection, tracking_uri
from synthcxr.report import html
from synthcxr.stages import report
from synthcxr.storage import digests, json_files

CONFIG = ReportConfig(title="Chest films <64 px>", n_images=12)
SIDE = 64
N_IMAGES = 20

METRICS: dict[str, Any] = {
    "n_synthetic": 600,
    "n_real_test": 162,
    "phantom": False,
    "distance": {
        "judge": {
            "value": 31.24,
            "interval": [28.1, 35.0],
            "floor": 9.61,
            "floor_n": 162,
            "relative": 3.25,
            "relative_interval": [2.9, 3.8],
            "n_synthetic": 450,
            "n_train": 450,
            "n_test": 162,
            "extractor": "judge",
            "digest": "4f" * 32,
            "resize": "none, judge.onnx takes the image at 64 px",
            "status": "computed",
        },
        "efficientnet_lite0": {"status": "not computed: pip install 'synthcxr[train]'"},
    },
    "labels": {
        "total_variation": 0.183,
        "jensen_shannon": 0.0412,
        "kl": 0.12,
        "shares": {
            name: {
                "real": share,
                "real_interval": [max(0.0, share - 0.03), share + 0.03],
                "synthetic": share * 1.2,
                "synthetic_interval": [max(0.0, share * 1.2 - 0.02), share * 1.2 + 0.02],
                "ratio": 1.2 if share else None,
                "ratio_interval": [0.9, 1.6] if share else None,
                "n_real_positive": round(162 * share),
            }
            for name, share in zip((NO_FINDING, *FINDINGS), np.linspace(0.5, 0.0, 15).tolist(), strict=True)
        },
        "not_judged": ["Hernia"],
        "status": "computed",
    },
    "checks": {
        "failed": 0,
        "lines": [
            {
                "name": "files",
                "passed": True,
                "sentence": "Every file that is listed is there.",
                "rows": [],
                "found": "0 of 600 rows differ",
                "asked": "at most 0",
            },
            {
                "name": "digests",
                "passed": True,
                "sentence": "Every file has the digest that is listed.",
                "rows": [],
                "found": "0 of 600 rows differ",
                "asked": "at most 0",
            },
        ],
    },
    "protocol": {"distance": "450 synthetic images and 450 training films, each against all 162 test films."},
}
VERDICT: dict[str, Any] = {
    "passed": True,
    "gates": [
        {
            "metric": "distance.judge.relative",
            "value": 3.25,
            "threshold": 4.0,
            "direction": "max",
            "status": "passed",
            "sentence": "In judge features the images are 3.25 times as far from test films as training films are.",
        },
        {
            "metric": "labels.total_variation",
            "value": None,
            "threshold": 0.6,
            "direction": "max",
            "status": "not applicable",
            "sentence": "Label shares are compared for an unconditional set only.",
        },
    ],
}
RUN: dict[str, Any] = {
    "command": ["synthcxr", "generate", "--out", "a folder"],
    "model": {
        "name": "models/onnx",
        "digests": {"generator": "ab" * 32, "classifier": "cd" * 32},
        "training_data": "0123456789abcdef",
        "phantom": False,
        "resolution": SIDE,
        "attribution": ["Films: NIH Clinical Center, ChestX-ray14 (Wang et al. 2017)."],
    },
    "request": {"n": 600, "seed": 1, "labels": [], "max_draws": 600, "batch": 32},
    "counts": {"requested": 600, "found": 600, "draws": 600, "acceptance_rate": 1.0},
    "complete": True,
    "provider": "CPUExecutionProvider",
    "versions": {"synthcxr": "0.1.0", "onnxruntime": "1.31.0"},
    "git_revision": "f367bd1",
    "dvc": {"DVC_STAGE": "generate"},
    "wall_s": 12.3,
    "format": "png",
}


def write_results(folder: Path, *, metrics: dict[str, Any] = METRICS, verdict: dict[str, Any] = VERDICT) -> Path:
    """A results folder as the stages leave it."""
    json_files.write_json(folder / "metrics.json", metrics)
    json_files.write_json(folder / "verdict.json", verdict)
    steps = np.arange(1, 901)
    rows = ["nimg,resolution,alpha,lr,loss_d,loss_g,penalty,real_logit,synthetic_logit,images_per_s,wall_s"]
    for step in steps:
        side = 4 << int(min(4, step // 180))
        noise = float(np.sin(step) / 5)
        rows.append(
            f"{step * 1000},{side},1,0.002,{1.2 + noise},{1 + step / 900 + noise},0.1,1,-1,{4000 / side},{step}"
        )
    (folder / "train_gan.csv").write_text("\n".join(rows) + "\n")
    for name, shift in (("classifier", 0.0), ("judge", -0.03)):
        log = ["epoch,loss,val_loss,val_auroc_mean,lr,wall_s"]
        log += [f"{e},0.4,0.5,{0.7 + shift - 0.2 / e:.4f},0.001,{e}" for e in range(1, 13)]
        (folder / f"train_{name}.csv").write_text("\n".join(log) + "\n")
    return folder


def write_dataset(folder: Path, *, run: dict[str, Any] = RUN) -> Path:
    """A synthetic dataset of drawn gradients."""
    rng = np.random.default_rng(3)
    rows = []
    for index in range(N_IMAGES):
        y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
        lungs = np.exp(-(((abs(x - 0.5) - 0.22) / 0.12) ** 2 + ((y - 0.5) / 0.3) ** 2))
        png = images.encode_png(images.quantise((0.8 - 0.6 * lungs + rng.normal(0, 0.03, x.shape)).astype(np.float32)))
        name = f"images/00000/{index:08d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png)
        findings = (NO_FINDING,) if index % 3 else ("Effusion", "Pleural_Thickening")
        rows.append(
            to_metadata_row(ImageRecord(name, index, 1, "", findings, (0.1,) * 14, 1.0, digests.sha256_bytes(png)))
        )
    write_metadata(folder / METADATA_FILE, rows)
    json_files.write_json(folder / RUN_FILE, run)
    return folder


def write_films(folder: Path) -> Path:
    """A packed dataset of flat films, four a split, each of its own grey."""
    n = 16
    splits = [name for name in SPLITS for _ in range(n // 4)]
    films = pd.DataFrame(
        {
            "image_index": [f"{row:08d}_000.png" for row in range(n)],
            "patient_id": [str(row) for row in range(n)],
            "source": "nih",
            "view": "PA",
            "split": splits,
            "size": SIDE,
            "sha256": "",
        }
        | dict.fromkeys(FINDINGS, 0.0)
    )
    folder.mkdir(parents=True)
    films.to_parquet(folder / MANIFEST_FILE)
    y = np.linspace(0, 1, SIDE)
    pixels = np.stack([np.outer(y ** (1 + row), np.ones(SIDE)) * 255 for row in range(n)]).astype(np.uint8)
    np.save(folder / "images_0064.npy", pixels)
    np.save(folder / "rows_0064.npy", np.arange(n))
    about = {"fingerprint": "f", "resolution": SIDE, "phantom": False, "sources": [], "counts": {}, "attribution": []}
    json_files.write_json(folder / "dataset.json", about)
    return folder


class Page(HTMLParser):
    """What a browser would see: text, tags, and every address that the page points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        held = dict(attrs)
        if tag == "img":
            self.images.append(held)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """The words, single-spaced."""
        return " ".join(" ".join(self.words).split())


def make(folder: Path, **changed: Any) -> Page:
    """The report of hand-made results, read back."""
    results = write_results(folder / "results", **{k: v for k, v in changed.items() if k in {"metrics", "verdict"}})
    dataset = write_dataset(folder / "synthetic", run=changed.get("run", RUN))
    written = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)
    assert written == (results / "report.html",)
    return Page(written[0].read_text(encoding="utf-8"))


def test_says_what_was_made_with_what(tmp_path: Path) -> None:
    """Verdict, request, distance with floor and N, digests, command, revision and attribution stand on the page."""
    text = make(tmp_path).text
    assert "The one gate passed; 1 gate not applicable" in text
    assert "600 synthetic images of 64 px" in text
    assert "3.25 (2.9 to 3.8)" in text
    assert "9.61 (n = 162)" in text
    assert "450 / 450 / 162" in text
    assert "not computed: pip install 'synthcxr[train]'" in text
    assert "ab" * 32 in text
    assert "synthcxr generate --out 'a folder'" in text
    assert "f367bd1" in text
    assert "NIH Clinical Center" in text
    assert "Registered no" in text


def test_needs_nothing_beside_it(tmp_path: Path) -> None:
    """No script, no address but data URIs and places within the page, every image with a text, titles escaped."""
    page = make(tmp_path)
    assert "script" not in page.tags
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert len(page.images) == CONFIG.n_images
    assert all(image["alt"] for image in page.images)
    assert "Chest films <64 px>" in page.text


def test_same_results_same_bytes(tmp_path: Path) -> None:
    """The page holds no clock and no random ids."""
    make(tmp_path / "a")
    make(tmp_path / "b")
    one, other = ((tmp_path / name / "results/report.html").read_bytes() for name in "ab")
    assert one == other


def test_a_failed_gate_stands_on_top(tmp_path: Path) -> None:
    """The headline names the gate that failed, before anything else is said."""
    verdict = copy.deepcopy(VERDICT) | {"passed": False}
    verdict["gates"][0] |= {"status": "failed", "value": 6.5}
    text = make(tmp_path, verdict=verdict).text
    assert "1 of 1 gate failed;" in text
    assert text.index("failed") < text.index("synthetic images of")
    assert "distance.judge.relative = 6.5, at most 4" in text


def test_is_logged_to_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that registered.json names gets the report, and never the private one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri.embedded_uri()
    client = connection.connect(uri, create=True)
    with connection.translate_errors(uri):
        run_id = client.create_run(connection.get_or_create_experiment(client, uri, "reports")).info.run_id
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    registered = {"run_id": run_id, "versions": {"synthcxr-generator": "1"}, "champion": False, "why": "no gate"}
    json_files.write_json(results / "registered.json", registered | {"tracking_uri_kind": "embedded"})
    films = write_films(tmp_path / "cxr")
    report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=films)
    with connection.translate_errors(uri):
        assert [file.path for file in client.list_artifacts(run_id)] == ["report.html"]
    text = Page((results / "report.html").read_text(encoding="utf-8")).text
    assert "synthcxr-generator version 1" in text
    assert "no: no gate" in text


GENERATOR, JUDGE = "ab" * 32, "4f" * 32
RANK: dict[str, Any] = {"value": 0.61, "interval": [0.55, 0.66], "by_seed": [0.6, 0.62]}
UTILITY: dict[str, Any] = {
    "generator": GENERATOR,
    "arms": {
        arm: {"n_images": n, "ranks": {"Edema": RANK | {"value": 0.7}, "mean": RANK}}
        for arm, n in (("real + synthetic", 96), ("real only", 48), ("real twice", 96), ("synthetic only", 48))
    },
    "differences": {"synthetic only - real only": {"value": -0.021, "interval": [-0.05, 0.011]}},
    "over": ["Edema"],
    "n_positive": {"Edema": 23},
    "n_test": 162,
    "n_patients": 120,
    "training": {"n_seeds": 2, "n_epochs": 8},
}
LEVELS: list[dict[str, Any]] = [
    {"level": at, "value": 1 + at, "interval": [at, 2 + at], "rise": at, "rise_interval": [0, 2 * at]} for at in (0, 1)
]
DISTURB: dict[str, Any] = {
    "extractors": {
        "judge": {
            "digest": JUDGE,
            "passed": False,
            "disturbances": {"swirl": {"levels": LEVELS, "grows": "no"}, "noise": {"levels": LEVELS, "grows": "yes"}},
        },
        "inception": {"status": "not computed: download it"},
    }
}
OF_MODELS = METRICS | {"models": {"generator": GENERATOR, "judge": JUDGE}}


def write_trials(results: Path) -> None:
    """What `synthcxr utility` and `disturb` leave below a results folder."""
    json_files.write_json(results / "utility/utility.json", UTILITY)
    json_files.write_json(results / "disturb/disturb.json", DISTURB)


def test_trials_stand_in_the_report(tmp_path: Path) -> None:
    """The training's AUROC by finding with intervals and differences, and whether each distance may be trusted."""
    results, dataset = write_results(tmp_path / "results", metrics=OF_MODELS), write_dataset(tmp_path / "synthetic")
    write_trials(results)
    (out,) = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)
    text = Page(out.read_text(encoding="utf-8")).text
    assert "synthetic only - real only: -0.021 (-0.050 to +0.011)." in text
    assert "real only synthetic only real twice real + synthetic images learned from 48 48 96 96 mean" in text
    assert "Edema (23) 0.700 (0.550 to 0.660)" in text
    assert "Judge features: the distance does not grow at every step, so that" in text
    assert "noise yes swirl no" in text


def test_trials_of_other_models_are_left_out(tmp_path: Path) -> None:
    """What was tried with another generator and another judge is not this set's, and the page says how to try it."""
    other = METRICS | {"models": {"generator": "cc" * 32, "judge": JUDGE}}
    other["distance"] = {"judge": METRICS["distance"]["judge"] | {"digest": "dd" * 32}}
    results, dataset = write_results(tmp_path / "results", metrics=other), write_dataset(tmp_path / "synthetic")
    write_trials(results)
    (out,) = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)
    text = Page(out.read_text(encoding="utf-8")).text
    assert "was not tried: synthcxr utility" in text and "<code>synthcxr utility</code>" in out.read_text()
    assert "was not tried: synthcxr disturb" in text


@pytest.mark.slow
def test_trials_are_logged_to_the_version_that_they_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Utility judges the generator's version, the disturbances the judge's; a second report logs nothing again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri.embedded_uri()
    client, models = connection.connect(uri, create=True), {}
    with connection.translate_errors(uri), connection.use_tracking_uri(uri):
        experiment = connection.get_or_create_experiment(client, uri, "reports")
        run_id = client.create_run(experiment).info.run_id
        for name, digest in (("synthcxr-generator", GENERATOR), ("synthcxr-judge", "ee" * 32)):
            client.create_registered_model(name)
            model_id = client.create_logged_model(experiment, name=name, source_run_id=run_id).model_id
            tags = {fetch.DIGEST_TAG: digest}
            client.create_model_version(name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id)
            models[name] = model_id
    results, dataset = write_results(tmp_path / "results", metrics=OF_MODELS), write_dataset(tmp_path / "synthetic")
    write_trials(results)
    registered = {"run_id": run_id, "versions": dict.fromkeys(models, "1"), "champion": False, "why": ""}
    json_files.write_json(results / "registered.json", registered)
    for _ in range(2):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)
    with connection.translate_errors(uri):
        held = {
            name: {metric.key: metric.value for metric in client.get_logged_model(model_id).metrics or ()}
            for name, model_id in models.items()
        }
        history = client.get_metric_history(run_id, "utility.arms.synthetic only.ranks.mean.value")
    assert held["synthcxr-generator"]["utility.arms.synthetic only.ranks.mean.value"] == 0.61
    assert not held["synthcxr-judge"]  # its version has another digest than the judge that was tried
    assert len(history) == 1


@pytest.mark.parametrize("where", ["metrics", "run"])
def test_phantoms_are_called_phantoms(tmp_path: Path, where: str) -> None:
    """Whatever was made from drawn films says so on top."""
    metrics, run = copy.deepcopy(METRICS), copy.deepcopy(RUN)
    (metrics if where == "metrics" else run["model"])["phantom"] = True
    assert "say nothing about realism" in make(tmp_path, metrics=metrics, run=run).text


def test_a_short_set_says_so(tmp_path: Path) -> None:
    """A set that ran out of draws names what was found and what was asked."""
    run = copy.deepcopy(RUN) | {"complete": False}
    run["request"]["labels"] = ["Hernia"]
    run["counts"] = {"requested": 600, "found": 20, "draws": 60000, "acceptance_rate": 20 / 60000}
    text = make(tmp_path, run=run).text
    assert "20 of 600 images were found in 60,000 draws" in text
    assert "each labelled Hernia" in text


def test_too_few_films_for_a_distance(tmp_path: Path) -> None:
    """Values that could not be had are dashes and a sentence with N, not a crash or a nan."""
    metrics = copy.deepcopy(METRICS)
    nothing = dict.fromkeys(("value", "interval", "floor", "relative", "relative_interval"))
    metrics["distance"]["judge"] |= nothing | {"n_test": 10, "status": "not applicable (n = 10)"}
    empty: dict[str, Any] = dict.fromkeys(("total_variation", "jensen_shannon", "kl"))
    metrics["labels"] = empty | {"shares": {}, "not_judged": [], "status": "not applicable (n = 10)"}
    text = make(tmp_path, metrics=metrics).text
    assert "Judge features: not applicable (n = 10)" in text
    assert "Label shares: not applicable (n = 10)" in text
    assert "nan" not in text.lower().split()


def test_real_films_only_in_the_private_file(tmp_path: Path) -> None:
    """With films it writes a second file, marked private; the first is what it was, without a pixel of a film."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    films, out = write_films(tmp_path / "cxr"), results / "report.html"
    report.run(CONFIG, results=results, dataset=dataset, out=out, with_films=None)
    alone = out.read_bytes()
    written = report.run(CONFIG, results=results, dataset=dataset, out=out, with_films=films)
    assert written == (out, results / "report-private.html")
    assert out.read_bytes() == alone
    private = Page(written[1].read_text(encoding="utf-8"))
    assert "Private: this file shows real films" in private.text
    real = np.load(films / "images_0064.npy")
    shown = [_pixels(image["src"] or "") for image in private.images]
    assert any(np.array_equal(pixels, film) for pixels in shown for film in real[-4:])
    public = [_pixels(image["src"] or "") for image in Page(alone.decode()).images]
    assert not any(np.array_equal(pixels, film) for pixels in public for film in real)


SPACE: dict[str, Any] = {
    "status": "computed",
    "n": 20,
    "share": 0.05,
    "share_interval": [0.01, 0.2],
    "n_below_null": 1,
    "median_ratio": 0.98,
    "median_ratio_interval": [0.9, 1.1],
    "detectable": 0.12,
    "found": {"exact": {"share": 1.0, "interval": [0.9, 1.0], "n": 60}},
    "attack": {"auroc": 0.52, "interval": [0.47, 0.57], "low": 0.47, "n_members": 8, "n_controls": 8},
    "duplicates": {"share": 0.0, "share_interval": [0.0, 0.16]},
    "pairs": [
        {"image": "images/00000/00000003.png", "film": 2, "distance": 0.1, "rank": 0.0},
        {"image": "images/00000/00000007.png", "film": 5, "distance": 0.4, "rank": 0.25},
    ],
}


def test_copies_stand_as_numbers(tmp_path: Path) -> None:
    """Each space with its figures, what a set of this size can show, and the closest pairs without a picture."""
    absent = {"status": "not computed: install it"}
    privacy = {"status": "computed", "n_flagged_in_any": 1, "pixels": SPACE, "efficientnet-lite0": absent}
    page = make(tmp_path, metrics=METRICS | {"privacy": privacy})
    assert "5.0 % (1.0 to 20.0) 1 of 20 0.98 (0.9 to 1.1) exact 100.0 % 0.52 (0.47 to 0.57) 0.0 %" in page.text
    assert "where they are 12.0 % of it or more" in page.text
    assert "images/00000/00000003.png 2 0.1 0.0 %" in page.text
    assert "efficientnet-lite0: not computed: install it." in page.text
    assert len(page.images) == CONFIG.n_images


def test_the_closest_pairs_show_in_the_private_file(tmp_path: Path) -> None:
    """Each image beside the very film that evaluate named, the closest first, and a smaller film at its own size."""
    results = write_results(tmp_path / "results", metrics=METRICS | {"privacy": {"status": "", "pixels": SPACE}})
    run = copy.deepcopy(RUN)
    run["model"]["training_data"] = "f"
    dataset, films = write_dataset(tmp_path / "synthetic", run=run), write_films(tmp_path / "cxr")
    pixels, first, second = np.load(films / "images_0064.npy"), *(pair["film"] for pair in SPACE["pairs"])
    named = pixels[first], pixels[second, ::2, ::2]
    for side, rows in ((64, np.delete(np.arange(16), second)), (32, np.arange(16))):
        np.save(films / f"images_00{side}.npy", pixels[rows][:, :: 64 // side, :: 64 // side])
        np.save(films / f"rows_00{side}.npy", rows)
    written = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=films)
    private = Page(written[1].read_text(encoding="utf-8"))
    assert "The 2 closest in pixels" in private.text
    shown = [_pixels(image["src"] or "") for image in private.images[CONFIG.n_images :][:4]]
    for made, film, pair, real in zip(shown[::2], shown[1::2], SPACE["pairs"], named, strict=True):
        assert np.array_equal(made, images.decode_png((dataset / pair["image"]).read_bytes()))
        assert np.array_equal(film, real)


LABELLER: dict[str, Any] = {
    "agreement": {
        "status": "computed",
        "Mass": {
            "synthetic": 0.4,
            "synthetic_interval": [0.3, 0.5],
            "n_synthetic": 90,
            "real": None,
            "real_interval": None,
            "n_real": 7,
            "judged": False,
        },
        "Edema": {
            "synthetic": 0.8,
            "synthetic_interval": [0.7, 0.9],
            "n_synthetic": 60,
            "real": 0.5,
            "real_interval": [0.4, 0.6],
            "n_real": 30,
        },
    },
    "classifier": {
        "status": "computed",
        "n_films": 162,
        "mean_auroc": {"value": 0.72, "interval": [0.68, 0.77]},
        "within_source": {"value": 0.71, "interval": [0.67, 0.76]},
        "source_and_view_alone": {"value": 0.66, "interval": [0.61, 0.71]},
        "auroc": {"Edema": {"value": 0.883, "interval": [0.81, 0.94], "n_positive": 23}},
    },
    "by_finding": {
        "judge": {
            "Edema": {
                "status": "computed",
                "value": 40.0,
                "interval": [30.0, 50.0],
                "floor": 20.0,
                "relative": 2.0,
                "relative_interval": [1.5, 2.5],
                "n_synthetic": 60,
                "n_train": 80,
                "n_test": 55,
            },
            "Mass": {"status": "not applicable (n = 12)", "n_test": 12},
        },
        "efficientnet-lite0": {"status": "not computed: install it"},
    },
}


def test_the_labeller_and_each_finding_stand_in_the_report(tmp_path: Path) -> None:
    """Agreement with N, the requested finding first; the classifier's AUROC; the distance of a finding with films."""
    run = copy.deepcopy(RUN)
    run["request"]["labels"] = ["Edema"]
    text = make(tmp_path, metrics=METRICS | LABELLER, run=run).text
    assert "Edema (requested) 80.0 % (70.0 to 90.0) 60 50.0 % (40.0 to 60.0) 30 Mass * 40.0 %" in text
    assert "* A threshold rests on too few val films." in text
    assert "90 – 7" in text
    assert "0.720 (0.680 to 0.770); among films of one source 0.710 (0.670 to 0.760). Source and view alone" in text
    assert "Edema 0.883 (0.810 to 0.940) 23" in text
    assert "Edema Judge features 40 (30 to 50) 20 2 (1.5 to 2.5) 60 / 80 / 55" in text
    assert "Mass Judge features" not in text


def test_labels_are_tested_and_held_against_another_prevalence(tmp_path: Path) -> None:
    """Chance and size of the difference in words, the ratio with its interval, and a prevalence that was asked for."""
    metrics = copy.deepcopy(METRICS)
    ratio = {"ratio": 0.7, "ratio_interval": [0.6, 0.8]}
    shares = {name: {"reference": 0.123} | ratio for name in (NO_FINDING, *FINDINGS)}
    metrics["labels"] |= {
        "test": {"p_value": 0.004, "cramers_v": 0.15, "effect": "small", "n_permutations": 999},
        "cooccurrence": {"difference": 0.013, "correlation": 0.9},
        "prevalence": {"name": "the whole NIH", "shares": shares, "total_variation": 0.3, "jensen_shannon": 0.1},
    }
    text = make(tmp_path, metrics=metrics).text
    assert "has p = 0.004; its size is small: Cramer's V 0.15" in text
    assert "1.2 (0.9 to 1.6)" in text
    assert "Against the whole NIH: total variation 0.3" in text
    assert "12.3 % 0.7 (0.6 to 0.8)" in text
    assert "differs by 1.3 % of images" in text


def test_what_must_hold_stands_apart_from_what_is_scored(tmp_path: Path) -> None:
    """Checks with value and bound under one heading, scored gates under the other, and no check among the scores."""
    verdict = copy.deepcopy(VERDICT)
    gate = {"metric": "checks.failed", "value": 0.0, "threshold": 0.0, "direction": "max", "status": "passed"}
    verdict["gates"].append(gate | {"sentence": "Checks that failed: 0."})
    text = make(tmp_path, verdict=verdict).text
    diagnostic, quality = text.split("Quality: what is scored")
    assert "✓ passed Every file that is listed is there. 0 of 600 rows differ; asked: at most 0" in diagnostic
    assert "distance.judge.relative = 3.25, at most 4" in quality
    assert "Checks that failed" not in text


def _pixels(address: str) -> np.ndarray[Any, Any]:
    return images.decode_png(base64.b64decode(address.removeprefix("data:image/png;base64,")))


def test_large_images_are_reduced(tmp_path: Path) -> None:
    """A grid of large images does not make a page of many megabytes."""
    shown = html.picture(np.zeros((1024, 1024), np.uint8), alt="a", caption="b")
    assert _pixels(shown.source).shape == (128, 128)


@pytest.mark.parametrize("name", ["metrics.json", "verdict.json"])
def test_without_results_says_what_to_run(tmp_path: Path, name: str) -> None:
    """An evaluation that is not there is one plain line, and nothing is written."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    (results / name).unlink()
    with pytest.raises(DataError, match=rf"holds no {re.escape(name)}; run `synthcxr evaluate` first"):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)
    assert not (results / "report.html").exists()


def test_results_of_another_version(tmp_path: Path) -> None:
    """JSON without the keys of today is a plain line, not a KeyError."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    (results / "metrics.json").write_text(json.dumps({"phantom": True}))
    with pytest.raises(DataError, match="of another version"):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)


def test_without_training_logs(tmp_path: Path) -> None:
    """A report on pulled models has no training section, and everything else."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    for log in results.glob("train_*.csv"):
        log.unlink()
    (out,) = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", with_films=None)
    text = Page(out.read_text(encoding="utf-8")).text
    assert "Training data" in text
    assert "GAN: losses" not in text


def test_the_grid_shows_the_first_images_as_they_are(tmp_path: Path) -> None:
    """Small images are on the page pixel for pixel, in the order of the dataset."""
    page = make(tmp_path)
    with Image.open(tmp_path / "synthetic/images/00000/00000001.png") as image:
        assert np.array_equal(_pixels(page.images[1]["src"] or ""), np.asarray(image))

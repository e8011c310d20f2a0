"""Evaluation results, a synthetic dataset and films, written by hand, and the report page read back."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from support.run_json import build_run

from synthcxr.config.schema import ReportConfig
from synthcxr.data import images
from synthcxr.data.films import MANIFEST_FILE, SPLITS
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, ImageRecord, to_metadata_row, write_metadata
from synthcxr.stages import report
from synthcxr.storage import digests, json_files

CONFIG = ReportConfig(title="Chest films <64 px>", n_images=12)
SIDE = 64
N_IMAGES = 20
N_FILMS = 16
GENERATOR_DIGEST, JUDGE_DIGEST = "ab" * 32, "4f" * 32

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
            "digest": JUDGE_DIGEST,
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
                "name": name,
                "passed": True,
                "sentence": sentence,
                "rows": [],
                "found": "0 of 600 rows differ",
                "asked": "at most 0",
            }
            for name, sentence in (("files", "every listed file exists"), ("digests", "every digest is as listed"))
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
            "sentence": "Relative Fréchet distance in judge features: 3.25, target at most 4: passed.",
        },
        {
            "metric": "labels.total_variation",
            "value": None,
            "threshold": 0.6,
            "direction": "max",
            "status": "not applicable",
            "sentence": "Total variation of the labels: not applicable (the images were requested by label).",
        },
    ],
}
RUN = build_run(
    600,
    model={
        "digests": {"generator": GENERATOR_DIGEST, "classifier": "cd" * 32},
        "training_data": "0123456789abcdef",
        "resolution": SIDE,
        "attribution": ["Films: NIH Clinical Center, ChestX-ray14 (Wang et al. 2017)."],
    },
    command=["synthcxr", "generate", "--out", "a folder"],
    versions={"synthcxr": "0.1.0", "onnxruntime": "1.31.0"},
    git_revision="f367bd1",
    dvc={"DVC_STAGE": "generate"},
    wall_s=12.3,
)
PIXEL_SPACE: dict[str, Any] = {
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

_ESTIMATE: dict[str, Any] = {"value": 0.61, "interval": [0.55, 0.66], "by_seed": [0.6, 0.62]}
_UTILITY: dict[str, Any] = {
    "generator": GENERATOR_DIGEST,
    "arms": {
        arm: {"n_images": n, "ranks": {"Edema": _ESTIMATE | {"value": 0.7}, "mean": _ESTIMATE}}
        for arm, n in (("real + synthetic", 96), ("real only", 48), ("real twice", 96), ("synthetic only", 48))
    },
    "differences": {"synthetic only - real only": {"value": -0.021, "interval": [-0.05, 0.011]}},
    "over": ["Edema"],
    "n_positive": {"Edema": 23},
    "n_test": 162,
    "n_patients": 120,
    "training": {"n_seeds": 2, "n_epochs": 8},
}
_LEVELS: list[dict[str, Any]] = [
    {"level": level, "value": 1 + level, "interval": [level, 2 + level], "rise": level, "rise_interval": [0, 2 * level]}
    for level in (0, 1)
]
_DISTURB: dict[str, Any] = {
    "extractors": {
        "judge": {
            "digest": JUDGE_DIGEST,
            "passed": False,
            "disturbances": {"swirl": {"levels": _LEVELS, "grows": "no"}, "noise": {"levels": _LEVELS, "grows": "yes"}},
        },
        "inception": {"status": "not computed: download it"},
    }
}


def write_results(folder: Path, *, metrics: dict[str, Any] = METRICS, verdict: dict[str, Any] = VERDICT) -> Path:
    """Write a results folder as the stages leave it, with training logs."""
    json_files.write_json(folder / "metrics.json", metrics)
    json_files.write_json(folder / "verdict.json", verdict)
    rows = ["nimg,resolution,alpha,lr,loss_d,loss_g,penalty,real_logit,synthetic_logit,images_per_s,wall_s"]
    for step in np.arange(1, 901):
        side = 4 << int(min(4, step // 180))
        noise = float(np.sin(step) / 5)
        rows.append(
            f"{step * 1000},{side},1,0.002,{1.2 + noise},{1 + step / 900 + noise},0.1,1,-1,{4000 / side},{step}"
        )
    (folder / "train_gan.csv").write_text("\n".join(rows) + "\n")
    for name, shift in (("classifier", 0.0), ("judge", -0.03)):
        log = ["epoch,loss,val_loss,val_auroc_mean,lr,wall_s"]
        log += [f"{epoch},0.4,0.5,{0.7 + shift - 0.2 / epoch:.4f},0.001,{epoch}" for epoch in range(1, 13)]
        (folder / f"train_{name}.csv").write_text("\n".join(log) + "\n")
    return folder


def write_experiments(results: Path) -> None:
    """Write what `synthcxr utility` and `synthcxr disturb` leave below a results folder."""
    json_files.write_json(results / "utility/utility.json", _UTILITY)
    json_files.write_json(results / "disturb/disturb.json", _DISTURB)


def write_dataset(folder: Path, *, run: dict[str, Any] = RUN) -> Path:
    """Write a synthetic dataset of N_IMAGES images with random noise."""
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
    """Write packed films, N_FILMS in all, as many in each split; each film is another gradient."""
    splits = [name for name in SPLITS for _ in range(N_FILMS // len(SPLITS))]
    films = pd.DataFrame(
        {
            "image_index": [f"{row:08d}_000.png" for row in range(N_FILMS)],
            "patient_id": [str(row) for row in range(N_FILMS)],
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
    pixels = np.stack([np.outer(y ** (1 + row), np.ones(SIDE)) * 255 for row in range(N_FILMS)]).astype(np.uint8)
    np.save(folder / "images_0064.npy", pixels)
    np.save(folder / "rows_0064.npy", np.arange(N_FILMS))
    about = {"fingerprint": "f", "resolution": SIDE, "phantom": False, "sources": [], "counts": {}, "attribution": []}
    json_files.write_json(folder / "dataset.json", about)
    return folder


class Page(HTMLParser):
    """A page as a browser reads it: its text, tags, images, and all addresses that it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    @classmethod
    def read(cls, path: Path) -> Page:
        """Read an HTML file."""
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """The text with single spaces."""
        return " ".join(" ".join(self.words).split())

    @property
    def pixels(self) -> list[NDArray[np.uint8]]:
        """The pixels of every image."""
        return [decode_data_uri(image["src"] or "") for image in self.images]


def decode_data_uri(address: str) -> NDArray[np.uint8]:
    """The pixels of a PNG in a data URI."""
    return images.decode_png(base64.b64decode(address.removeprefix("data:image/png;base64,")))


def write_report(
    folder: Path,
    *,
    metrics: dict[str, Any] = METRICS,
    verdict: dict[str, Any] = VERDICT,
    run: dict[str, Any] = RUN,
    has_experiments: bool = False,
) -> Page:
    """Write results, a dataset and their report into `folder`, and read the report."""
    results = write_results(folder / "results", metrics=metrics, verdict=verdict)
    if has_experiments:
        write_experiments(results)
    dataset = write_dataset(folder / "synthetic", run=run)
    out = results / "report.html"
    assert report.run(CONFIG, results=results, dataset=dataset, out=out, films=None) == (out,)
    return Page.read(out)

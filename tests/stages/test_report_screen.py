"""The report as a browser shows it: opened in headless Chromium at the widths of a phone and of a desk."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.paths import REPOSITORY

from synthcxr.config.schema import ReportConfig
from synthcxr.stages import evaluate, generate, report
from synthcxr.storage import json_files

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
PHONE_PX, DESK_PX = 390, 1280
LONG_PX, SCREEN_PX = 16000, 1000
SHIPPED = REPOSITORY / "docs" / "results"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole report on drawn films, generated, evaluated and written by the stages, as long as a report can be."""
    root = tmp_path_factory.mktemp("page")
    generate.run(
        trained.config.generate,
        model=trained.onnx,
        out=root / "synthetic",
        model_name="models/onnx",
        force=False,
        append=False,
        dry_run=False,
        copy_filter=None,
        command=["synthcxr", "generate"],
    )
    evaluate.run(
        trained.config.evaluate,
        films=trained.data,
        models=trained.onnx,
        dataset=root / "synthetic",
        out=root / "results",
        features_cache=root / "cache",
    )
    for log in trained.results.glob("train_*.csv"):
        shutil.copy(log, root / "results")
    fill(root / "results")
    config = ReportConfig(title="Drawn phantoms, 16 px", n_images=24)
    report.run(config, results=root / "results", dataset=root / "synthetic", out=root / "report.html", with_films=None)
    return root / "report.html"


def fill(results: Path) -> None:
    """What only many films and hours give: figures and trials of the models that ship, as if they were of these."""
    metrics, shipped = (json_files.read_json(f / "metrics.json") for f in (results, SHIPPED / "starter"))
    metrics |= {name: shipped[name] for name in ("distance", "by_finding", "agreement", "classifier")}
    json_files.write_json(results / "metrics.json", metrics)
    tried = json_files.read_json(SHIPPED / "disturb/starter/disturb.json")
    for name, held in tried["extractors"].items():
        held["digest"] = metrics["distance"].get(name, held)["digest"]
    json_files.write_json(results / "disturb/disturb.json", tried)
    used = json_files.read_json(SHIPPED / "utility/utility.json")
    json_files.write_json(results / "utility/utility.json", used | {"generator": metrics["models"]["generator"]})


def browse(page: Path, *options: str) -> str:
    """What Chromium prints; it has no network to reach and a profile of the test's own."""
    assert CHROMIUM is not None
    profile = page.parent / "profile"
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}")
    done = subprocess.run(
        [CHROMIUM, *fixed, *options, page.as_uri()], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout


@pytest.mark.parametrize("width", [PHONE_PX, DESK_PX])
def test_it_fits_the_screen(page: Path, width: int) -> None:
    """Nothing is wider than the screen but what scrolls by itself, and ink stands on a light page, down to its end."""
    framed = page.parent / f"framed-{width}.html"
    measured = "document.title = JSON.stringify([f.contentDocument.documentElement.scrollWidth, f.clientWidth])"
    framed.write_text(
        f'<title></title><iframe id="f" src="{page.name}" width="{width}" height="800" style="border:0"'
        f" onload=\"const f = document.getElementById('f'); {measured}\"></iframe>"
    )
    shown = browse(framed, "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=5000")
    needed, there = json.loads(shown.partition("<title>")[2].partition("</title>")[0])
    assert there == width
    assert needed <= there
    shot = page.parent / f"{width}.png"
    browse(page, f"--window-size={max(width, 500)},{LONG_PX}", f"--screenshot={shot}")
    with Image.open(shot) as image:
        grey = np.asarray(image.convert("L"))
    written = grey[: np.flatnonzero((grey < 100).any(axis=1)).max()]
    for start in range(0, len(written) - SCREEN_PX, SCREEN_PX):
        screen = written[start : start + SCREEN_PX]
        assert np.median(screen) > 200
        assert 0.002 < (screen < 100).mean() < 0.6


def test_dark_is_dark_and_legible(page: Path) -> None:
    """Where the reader's system is dark the page is, with light ink, figures included."""
    shot = page.parent / "dark.png"
    browse(page, f"--window-size={DESK_PX},1600", "--blink-settings=preferredColorScheme=0", f"--screenshot={shot}")
    with Image.open(shot) as image:
        grey = np.asarray(image.convert("L"))
    assert np.median(grey) < 60
    assert (grey > 180).mean() > 0.01


def test_it_prints(page: Path) -> None:
    """A few pages of PDF."""
    pdf = page.parent / "report.pdf"
    browse(page, f"--print-to-pdf={pdf}")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.read_bytes().count(b"/Type /Page\n") + pdf.read_bytes().count(b"/Type /Page ") < 30


def test_everything_seen_is_said(page: Path) -> None:
    """Every picture and figure has words for who cannot see it; both kinds of line stand apart."""
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == text.count('<img src="data:image/png;base64,') == text.count(' alt="Synthetic')
    assert text.count('<figure role="img" aria-label="') >= 4
    assert 'aria-label="Mean AUROC on real test films: ' in text
    assert 'aria-label="Distance over level of six disturbances: ' in text
    for heading in (
        "Diagnostic: what must hold",
        "Quality: what is scored",
        "Does the judge agree",
        "Does it rank real films",
        "Variety",
        "By finding, as the judge calls both",
        "May these distances be trusted",
        "Copies of films",
        "What the images are good for",
    ):
        assert f">{heading}</h" in text

"""The report in headless Chromium, at the widths of a phone and of a desktop screen."""

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
PHONE_PX, DESKTOP_PX = 390, 1280
LONG_PX, SCREEN_PX = 16000, 1000
MAX_PRINTED_PAGES = 6
SHIPPED = REPOSITORY / "docs" / "results"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section, on phantoms, from the stages generate, evaluate and report."""
    root = tmp_path_factory.mktemp("page")
    generate.run(
        trained.config.generate,
        model=trained.onnx,
        out=root / "synthetic",
        model_name="models/onnx",
        force=False,
        append=False,
        dry_run=False,
        build_copy_filter=None,
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
    add_shipped_figures(root / "results")
    config = ReportConfig(title="Drawn phantoms, 16 px", n_images=24)
    report.run(config, results=root / "results", dataset=root / "synthetic", out=root / "report.html", films=None)
    return root / "report.html"


def add_shipped_figures(results: Path) -> None:
    """Add figures that need many films and hours: those of the starter models, as if they were of these models."""
    metrics, shipped = (json_files.read_json(folder / "metrics.json") for folder in (results, SHIPPED / "starter"))
    metrics |= {name: shipped[name] for name in ("distance", "by_finding", "agreement", "classifier")}
    json_files.write_json(results / "metrics.json", metrics)
    disturb = json_files.read_json(SHIPPED / "disturb/starter/disturb.json")
    for name, entry in disturb["extractors"].items():
        entry["digest"] = metrics["distance"].get(name, entry)["digest"]
    json_files.write_json(results / "disturb/disturb.json", disturb)
    utility = json_files.read_json(SHIPPED / "utility/utility.json")
    json_files.write_json(results / "utility/utility.json", utility | {"generator": metrics["models"]["generator"]})


def browse(page: Path, *options: str) -> str:
    """Open the page in Chromium with a profile of its own, and return what Chromium prints."""
    assert CHROMIUM is not None
    profile = page.parent / "profile"
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}")
    process = subprocess.run(
        [CHROMIUM, *fixed, *options, page.as_uri()], capture_output=True, text=True, check=True, timeout=300
    )
    return process.stdout


def measure(page: Path, width: int, expression: str) -> Any:
    """The value of a JavaScript expression on the page `d` in a frame `f` of this width."""
    framed = page.parent / f"framed-{width}.html"
    script = f"const d = f.contentDocument; document.title = JSON.stringify({expression})"
    framed.write_text(
        f'<title></title><iframe id="f" src="{page.name}" width="{width}" height="800" style="border:0"'
        f" onload=\"const f = document.getElementById('f'); {script}\"></iframe>"
    )
    html = browse(framed, "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=5000")
    return json.loads(html.partition("<title>")[2].partition("</title>")[0])


def test_the_three_answers_are_on_one_screen(page: Path) -> None:
    """On a desktop, banner and answers are in the first screen, side by side, each with its question."""
    script = "[...d.querySelectorAll('.answer')].map(a => a.getBoundingClientRect()).map(r => [r.left, r.bottom])"
    lefts, bottoms = zip(*measure(page, DESKTOP_PX, script), strict=True)
    assert len(set(lefts)) == 3
    assert max(bottoms) <= SCREEN_PX
    text = page.read_text(encoding="utf-8")
    for question in ("May it be shared?", "Is it good, and for what?", "What is it?"):
        assert f"<h2>{question}</h2>" in text


@pytest.mark.parametrize("width", [PHONE_PX, DESKTOP_PX])
def test_the_page_fits_the_screen(page: Path, width: int) -> None:
    """Only what scrolls by itself is wider than the screen, and all of the page is dark text on a light ground."""
    content_px, frame_px = measure(page, width, "[d.documentElement.scrollWidth, f.clientWidth]")
    assert frame_px == width
    assert content_px <= frame_px
    screenshot = page.parent / f"{width}.png"
    browse(page, f"--window-size={max(width, 500)},{LONG_PX}", f"--screenshot={screenshot}")
    with Image.open(screenshot) as image:
        grey = np.asarray(image.convert("L"))
    content = grey[: np.flatnonzero((grey < 100).any(axis=1)).max()]
    for start in range(0, len(content) - SCREEN_PX, SCREEN_PX):
        screen = content[start : start + SCREEN_PX]
        assert np.median(screen) > 200
        assert 0.002 < (screen < 100).mean() < 0.6


def test_a_dark_system_shows_a_dark_page(page: Path) -> None:
    """In dark mode the page is dark with light text, also in plots."""
    screenshot = page.parent / "dark.png"
    browse(
        page,
        f"--window-size={DESKTOP_PX},1600",
        "--blink-settings=preferredColorScheme=0",
        f"--screenshot={screenshot}",
    )
    with Image.open(screenshot) as image:
        grey = np.asarray(image.convert("L"))
    assert np.median(grey) < 60
    assert (grey > 180).mean() > 0.01


def test_the_page_prints(page: Path) -> None:
    """The page gives a PDF of at most six pages; the first has the answers and a line to sign."""
    pdf = page.parent / "report.pdf"
    browse(page, f"--print-to-pdf={pdf}")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") <= MAX_PRINTED_PAGES
    text = page.read_text(encoding="utf-8")
    assert "<span>Signature</span>" in text and "may be shared</span>" in text
    assert text.index('class="signature') < text.index("<main>")


def test_every_image_and_plot_has_a_description(page: Path) -> None:
    """Images and plots have descriptions for readers who cannot see them, and every section has its heading."""
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == text.count('<img src="data:image/png;base64,') == text.count(' alt="Synthetic')
    assert text.count('<figure role="img" aria-label="') >= 4
    assert 'aria-label="Mean AUROC on real test films: ' in text
    assert 'aria-label="Distance over level of six disturbances: ' in text
    for heading in (
        "Do the labels mean what they say?",
        "Integrity of files and labels",
        "Quality gates",
        "Agreement of the judge with the classifier",
        "AUROC of the classifier on real films",
        "Diversity and other distances",
        "Distance by finding, as labelled by the judge",
        "Reliability of these distances",
        "Copies of training films",
        "Utility of the images for training",
    ):
        assert f">{heading}</h" in text

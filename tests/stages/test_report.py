"""The report as a page: its verdict, warnings, provenance and images, and what it never contains."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.report_project import (
    CONFIG,
    GENERATOR_DIGEST,
    METRICS,
    RUN,
    VERDICT,
    Page,
    write_dataset,
    write_report,
    write_results,
)

from synthcxr.errors import DataError
from synthcxr.stages import report


def test_the_report_contains_verdict_figures_and_provenance(tmp_path: Path) -> None:
    """Verdict, request, distance with floor and N, digests, command, revision and attribution are on the page."""
    text = write_report(tmp_path).text
    assert "1 of 2 gates could be judged, it passed; not applicable: total variation of the labels from films" in text
    assert "from films; no gate is set on file checks, copying" in text
    assert "600 synthetic chest X-rays of 64 px" in text
    assert "Request no finding requested" in text
    assert "600 of 600 requested images, from 600 candidates (100 % accepted)" in text
    assert "3.25 (2.9 to 3.8)" in text
    assert "9.61 (n = 162)" in text
    assert "450 / 450 / 162" in text
    assert "not computed: pip install 'synthcxr[train]'" in text
    assert GENERATOR_DIGEST in text
    assert "synthcxr generate --out 'a folder'" in text
    assert "f367bd1" in text
    assert "NIH Clinical Center" in text
    assert "Registered no" in text
    assert "Distance 450 synthetic images and 450 training films" in text


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    """It has no script, refers only to data URIs and itself, describes every image, and escapes the title."""
    page = write_report(tmp_path)
    assert "script" not in page.tags
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert 0 < len(page.images) <= CONFIG.n_images
    assert all(image["alt"] for image in page.images)
    assert "Chest films <64 px>" in page.text


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    """The page has no time and no random ids."""
    write_report(tmp_path / "a")
    write_report(tmp_path / "b")
    first, second = ((tmp_path / name / "results/report.html").read_bytes() for name in "ab")
    assert first == second


def test_the_page_starts_with_failed_gates(tmp_path: Path) -> None:
    """The headline with the number and the names of failed gates precedes everything else."""
    verdict = copy.deepcopy(VERDICT) | {"passed": False}
    verdict["gates"][0] |= {"status": "failed", "value": 6.5}
    text = write_report(tmp_path, verdict=verdict).text
    assert (
        "1 of 2 gates could be judged, 1 of 1 failed: relative distance to films in features of the judge"
        " (distance.judge.relative) = 6.5" in text
    )
    assert text.index("1 of 1 failed") < text.index("May it be shared?")
    assert "distance.judge.relative = 6.5, target at most 4" in text


@pytest.mark.parametrize("source", ["metrics", "run"])
def test_phantoms_are_called_phantoms(tmp_path: Path, source: str) -> None:
    """The page starts with a warning if the films or the films of the model are phantoms."""
    metrics, run = copy.deepcopy(METRICS), copy.deepcopy(RUN)
    (metrics if source == "metrics" else run["model"])["phantom"] = True
    assert "say nothing about realism" in write_report(tmp_path, metrics=metrics, run=run).text


def test_an_incomplete_dataset_is_called_incomplete(tmp_path: Path) -> None:
    """The warning has the numbers of requested images, of images and of candidates."""
    run = copy.deepcopy(RUN) | {"complete": False}
    run["request"]["labels"] = ["Hernia"]
    run["counts"] = {"requested": 600, "found": 20, "draws": 60000, "acceptance_rate": 20 / 60000}
    text = write_report(tmp_path, run=run).text
    assert "20 of 600 requested images were found among 60,000 candidates" in text
    assert "every image labelled Hernia" in text
    assert "from 60,000 candidates (0.0333 % accepted)" in text


def test_checks_and_gates_have_their_own_sections(tmp_path: Path) -> None:
    """Checks are listed with value and bound; the gates on checks are not repeated among the quality gates."""
    verdict = copy.deepcopy(VERDICT)
    gate = {"metric": "checks.failed", "value": 0.0, "threshold": 0.0, "direction": "max", "status": "passed"}
    verdict["gates"].append(gate | {"sentence": "Checks that failed: 0."})
    text = write_report(tmp_path, verdict=verdict).text
    gates, checks = text.split("Quality gates")[1].split("Integrity of files and labels")
    assert checks.strip().startswith("All 2 checks passed.")
    assert "✓ passed Every listed file exists. 0 of 600 rows differ; required: at most 0" in checks
    assert "distance.judge.relative = 3.25, target at most 4" in gates
    assert "Checks that failed" not in text


def test_images_are_shown_unchanged_by_finding_and_in_order(tmp_path: Path) -> None:
    """The first images with the most frequent label come first, pixel by pixel, with the classifier's opinion."""
    page = write_report(tmp_path)
    for position, candidate in enumerate((1, 2, 4, 5)):
        with Image.open(tmp_path / f"synthetic/images/00000/{candidate:08d}.png") as image:
            assert np.array_equal(page.pixels[position], np.asarray(image))
    assert "No Finding: 13 of 20 images" in page.text
    assert "Effusion: 7 of 20 images classifier 10 %" in page.text


def test_an_image_that_was_changed_is_refused(tmp_path: Path) -> None:
    """The report shows only images whose sha256 is that of metadata.csv, and reads none from elsewhere."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    Image.new("L", (64, 64)).save(dataset / "images/00000/00000001.png")
    with pytest.raises(DataError, match=r"00000001\.png is missing or differs from its sha256"):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=None)
    text = (dataset / "metadata.csv").read_text()
    (dataset / "metadata.csv").write_text(text.replace("images/00000/00000001.png", "../films/00000001.png"))
    with pytest.raises(DataError, match="not a path inside the dataset"):
        report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=None)
    assert not (results / "report.html").exists()


def test_a_report_without_training_logs(tmp_path: Path) -> None:
    """A report on downloaded models has no training section, but everything else."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    for log in results.glob("train_*.csv"):
        log.unlink()
    (out,) = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=None)
    text = Page.read(out).text
    assert "Training data" in text
    assert "GAN: losses" not in text

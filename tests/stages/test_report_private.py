"""The private report: real films are in it, and never in the public report."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from support.report_project import (
    CONFIG,
    METRICS,
    N_FILMS,
    PIXEL_SPACE,
    RUN,
    Page,
    write_dataset,
    write_films,
    write_results,
)

from synthcxr.data import images
from synthcxr.stages import report


def test_only_the_private_report_has_real_films(tmp_path: Path) -> None:
    """Films give a second file, marked private. The public one is unchanged and has no pixel of a film."""
    results, dataset = write_results(tmp_path / "results"), write_dataset(tmp_path / "synthetic")
    films, out = write_films(tmp_path / "cxr"), results / "report.html"
    report.run(CONFIG, results=results, dataset=dataset, out=out, films=None)
    public = out.read_bytes()
    written = report.run(CONFIG, results=results, dataset=dataset, out=out, films=films)
    assert written == (out, results / "report-private.html")
    assert out.read_bytes() == public
    private = Page.read(written[1])
    assert "Private: this file shows real films of patients. Do not share it." in private.text
    real = np.load(films / "images_0064.npy")
    assert any(np.array_equal(pixels, film) for pixels in private.pixels for film in real[-4:])
    assert not any(np.array_equal(pixels, film) for pixels in Page.read(out).pixels for film in real)


def test_the_private_report_shows_the_closest_pairs(tmp_path: Path) -> None:
    """Each image is next to the film that `evaluate` named, the closest first; a smaller film has its own size."""
    results = write_results(tmp_path / "results", metrics=METRICS | {"privacy": {"status": "", "pixels": PIXEL_SPACE}})
    run = copy.deepcopy(RUN)
    run["model"]["training_data"] = "f"
    dataset, films = write_dataset(tmp_path / "synthetic", run=run), write_films(tmp_path / "cxr")
    pixels, first, second = np.load(films / "images_0064.npy"), *(pair["film"] for pair in PIXEL_SPACE["pairs"])
    expected_films = pixels[first], pixels[second, ::2, ::2]
    for side, rows in ((64, np.delete(np.arange(N_FILMS), second)), (32, np.arange(N_FILMS))):
        np.save(films / f"images_00{side}.npy", pixels[rows][:, :: 64 // side, :: 64 // side])
        np.save(films / f"rows_00{side}.npy", rows)
    written = report.run(CONFIG, results=results, dataset=dataset, out=results / "report.html", films=films)
    private = Page.read(written[1])
    assert "The 2 pairs that are closest in pixels" in private.text
    pairs = private.pixels[len(Page.read(results / "report.html").pixels) :][:4]
    for image, film, pair, expected in zip(pairs[::2], pairs[1::2], PIXEL_SPACE["pairs"], expected_films, strict=True):
        assert np.array_equal(image, images.decode_png((dataset / pair["image"]).read_bytes()))
        assert np.array_equal(film, expected)

"""Four datasets of known truth, from evaluation to report: the first screen states the right verdict and its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.phantom_evidence import N_IMAGES, SHOWN, PhantomWorld, draw_labels
from support.report_project import Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PhantomWorld:
    """Films and models that show and see three findings."""
    return PhantomWorld.build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def unconditional(world: PhantomWorld) -> Path:
    """Images that show what they are labelled with, as films do."""
    return world.write_dataset("unconditional", draw_labels(11))


def read_first_screen(html: str) -> tuple[str, dict[str, str]]:
    """The text of the banner, and of the answer to each question, with what is folded left out."""
    header = html.partition("<header>")[2].partition("</header>")[0]
    banner, *answers = header.split('<section class="answer ')
    texts = {}
    for answer in answers:
        state, _, rest = answer.partition('"')
        visible = "".join(part.partition("</details>")[2] or part for part in rest.split("<details"))
        texts[rest.split('id="')[1].partition('"')[0]] = f"{state}: {_read_text(visible)}"
    return _read_text(banner), texts


def _read_text(html: str) -> str:
    return Page(html).text.replace("\u00a0", " ")


def test_a_good_unconditional_set(world: PhantomWorld, unconditional: Path) -> None:
    """(a) Every answer is green: nothing copied, and the labels mean what they mean on films."""
    banner, answers = read_first_screen(world.report(unconditional))
    assert "The evidence supports this dataset." in banner
    assert answers["shared"].startswith("passed: ")
    assert "Yes, as far as copying was examined" in answers["shared"]
    assert f"{N_IMAGES} images against 260 training films in pixels and in features of the judge (" in answers["shared"]
    assert "1.8 % in pixels (contrast, exact and shifted copies)" in answers["shared"]
    assert "no excess shown: 1.3 % (95 % CI 0.2 to 2.3) are closer than 99 % of held-out films" in answers["shared"]
    assert answers["good"].startswith("passed: ")
    assert (
        f"Yes: labels valid for {', '.join(SHOWN[:2])} and {SHOWN[2]}; use for training not measured" in answers["good"]
    )
    assert answers["identity"].startswith("neutral: ")


def test_a_guided_exaggeration(world: PhantomWorld, unconditional: Path) -> None:
    """(b) Exaggerated images of one requested finding, whose weights are worth two images, are not good for it."""
    n = 200
    labels = np.ones((n, len(SHOWN)), dtype=bool)
    labels[:, 1:] = np.random.default_rng(3).random((n, len(SHOWN) - 1)) < 0.95
    weights = np.full(n, 1e-4)
    weights[:2] = 1.0
    dataset = world.write_dataset("guided", labels, strength=0.3, requested=("Cardiomegaly",), weights=weights)
    banner, answers = read_first_screen(world.report(dataset, baseline=unconditional))
    assert "The evidence speaks against this dataset: quality." in banner
    assert answers["good"].startswith("failed: ")
    assert "No, not for Cardiomegaly" in answers["good"]
    assert "Cardiomegaly is exaggerated: it is far more obvious on images than on films" in answers["good"]
    assert "Effusion and Mass are exaggerated" in answers["good"]
    assert "cover none of the variety of the films" in answers["good"]
    assert "The generator repeats itself: in pixels 36.5 %" in answers["good"]
    assert "leave an effective sample size of 2.04 (1 %)" in answers["good"]
    assert "with Cardiomegaly 2.92, films 1.49; most often with Effusion 97.0 %" in answers["good"]
    assert "every image labelled Cardiomegaly; method guided" in answers["identity"]


def test_a_set_with_planted_copies(world: PhantomWorld) -> None:
    """(c) 3 % copies of training films forbid sharing, although the set is as good as its films."""
    dataset = world.write_dataset("copies", draw_labels(13), n_copies=round(0.03 * N_IMAGES))
    banner, answers = read_first_screen(world.report(dataset))
    assert "The evidence speaks against this dataset: copying." in banner
    assert "near copies in pixels, lower end of the 95 % CI (privacy.pixels.share_low) = 2.2 %" in banner
    assert answers["shared"].startswith("failed: ")
    assert "No, not as it is" in answers["shared"]
    assert "In pixels, 19 of 600 images are closer to a training film than any held-out film" in answers["shared"]
    assert "18 of them exactly or practically identical; 3.5 % (95 % CI 2.2 to 4.8)" in answers["shared"]
    assert "In features of the judge, 19 of 600 images" in answers["shared"]
    assert "--reject-memorised" in answers["shared"]
    assert answers["good"].startswith("passed: ")


def test_a_set_without_films(world: PhantomWorld) -> None:
    """(d) Without films nothing is known about copying, and the comparison is a first look."""
    banner, answers = read_first_screen(world.report(world.write_dataset("alone", draw_labels(14)), has_films=False))
    assert "The evidence is incomplete: copying and quality." in banner
    assert "3 of 7 gates could be judged, all 3 passed; not applicable: near copies in each space" in banner
    assert "--films" not in banner + "".join(answers.values())
    assert "".join(answers.values()).count("no films were given") == 1
    assert answers["shared"].startswith("open: ")
    assert "Not known: copying was not examined" in answers["shared"]
    assert "no films were given to evaluate" in answers["shared"]
    assert answers["good"].startswith("open: ")
    assert "a first look and not a test" in answers["good"]

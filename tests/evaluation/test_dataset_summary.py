"""The lines that generate prints about a dataset: agreement, co-findings, near-duplicates and weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthcxr.data import images
from synthcxr.data.synthetic_dataset import METADATA_FILE, ImageRecord, to_metadata_row, write_metadata
from synthcxr.evaluation import dataset_summary
from synthcxr.storage import digests

RUN = {"request": {}, "counts": {"runs": 200}, "wall_s": 100.0}


def write_dataset(
    folder: Path,
    *,
    n: int = 20,
    weights: list[float] | None = None,
    n_agreed: int | None = None,
    n_copies: int = 0,
    requested: str = "Edema",
) -> Path:
    """Images of noise with Edema, every second one with Mass; the judge finds Edema in the first `n_agreed`."""
    rng, records = np.random.default_rng(0), []
    for index in range(n):
        rng = np.random.default_rng(0 if index < n_copies else index + 1)
        png = images.encode_png(np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8))
        name = f"images/{index:02d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png)
        judge = () if n_agreed is None else (("Edema",) if index < n_agreed else ("No Finding",))
        records.append(
            ImageRecord(
                file_name=name,
                index=3 * index,
                seed=1,
                requested=requested,
                findings=("Mass", "Edema") if index % 2 else ("Edema",),
                probabilities=(0.1,) * 14,
                weight=1.0 if weights is None else weights[index],
                sha256=digests.sha256_bytes(png),
                judge_probabilities=(0.2,) * 14 if judge else (),
                judge_findings=judge,
            )
        )
    write_metadata(folder / METADATA_FILE, map(to_metadata_row, records))
    return folder


def describe(folder: Path, rates: dict[str, tuple[int, int]] | None = None) -> str:
    return "\n".join(dataset_summary.describe_dataset(folder, RUN, rates=rates or {}))


def test_agreement_is_at_the_judges_thresholds(tmp_path: Path) -> None:
    """The judge finds Edema in 3 of 20 images; without its columns there is no such line."""
    assert "Edema in 3 of 20 images (15%)" in describe(write_dataset(tmp_path / "with", n_agreed=3))
    assert "judge" not in describe(write_dataset(tmp_path / "without"))


def test_co_findings_of_the_requested_finding(tmp_path: Path) -> None:
    """All images have Edema and half of them Mass: 1.5 findings per image."""
    text = describe(write_dataset(tmp_path))
    assert "findings per image: 1.5" in text
    assert "images with Edema: 1.5 findings each; most often with Mass (50%)" in text
    assert "images with Mass" not in text


def test_an_unconditional_dataset_describes_its_most_frequent_findings(tmp_path: Path) -> None:
    """Without a request, all labels are described, the most frequent first."""
    text = describe(write_dataset(tmp_path, requested=""))
    assert text.index("images with Edema") < text.index("images with Mass: 2.0 findings each")


def test_near_duplicates_are_counted(tmp_path: Path) -> None:
    """Four images of twenty are the same picture."""
    assert "near-duplicates: 4 of the 20 images" in describe(write_dataset(tmp_path, n_copies=4))


def test_few_effective_images_give_a_warning_with_the_exact_alternative(tmp_path: Path) -> None:
    """One weight dominates 20 images: 1 of 20 is 5 %. Edema is in 2 of 1,000 candidates, at half a second each."""
    folder = write_dataset(tmp_path, weights=[1.0] + [1e-6] * 19)
    text = describe(folder, {"Edema": (2, 1000)})
    assert "effective sample size of the weights: 1.0 of 20 images (5.0%)" in text
    assert "warning: weighted estimates depend on 1 of 20 images" in text
    assert "--method reject --max-draws 20000, about 10,000 candidates, 83 minutes at this speed" in text
    assert "--list-labels shows its cost" in describe(folder)


def test_a_finding_that_was_never_drawn_has_a_lower_limit(tmp_path: Path) -> None:
    """No candidate of 1,000 showed it, so the cost is at least that of one in 1,000."""
    folder = write_dataset(tmp_path, weights=[1.0] + [1e-6] * 19)
    assert "at least 20,000 candidates" in describe(folder, {"Edema": (0, 1000)})


def test_balanced_weights_give_no_warning_and_equal_weights_no_line(tmp_path: Path) -> None:
    """Weights between 1 and 2 keep most of the images."""
    text = describe(write_dataset(tmp_path / "balanced", weights=[1.0, 2.0] * 10))
    assert "effective sample size of the weights: 18.0 of 20 images (90.0%)" in text
    assert "warning" not in text
    assert "effective sample size" not in describe(write_dataset(tmp_path / "equal"))

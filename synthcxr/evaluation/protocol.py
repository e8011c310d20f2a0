"""How the evidence was taken, in sentences that stand beside the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from synthcxr.evaluation.fidelity import MIN_FILMS


def sentences(
    *,
    resolution: int,
    requested: Sequence[str],
    n_test: int,
    n_patients: int,
    n_bootstrap: int,
    judge_digest: str,
    same_films: bool,
    kl_reference: str,
) -> dict[str, str]:
    """The content of "protocol" in metrics.json; `kl_reference` says what the suite's KL check compared with."""
    kind = f" that carry {' and '.join(requested)}, as the images were asked to" if requested else ""
    unseen = (
        "nothing was trained on them or chosen by them"
        if same_films
        else "the models learned from other films, and none of these is among them, nor any NIH patient of these"
    )
    return {
        "films": (
            f"{n_test:,} real films of the test split{kind}, of {n_patients:,} patients, at {resolution} px; {unseen}."
            f" A comparison with fewer than {MIN_FILMS} real films is not applicable."
        ),
        "distance": (
            "Frechet distance between Gaussians fitted to features, in float64, between all those test films and as"
            " many synthetic images, the first of the dataset, as there are training films; with fewer images, as"
            " many training films as images are drawn. The floor is the distance of the training films to the same"
            " test films at that N, and the relative distance the ratio of the two. Training films of judge features"
            " are the train split, since the judge learned on the judge split; of others, train and judge."
        ),
        "intervals": (
            f"95 %, from {n_bootstrap:,} resamples of patients (films) and of images (synthetic). Resampling biases a"
            " Frechet distance upwards, so the spread of the resamples is laid around the value. Shares of synthetic"
            " images have Wilson's interval."
        ),
        "labels": (
            "Real films and synthetic images are labelled by the judge, at the same thresholds; it learned on other"
            f" patients than the classifier that chose and labelled the images (judge digest {judge_digest[:16]})."
            " Divergences are between distributions of labels, one row an image and judged finding, No Finding where"
            " none is present; those of KL have half a count added to every bin."
        ),
        "checks": kl_reference,
    }

"""How the evidence was taken, in sentences that stand beside the numbers."""

from __future__ import annotations

from synthcxr.evaluation.memorisation import nearest_neighbour_test, pixel_index, planted_copies, spaces
from synthcxr.evaluation.metrics import frechet_infinity, kernel_distance, label_permutation_test, ms_ssim, prdc
from synthcxr.evaluation.metrics.frechet import MIN_FILMS

_WEIGHTED = (
    "The images were found with the help of a proposal, and each says by its weight for how many of its kind it stands."
    " Every comparison counts each image once: it judges the set as it lies there, which holds fewer of the kinds that"
    " the proposal thinks unlikely than exact rejection would give; proposal.json of the model says how many fewer."
)


def sentences(
    *,
    resolution: int,
    asked: str,
    weighted: bool,
    n_test: int,
    n_patients: int,
    n_bootstrap: int,
    judge_digest: str,
    same_films: bool,
    kl_reference: str,
) -> dict[str, str]:
    """The content of "protocol" in metrics.json; `kl_reference` says what the suite's KL check compared with."""
    unseen = (
        "nothing was trained on them or chosen by them"
        if same_films
        else "the models learned from other films, and none of these is among them, nor any NIH patient of these"
    )
    return {
        "films": (
            f"{n_test:,} real films of the test split{asked}, of {n_patients:,} patients, at {resolution} px; {unseen}."
            f" A comparison with fewer than {MIN_FILMS} real films is not applicable."
        ),
        "distance": (
            "Frechet distance between Gaussians fitted to features, in float64, between all those test films and as"
            " many synthetic images, the first of the dataset, as there are training films; with fewer images, as"
            " many training films as images are drawn. The floor is the distance of the training films to the same"
            " test films at that N, and the relative distance the ratio of the two. Training films of judge features"
            " are the train split, since the judge learned on the judge split; of others, train and judge."
        ),
        "coverage": (
            f"Precision, recall, density and coverage with k = {prdc.K}, of those images and, at equal N, of those"
            " training films, each among the same test films; the ratio of the two coverages is what a reader wants: 1"
            " is as varied as films are. Resampling repeats rows and covers less, so the spread of the resamples is"
            " laid around the value."
        ),
        "other distances": (
            f"Kernel distance (KID where the features are Inception's): {kernel_distance.N_SUBSETS} subsets of at most"
            f" {kernel_distance.LARGEST_SUBSET:,} rows a side, cubic kernel, unbiased. At infinity: the Frechet distance at"
            f" {frechet_infinity.N_POINTS} sizes, {frechet_infinity.N_REPEATS} times, extrapolated along 1 / N; the bias that the"
            " number of films brings stays. By finding: images and films that the judge calls so, with train films as"
            f" the floor, where each has {MIN_FILMS} or more. MS-SSIM: {ms_ssim.N_PAIRS} random pairs of images, and"
            " of films of different patients, at the images' own size."
        ),
        "privacy": (
            "Copies: the distance of each image to its nearest film among all that the generator learned from (train"
            " and judge): in features of each extractor, of films as large as the images; and in pixels, of smaller"
            f" films too, down to {pixel_index.FROM_PX} px ({pixel_index.RULE}). The null is the same distance"
            f" for all held-out films (val and test). An image is flagged below the null's {nearest_neighbour_test.LEVEL:.0%} point."
            f" Planted copies of {spaces.N_PLANTED} films say what each space can see:"
            f" {'; '.join(f'{k}, {v}' for k, v in planted_copies.RULES.items())}. The"
            " attack guesses that a film was learned from where an image lies near it. Duplicates: an image's nearest"
            " other image, against a film's nearest film of another patient, at equal N."
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
            " none is present; those of KL have half a count added to every bin. The test exchanges whole patients and"
            f" images {label_permutation_test.N_PERMUTATIONS:,} times. Agreement is the judge's with the classifier, on images and"
            " on all test films."
        ),
        "checks": kl_reference,
    } | ({"weights": _WEIGHTED} if weighted else {})


def without_films(*, n_val: int, n_bootstrap: int, judge: str) -> dict[str, str]:
    """The content of "protocol" where no films were given."""
    return {
        "films": (
            f"No films were given: the images are held against reference.npz of the model, {n_val:,} val films as the"
            f" judge sees them (digest {judge[:16]}). Those films chose the judge's weights and set its thresholds, so"
            " this is a first look and no test; what needs films says so."
        ),
        "intervals": (
            f"95 %, from {n_bootstrap:,} resamples of rows on both sides; films of one patient count as independent,"
            " so the intervals are too narrow. Shares have Wilson's interval."
        ),
    }

"""The section "protocol" of metrics.json: sentences that state how each figure was computed."""

from __future__ import annotations

from synthcxr.data.metrics_rows import EXAGGERATION_LIMIT
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.evaluation.baseline import Baseline
from synthcxr.evaluation.comparison import Comparison
from synthcxr.evaluation.image_sets import SyntheticSet
from synthcxr.evaluation.memorisation import attacks, distance_spaces, nearest_neighbour_test, pixel_index
from synthcxr.evaluation.metrics import (
    frechet_infinity,
    kernel_distance,
    label_permutation_test,
    label_validity,
    ms_ssim,
    near_duplicates,
    prdc,
)

_WEIGHTED = (
    "The proposal network helped to find these images, and the weight of each image states how many images of its kind"
    " it represents. Every comparison counts each image once, so it evaluates the dataset as it is. Of the kinds of"
    " image that the proposal network considers unlikely, the dataset has fewer than method reject would give;"
    " proposal.json of the model states how many fewer."
)


def describe_protocol(
    comparison: Comparison,
    *,
    n_patients: int,
    judge_digest: str,
    trained_on_same_films: bool,
    baseline: Baseline | None,
) -> dict[str, str]:
    """The content of the section; `n_patients` is that of the test films."""
    n_bootstrap, synthetic = comparison.config.n_bootstrap, comparison.synthetic
    planted_copies = "; ".join(f"{kind} ({rule})" for kind, rule in attacks.PLANTED_COPIES.items())
    training = (
        "No model was trained or chosen on them."
        if trained_on_same_films
        else "The models were trained on other films: none of these films, and no NIH patient of these films, was among"
        " them."
    )
    unlabelled = (
        " Films without labels are compared in the search for copies only." if comparison.real.labelled_only else ""
    )
    sentences = {
        "films": (
            f"{comparison.n_test:,} real films of the test split{_describe_criteria(synthetic)}, from {n_patients:,}"
            f" patients, at {synthetic.resolution} px.{unlabelled} {training} A comparison with fewer than"
            f" {MIN_FILMS_FOR_DISTANCE} real films is reported as not applicable."
        ),
        "distance": (
            "Fréchet distance between Gaussians fitted to features, in float64. The value compares the first N images"
            " of the dataset with all these test films. The floor compares N training films with the same test films."
            " The relative distance is value / floor. N is the number of training films. With fewer images than that,"
            " N is the number of images, and N training films are drawn at random. In judge features the training"
            " films are the train split, because the judge was trained on the judge split; in other features they are"
            " the train and judge splits."
        ),
        "coverage": (
            f"Precision, recall, density and coverage with k = {prdc.K} of the same N images and of N training films,"
            " each among the same test films. The relative coverage is the ratio of the two coverages; it is 1 when the"
            " images are as varied as films. Resampling repeats rows and therefore lowers coverage, so each interval"
            " has the spread of the resamples, centred on the value."
        ),
        "other distances": (
            f"Kernel distance (KID for Inception features): {kernel_distance.N_SUBSETS} subsets of at most"
            f" {kernel_distance.MAX_SUBSET_SIZE:,} rows per side, cubic kernel, unbiased. At infinity: the Fréchet"
            f" distance at {frechet_infinity.N_POINTS} sizes, {frechet_infinity.N_REPEATS} times, extrapolated in"
            " 1 / N; the bias from the number of films remains. By finding: the images and test films in which the"
            " judge detects the finding; the floor uses the train films in which it detects the finding. This needs"
            f" {MIN_FILMS_FOR_DISTANCE} or more of each. MS-SSIM: {ms_ssim.N_PAIRS} random pairs of images, and of"
            " films of different patients, at the resolution of the images."
        ),
        "privacy": (
            "Copies: the distance of each image to its nearest film among all films that the GAN was trained on (train"
            " and judge). Features of each extractor are compared with those of films at least as large as the"
            f" images; pixels also with smaller films, down to {pixel_index.FROM_PX} px ({pixel_index.RULE}). The null"
            " distribution is the same distance for all held-out films (val and test). Where few or none of the"
            " labelled or of the unlabelled films of a source are held out, training films stand in for them, each"
            " compared with those of other patients. An image is flagged if its"
            f" distance is below the {100 * nearest_neighbour_test.FLAG_LEVEL:g} % quantile of the null distribution."
            f" Planted copies of {distance_spaces.N_PLANTED} films show which kinds of copy each space detects:"
            f" {planted_copies}."
            " Membership inference guesses that a film was in the training set when an image lies near it; films are"
            " compared with held-out films of their source that also have labels, or have none. Duplicates:"
            " an image's distance to its nearest other image, compared with a film's distance to the nearest film of"
            " another patient, at equal N."
        ),
        "intervals": (
            f"95 % CI from {n_bootstrap:,} resamples of patients (films) and of images (synthetic). Resampling biases a"
            " Fréchet distance upwards, so its interval has the spread of the resamples, centred on the value. Shares"
            " of synthetic images have Wilson intervals."
        ),
        "labels": (
            "The judge labels real films and synthetic images at the same thresholds. It was trained on other patients"
            f" than the classifier that selected and labelled the images (judge sha256 {judge_digest[:16]})."
            " Divergences compare label distributions with one count per image and judged finding, or one count for No"
            " Finding when none is present; KL adds half a count to every bin. The permutation test exchanges whole"
            f" patients and images {label_permutation_test.N_PERMUTATIONS:,} times. Agreement compares the judge with"
            " the classifier, on images and on all test films. The label divergence of the classifier compares its"
            " labels in metadata.csv with its labels of the real test films."
        ),
        "validity": _describe_validity("all test films", baseline),
        "variety": (
            "Each image is correlated with the image most like it, after both are smoothed and reduced to"
            f" {pixel_index.SIDE_PX} px; from {near_duplicates.NEAR_DUPLICATE:g} on, two images are near-duplicates."
            " Films are compared with films of other patients, at the same number of images and films."
        ),
    }
    return sentences | ({"weights": _WEIGHTED} if synthetic.is_weighted else {})


def describe_protocol_without_films(
    *, n_val: int, n_bootstrap: int, judge_digest: str, baseline: Baseline | None
) -> dict[str, str]:
    """The content of the section when no films were given."""
    return {
        "films": (
            "No films were given. The images are compared with reference.npz of the model: features and labels of"
            f" {n_val:,} val films by the judge (sha256 {judge_digest[:16]}). These films were used to select the"
            " judge's weights and to set its thresholds, so this is a first look and not a test. Metrics that need"
            " films are not applicable."
        ),
        "intervals": (
            f"95 % CI from {n_bootstrap:,} resamples of images and of val films. Films of one patient count as"
            " independent, so the intervals are too narrow. Shares have Wilson intervals."
        ),
        "validity": _describe_validity("the val films of the model, from reference.npz", baseline),
    }


def _describe_validity(films: str, baseline: Baseline | None) -> str:
    """How validity and specificity are computed, as sentences."""
    negatives = "the other images of the dataset" if baseline is None else f"a baseline ({baseline.source})"
    return (
        "Validity = (AUROC on images - 0.5) / (AUROC on films - 0.5) of the judge's score for a finding, without a"
        f" threshold. Films: {films}, by their own labels. Images: those that the dataset labels with the finding,"
        f" against {negatives} without that label. Specificity is the same against the films and images that carry"
        " another finding and not this one; it is 0 if hardly any image with another finding lacks this one. Intervals"
        " resample patients and images. A finding is not applicable if the interval of the AUROC on films holds 0.5,"
        f" and enters no gate and no mean with fewer than {label_validity.MIN_GATED_POSITIVES} positive films. A value"
        f" above {EXAGGERATION_LIMIT:g} with an interval above 1 is named: the images exaggerate."
    )


def _describe_criteria(synthetic: SyntheticSet) -> str:
    """Which films are compared with images that were requested by label, as part of a sentence."""
    if synthetic.n_label_sets:
        return (
            f" (the images were requested as {synthetic.n_label_sets} label sets with their own counts, and no films"
            " correspond to such a mixture)"
        )
    has = f"have {' and '.join(synthetic.requested)}" if synthetic.requested else ""
    lacks = f"do not have {' and '.join(synthetic.excluded)}" if synthetic.excluded else ""
    criteria = " and ".join(part for part in (has, lacks) if part)
    return f" that {criteria}, as requested for the images" if criteria else ""

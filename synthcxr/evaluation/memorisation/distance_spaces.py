"""Measures memorisation in one space of an evaluation: the features of an extractor, or registered pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from synthcxr.data.films import GAN_TRAINING_SPLITS, HELD_OUT_SPLITS
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.metrics_schema import PIXELS
from synthcxr.evaluation.comparison import ComparisonFeatures
from synthcxr.evaluation.features import cache
from synthcxr.evaluation.features.extractors import Extractor, Provenance
from synthcxr.evaluation.image_sets import RealSet
from synthcxr.evaluation.memorisation import attacks, pixel_index
from synthcxr.evaluation.memorisation.attacks import MemorisationResult, Space
from synthcxr.evaluation.metrics import nearest_neighbours
from synthcxr.storage import digests

N_PLANTED = 60


def pixel_extractor() -> Extractor:
    """An extractor whose features are smoothed, reduced pixels; `pixel_index` compares them."""
    return Extractor(
        provenance=Provenance(PIXELS, digests.fingerprint(pixel_index.RULE), pixel_index.RULE),
        device="cpu",
        training_splits=GAN_TRAINING_SPLITS,
        run=lambda pixels: {"features": pixel_index.smooth_and_reduce(pixels)},
    )


def measure_memorisation(space_features: ComparisonFeatures) -> MemorisationResult:
    """Run the attacks in one space, with all training films and held-out films that the space can compare.

    The films in the result are rows of the manifest.
    """
    comparison, extractor = space_features.comparison, space_features.extractor
    all_films, rng = comparison.real.unrestricted, comparison.rng(f"privacy {space_features.name}")
    films = _select_films(space_features)
    n_training = len(all_films.patients(GAN_TRAINING_SPLITS))
    chosen = np.sort(rng.choice(n_training, size=min(N_PLANTED, n_training), replace=False))
    copies = attacks.plant_copies(all_films.pixels(GAN_TRAINING_SPLITS, chosen), rng)
    training_rows = films.manifest_rows(GAN_TRAINING_SPLITS)
    space = Space(
        find_nearest=pixel_index.find_nearest if space_features.name == PIXELS else nearest_neighbours.find_nearest,
        synthetic=space_features.synthetic,
        training=films.outputs(extractor, GAN_TRAINING_SPLITS)["features"],
        held_out=films.outputs(extractor, HELD_OUT_SPLITS)["features"],
        planted=_compute_copy_features(all_films, extractor, copies),
        training_strata=films.films.strata(training_rows),
        held_out_strata=films.films.strata(films.manifest_rows(HELD_OUT_SPLITS)),
        unseen_by_extractor=np.isin(training_rows, films.manifest_rows(extractor.training_splits)),
    )
    result = attacks.run_attacks(
        space,
        training_patients=films.patients(GAN_TRAINING_SPLITS),
        held_out_patients=films.patients(HELD_OUT_SPLITS),
        n_bootstrap=comparison.config.n_bootstrap,
        rng=rng,
    )
    return dataclasses.replace(
        result,
        pairs=tuple(dataclasses.replace(pair, film=int(training_rows[pair.film])) for pair in result.pairs),
        nearest=dataclasses.replace(result.nearest, index=training_rows[result.nearest.index]),
    )


def _compute_copy_features(films: RealSet, extractor: Extractor, copies: Mapping[str, UInt8]) -> dict[str, Float32]:
    """The features of each kind of copy, cached by the digest of the copies."""
    digest = digests.sha256_bytes(b"".join(pixels.tobytes() for pixels in copies.values()))
    key = films.cache_key(extractor, GAN_TRAINING_SPLITS) | {"planted": digest}

    def compute() -> dict[str, Float32]:
        return {kind: extractor.run(pixels)["features"] for kind, pixels in copies.items()}

    return cache.load_or_compute(films.cache_folder, key, compute)


def _select_films(space_features: ComparisonFeatures) -> RealSet:
    """Films at the images' resolution for features; in pixels, smaller films are included too."""
    films = space_features.comparison.real.unrestricted
    if space_features.name != PIXELS:
        return films
    return dataclasses.replace(films, resolution=pixel_index.choose_film_side(films.resolution))

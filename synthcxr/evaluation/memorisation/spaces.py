"""The spaces in which copies are looked for: the features of each extractor, and registered pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from synthcxr.data.images import Float32, UInt8
from synthcxr.evaluation.comparison import HELD_OUT, LEARNED, View
from synthcxr.evaluation.features import cache
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor
from synthcxr.evaluation.image_sets import RealSet
from synthcxr.evaluation.memorisation import attacks, pixel_index, planted_copies
from synthcxr.evaluation.memorisation.attacks import Examined, Space
from synthcxr.evaluation.metrics import nearest_neighbours
from synthcxr.evaluation.metrics.frechet import Provenance
from synthcxr.storage import digests

PIXELS = "pixels"
N_PLANTED = 60


def pixels() -> Extractor:
    """Smoothed, reduced pixels as if they were features; `pixel_index` says how they are compared."""
    provenance = Provenance(PIXELS, digests.fingerprint(pixel_index.RULE), pixel_index.RULE)
    return Extractor(provenance, "cpu", LEARNED, lambda squares: {"features": pixel_index.reduced(squares)})


def examine(view: View) -> Examined:
    """Ask what `privacy` asks in one space; all films of its size that were learnt from or held out take part."""
    comparison, extractor = view.comparison, view.extractor
    large, rng = comparison.real.unconditional, comparison.rng(f"privacy {view.name}")
    films = _films(view)
    learned = films.outputs(extractor, LEARNED)["features"]
    n = len(large.patients(LEARNED))
    chosen = np.sort(rng.choice(n, size=min(N_PLANTED, n), replace=False))
    copied = planted_copies.copies(large.pixels(LEARNED, chosen), rng)
    rows = films.manifest_rows(LEARNED)
    space = Space(
        near=pixel_index.neighbours if view.name == PIXELS else nearest_neighbours.neighbours,
        synthetic=view.synthetic["features"],
        learned=learned,
        held_out=films.outputs(extractor, HELD_OUT)["features"],
        planted=_planted(large, extractor, copied),
        unseen=np.isin(rows, films.manifest_rows(extractor.training_splits)),
    )
    found = attacks.examine(
        space,
        learned_patients=films.patients(LEARNED),
        held_out_patients=films.patients(HELD_OUT),
        n_bootstrap=comparison.config.n_bootstrap,
        rng=rng,
    )
    return dataclasses.replace(
        found,
        pairs=tuple(dataclasses.replace(pair, film=int(rows[pair.film])) for pair in found.pairs),
        nearest=dataclasses.replace(found.nearest, at=rows[found.nearest.at]),
    )


def _planted(films: RealSet, extractor: Extractor, copied: Mapping[str, UInt8]) -> dict[str, Float32]:
    """The features of each kind of copy, kept for the next run by what they were taken of."""
    digest = digests.sha256_bytes(b"".join(squares.tobytes() for squares in copied.values()))
    key = films.key(extractor, LEARNED) | {"planted": digest}

    def extract() -> dict[str, Float32]:
        return {kind: extractor.run(squares)["features"] for kind, squares in copied.items()}

    return cache.cached(films.cache, key, extract)


def _films(view: View) -> RealSet:
    """The films of a space: features want the images' size, pixels also compare films that are smaller."""
    films = view.comparison.real.unconditional
    if view.name != PIXELS:
        return films
    return dataclasses.replace(films, resolution=pixel_index.packed_side(films.resolution))

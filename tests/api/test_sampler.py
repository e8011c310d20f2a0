"""`synthcxr.Sampler`: images and their table, seeds, findings, thresholds, guided sampling."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.default_request import DEFAULT_REQUEST
from support.exported_models import write_guided_models
from support.stub_models import SIDE, write_stub_models

from synthcxr.api.sampler import BATCH_SIZE, Sampler
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.stages import generate


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A sampler of stub models without a proposal."""
    return Sampler.open(write_stub_models(tmp_path_factory.mktemp("models") / "onnx"), device="cpu")


def test_a_sample_is_images_and_a_table(sampler: Sampler) -> None:
    """`sample` returns n uint8 images and n rows; without labels, the first n candidates of the seed."""
    images, table = sampler.sample(n=40, seed=3)
    assert (images.dtype, images.shape) == (np.uint8, (40, SIDE, SIDE))
    assert list(table["index"]) == list(range(40))
    assert set(table["seed"]) == {3}
    assert set(table["requested"]) == {""}


def test_the_same_seed_gives_the_same_images(sampler: Sampler) -> None:
    """The bytes depend on the seed and not on n."""
    few, _ = sampler.sample(n=5, seed=1)
    many, _ = sampler.sample(n=50, seed=1)
    other, _ = sampler.sample(n=5, seed=2)
    np.testing.assert_array_equal(few, many[:5])
    assert (few != other).any()


def test_labels_select_among_the_same_candidates(sampler: Sampler) -> None:
    """With labels, the sample is those candidates that show all of them, in candidate order."""
    _, all_candidates = sampler.sample(n=200, seed=1)
    images, table = sampler.sample(["edema", "Mass"], n=10, seed=1)
    shows_both = all_candidates["Finding Labels"].map(lambda text: {"Edema", "Mass"} <= set(text.split("|")))
    assert list(table["index"]) == list(all_candidates["index"][shows_both][:10])
    assert set(table["requested"]) == {"Mass|Edema"}
    assert len(images) == 10
    _, table = sampler.sample("Mass", n=1, seed=1)
    assert list(table["requested"]) == ["Mass"]


@pytest.mark.slow
def test_a_labelled_sample_is_guided(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A model with a proposal gives the guided images and weights of `generate`; method "reject" gives others."""
    folder = write_guided_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.05)
    images, table = Sampler.open(folder, device="cpu").sample("Mass", n=12, seed=1)
    config = dataclasses.replace(
        DEFAULT_REQUEST, n=12, labels=("Mass",), method="guided", max_draws=1200, batch=BATCH_SIZE
    )
    generate.run(config, model=folder, out=folder / "x", model_name="x")
    metadata = read_metadata(folder / "x")
    assert list(table["index"]) == list(metadata["index"]) and len(images) == 12
    np.testing.assert_allclose(table["weight"], metadata["weight"], rtol=1e-5)
    assert (table["weight"] > 0).all() and "Mass" in table["Finding Labels"].iloc[0]
    _, rejection_table = Sampler.open(folder, device="cpu").sample("Mass", n=12, seed=1, method="reject")
    assert set(rejection_table["weight"]) == {1.0} and list(rejection_table["index"]) != list(table["index"])


def test_a_shortfall_is_a_warning(sampler: Sampler) -> None:
    """If `max_draws` candidates contain too few images, those are returned, with a warning."""
    with pytest.warns(UserWarning, match="found .* of 9 images among 32 candidates; raise max_draws"):
        images, table = sampler.sample(FINDINGS[:10], n=9, seed=1, max_draws=32)
    assert len(images) == len(table) < 9
    assert images.shape[1:] == (SIDE, SIDE)


def test_bad_arguments_are_errors(sampler: Sampler, tmp_path: Path) -> None:
    """An unknown finding, a number below 1 and an address without a model are errors that say so."""
    with pytest.raises(DataError, match="unknown finding 'Cough'"):
        sampler.sample(["Cough"])
    with pytest.raises(ConfigError, match="n must be at least 1"):
        sampler.sample(n=0)
    with pytest.raises(ConfigError, match="max_draws must be at least 1"):
        sampler.sample(n=1, max_draws=0)
    with pytest.raises(ArtifactError, match="nowhere"):
        Sampler.open(tmp_path / "nowhere")


def test_a_threshold_selects_more_probable_images(sampler: Sampler) -> None:
    """With a threshold, accepted images with at least that probability remain; it applies to findings only."""
    _, accepted = sampler.sample("Edema", n=100, seed=1)
    _, probable = sampler.sample("Edema", n=10, seed=1, threshold=0.9)
    assert (probable["p_Edema"] >= 0.9).all()
    assert list(probable["index"]) == list(accepted["index"][accepted["p_Edema"] >= 0.9][:10])
    assert set(probable["weight"]) == {1.0}
    for labels, threshold in (("", 0.5), ("Edema", 1.0), ("Edema", -0.1)):
        with pytest.raises(ConfigError, match="threshold"):
            sampler.sample(labels, threshold=threshold)


def test_guided_needs_a_proposal(sampler: Sampler) -> None:
    """Method "guided" of a model without a proposal is an error that names the way out."""
    with pytest.raises(ConfigError, match="this model has no proposal; use method reject"):
        sampler.sample("Edema", method="guided")

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support import default_request as asking
from support import exported_models as exported
from support.stub_models import SIDE, write_folder

from synthcxr.api import BATCH, Sampler
from synthcxr.data import records
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.stages import generate


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler.open(write_folder(tmp_path_factory.mktemp("models") / "onnx"), device="cpu")


def test_images_come_with_a_table(sampler: Sampler) -> None:
    """n uint8 images and as many rows; without labels the first n candidates of the seed."""
    images, table = sampler.sample(n=40, seed=3)
    assert (images.dtype, images.shape) == (np.uint8, (40, SIDE, SIDE))
    assert list(table["index"]) == list(range(40))
    assert set(table["seed"]) == {3}
    assert set(table["requested"]) == {""}


def test_a_seed_names_its_images(sampler: Sampler) -> None:
    """The same seed gives the same bytes, whatever n; another seed gives others."""
    few, _ = sampler.sample(n=5, seed=1)
    many, _ = sampler.sample(n=50, seed=1)
    other, _ = sampler.sample(n=5, seed=2)
    np.testing.assert_array_equal(few, many[:5])
    assert (few != other).any()


def test_labelled_images_are_the_accepted_of_the_unlabelled(sampler: Sampler) -> None:
    """With labels exactly those candidates come that show all of them, in candidate order."""
    _, everything = sampler.sample(n=200, seed=1)
    images, table = sampler.sample(["edema", "Mass"], n=10, seed=1)
    shows = everything["Finding Labels"].map(lambda text: {"Edema", "Mass"} <= set(text.split("|")))
    assert list(table["index"]) == list(everything["index"][shows][:10])
    assert set(table["requested"]) == {"Mass|Edema"}
    assert len(images) == 10
    _, one = sampler.sample("Mass", n=1, seed=1)
    assert list(one["requested"]) == ["Mass"]


@pytest.mark.slow
def test_a_labelled_sample_is_guided(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the model has a proposal, labelled images are those of `generate`, each with its weight; else as asked."""
    folder = exported.write_guided_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.05)
    guided, table = Sampler.open(folder, device="cpu").sample("Mass", n=12, seed=1)
    asked = dataclasses.replace(asking.PLAIN, n=12, labels=("Mass",), method="guided", max_draws=1200, batch=BATCH)
    generate.run(asked, model=folder, out=folder / "x", model_name="x")
    made = records.read_metadata(folder / "x")
    assert list(table["index"]) == list(made["index"]) and len(guided) == 12
    np.testing.assert_allclose(table["weight"], made["weight"], atol=1e-6)
    assert (table["weight"] > 0).all() and "Mass" in table["Finding Labels"].iloc[0]
    _, rejected = Sampler.open(folder, device="cpu").sample("Mass", n=12, seed=1, method="reject")
    assert set(rejected["weight"]) == {1.0} and list(rejected["index"]) != list(table["index"])


def test_fewer_than_asked_is_said(sampler: Sampler) -> None:
    """A request that max_draws candidates cannot meet gives what they hold, and warns."""
    with pytest.warns(UserWarning, match="found .* of 9 images in 32 tries; raise max_draws"):
        images, table = sampler.sample(FINDINGS[:10], n=9, seed=1, max_draws=32)
    assert len(images) == len(table) < 9
    assert images.shape[1:] == (SIDE, SIDE)


def test_bad_requests_are_errors(sampler: Sampler, tmp_path: Path) -> None:
    """An unknown finding, no image and no model are errors that say so."""
    with pytest.raises(DataError, match="unknown finding 'Cough'"):
        sampler.sample(["Cough"])
    with pytest.raises(ConfigError, match="n must be at least 1"):
        sampler.sample(n=0)
    with pytest.raises(ConfigError, match="max_draws must be at least 1"):
        sampler.sample(n=1, max_draws=0)
    with pytest.raises(ArtifactError, match="no such model"):
        Sampler.open(tmp_path / "nowhere")


def test_a_threshold_asks_for_surer_images(sampler: Sampler) -> None:
    """With a threshold those of the accepted come that are that probable; without a finding it means nothing."""
    _, accepted = sampler.sample("Edema", n=100, seed=1)
    _, surer = sampler.sample("Edema", n=10, seed=1, threshold=0.9)
    assert (surer["p_Edema"] >= 0.9).all()
    assert list(surer["index"]) == list(accepted["index"][accepted["p_Edema"] >= 0.9][:10])
    assert set(surer["weight"]) == {1.0}
    for labels, threshold in (("", 0.5), ("Edema", 1.0), ("Edema", -0.1)):
        with pytest.raises(ConfigError, match="threshold is a probability"):
            sampler.sample(labels, threshold=threshold)


def test_guided_needs_a_proposal(sampler: Sampler) -> None:
    """A model without a proposal says so where one is asked for."""
    with pytest.raises(ConfigError, match="this model has no proposal"):
        sampler.sample("Edema", method="guided")

"""The films of a GAN training: their shares, their conditions, and what cannot be learned from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.in_memory_film import InMemoryFilm
from support.small_gan import CONFIG

from synthcxr.config.gan_sections import SamplingConfig
from synthcxr.config.schema import GanConfig
from synthcxr.data.film_dataset import FilmDataset, build_film_dataset, open_film_dataset
from synthcxr.data.films import Film
from synthcxr.data.findings import UNKNOWN_FINDINGS
from synthcxr.errors import ConfigError
from synthcxr.training.gan_films import GanFilms

CONDITIONAL = dataclasses.replace(CONFIG, condition=("findings", "age"))
SPLITS = ("train", "judge", "val", "test")


def pack(folder: Path, **changes: object) -> FilmDataset:
    """Pack 16 films of 8 px, four in each split; the last of each split is unlabelled, and every other is of 4 px."""
    films, rng = [], np.random.default_rng(0)
    for index in range(16):
        picture = InMemoryFilm(rng.random((8, 8) if index % 2 else (4, 4)).astype(np.float32))
        findings = UNKNOWN_FINDINGS if index % 4 == 3 else (float(index % 4 == 1), *[0.0] * 13)
        film = Film(f"{index:02d}", str(index), "a", "PA", findings, picture.read, picture.read_size, f"memory:{index}")
        films.append(dataclasses.replace(film, age=40.0 + index, **changes))  # type: ignore[arg-type]
    splits = {film.image_index: SPLITS[index // 4] for index, film in enumerate(films)}
    build_film_dataset(films, out=folder, resolution=8, splits=splits, on_bad="error")
    return open_film_dataset(folder)


def open_films(dataset: FilmDataset, config: GanConfig = CONDITIONAL, **sampling: object) -> GanFilms:
    fields = {"unlabelled_share": None, "sources": {}, "findings": {}} | sampling
    return GanFilms(dataclasses.replace(config, sampling=SamplingConfig(**fields)), dataset)  # type: ignore[arg-type]


def test_conditions_and_shares_belong_to_the_films(tmp_path: Path) -> None:
    """At each resolution, they are those of the train and judge films that have it; table and counts are of 8 px."""
    films = open_films(pack(tmp_path / "cxr"), unlabelled_share=0.2, findings={"Atelectasis": 3.0})
    small, large = films.read(4), films.read(8)
    assert (len(small.rows), len(large.rows)) == (8, 4)
    assert large.conditions is not None
    assert large.conditions[:, [0, 14]].tolist() == [[1, 0], [0, 1]] * 2
    assert large.conditions[:, -2] == pytest.approx((np.array([40, 45, 45, 45]) - 50) / 25)
    assert large.shares == pytest.approx([0.4, 0.1] * 2)
    assert small.shares == pytest.approx([0.08, 0.24, 0.08, 0.1] * 2)
    assert films.n_unlabelled == 2
    assert "2 of 4 films have no labels; they are 20% of the films shown" in films.describe_unlabelled()
    assert films.condition_table is not None
    assert films.condition_table.attributes.findings[:, 0].tolist() == [1, 1]
    assert films.read(8) is large


def test_the_fingerprint_covers_the_conditions_of_a_conditional_gan(tmp_path: Path) -> None:
    """Films with another sex have other conditions, and no run resumes the checkpoint of another."""
    female, male = (pack(tmp_path / sex, sex=sex) for sex in ("F", "M"))
    assert female.fingerprint == male.fingerprint == open_films(male, CONFIG).fingerprint
    conditional = dataclasses.replace(CONFIG, condition=("sex",))
    fingerprints = {open_films(dataset, conditional).fingerprint for dataset in (female, male)}
    assert len(fingerprints | {female.fingerprint}) == 3
    assert open_films(female).fingerprint == open_films(male).fingerprint


def test_an_unconditional_gan_has_no_conditions(tmp_path: Path) -> None:
    """Its films are equal by default, and it has no table."""
    films = open_films(pack(tmp_path / "cxr"), CONFIG)
    assert films.condition_table is None
    assert films.read(8).conditions is None
    assert films.read(8).shares is None


def test_a_part_that_no_film_has_is_refused(tmp_path: Path) -> None:
    """A generator cannot learn the sex of films whose sex is unknown; unknown sources are refused, too."""
    dataset = pack(tmp_path / "cxr")
    with pytest.raises(ConfigError, match=r"train_gan\.condition: sex is unknown for every film of 8 px; leave it out"):
        open_films(dataset, dataclasses.replace(CONFIG, condition=("view", "sex")))
    with pytest.raises(ConfigError, match=r"train_gan\.sampling\.sources\.b: no film has this source"):
        open_films(dataset, sources={"b": 2.0})


def test_films_that_are_never_shown_have_no_conditions(tmp_path: Path) -> None:
    """The generator is not asked for what it was not trained on."""
    dataset, config = pack(tmp_path / "cxr"), dataclasses.replace(CONFIG, condition=("age",))
    for weights, ages in (({}, [40, 45]), ({"Atelectasis": 0.0}, [45])):
        table = open_films(dataset, config, findings=weights).condition_table
        assert table is not None and table.attributes.ages.tolist() == ages

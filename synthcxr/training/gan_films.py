"""The films that a GAN learns from: how often each is shown, and its condition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import GanConfig
from synthcxr.data.condition import FilmAttributes, encode_conditions, list_columns
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.film_dataset import FilmDataset
from synthcxr.data.films import GAN_TRAINING_SPLITS
from synthcxr.errors import ConfigError
from synthcxr.storage import digests
from synthcxr.training import film_sampling
from synthcxr.training.film_order import ShownFilms


class GanFilms:
    """The train and judge films of a dataset, as `train_gan.sampling` and `train_gan.condition` use them.

    `condition_table` is the table of the conditions of the films shown at the final resolution; None for an
    unconditional GAN.
    """

    def __init__(self, config: GanConfig, dataset: FilmDataset) -> None:
        """Raise ConfigError for weights that cannot be used, and for a part of the condition that no film has."""
        self.dataset = dataset
        self._config = config
        self._shown: dict[int, ShownFilms] = {}
        is_training = dataset.manifest["split"].isin(GAN_TRAINING_SPLITS).to_numpy(dtype=bool)
        film_sampling.require_known_sources(config.sampling, self._read_sources()[is_training])
        self._attributes = dataset.attributes(np.arange(len(dataset.manifest)))
        rows, shares = self._find_rows(config.resolution), self.read(config.resolution).shares
        films = self._attributes.select(rows if shares is None else rows[shares > 0])
        self.n_unlabelled = int((~films.are_labelled).sum())
        self.condition_table = None
        if config.condition:
            _require_known_parts(films, config)
            self.condition_table = ConditionTable.from_films(films, config.condition)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the films and, for a conditional GAN, of their conditions."""
        if not self._config.condition:
            return self.dataset.fingerprint
        conditions = encode_conditions(self._attributes, self._config.condition)
        return f"{self.dataset.fingerprint}-{digests.sha256_bytes(conditions.tobytes())[:16]}"

    def read(self, resolution: int) -> ShownFilms:
        """The films of one resolution."""
        if resolution not in self._shown:
            rows = self._find_rows(resolution)
            films, condition = self._attributes.select(rows), self._config.condition
            self._shown[resolution] = ShownFilms(
                pixels=self.dataset.memmap(resolution),
                rows=self.dataset.indices(resolution, GAN_TRAINING_SPLITS),
                shares=film_sampling.compute_shares(
                    self._config.sampling, findings=films.findings, sources=self._read_sources()[rows]
                ),
                conditions=encode_conditions(films, condition) if condition else None,
            )
        return self._shown[resolution]

    def describe_unlabelled(self) -> str:
        """Say, for the log, how many films have no labels and what share of the films shown they are."""
        resolution = self._config.resolution
        shown, labelled = self.read(resolution), self._attributes.select(self._find_rows(resolution)).are_labelled
        share = (~labelled).mean() if shown.shares is None else shown.shares[~labelled].sum()
        return (
            f"{self.n_unlabelled:,} of {len(labelled):,} films have no labels; they are {share:.0%} of the films shown"
            " (train_gan.sampling)"
        )

    def _find_rows(self, resolution: int) -> NDArray[np.int64]:
        """The manifest rows of the training films of one resolution."""
        return self.dataset.rows(resolution)[self.dataset.indices(resolution, GAN_TRAINING_SPLITS)]

    def _read_sources(self) -> NDArray[np.str_]:
        return self.dataset.manifest["source"].to_numpy(dtype=str)


def _require_known_parts(films: FilmAttributes, config: GanConfig) -> None:
    """Raise ConfigError for a part of the condition that is unknown for every film."""
    for part in config.condition:
        rows = encode_conditions(films, [part])
        unknown = [name.endswith("unknown") for name in list_columns([part])]
        if (rows[:, unknown] == 1).all():
            raise ConfigError(
                f"train_gan.condition: {part} is unknown for every film of {config.resolution} px; leave it out, or add"
                " it to the table of films and run `synthcxr prepare` again"
            )

"""The inputs of a small study, made once for all its tests."""

from __future__ import annotations

import pytest
from support.small_study import Inputs, write_films, write_synthetic


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Films and images of phantoms at 64 px. Tests never write into them."""
    root = tmp_path_factory.mktemp("study-inputs")
    return Inputs(write_films(root / "films", 60), write_synthetic(root / "synthetic", 60))

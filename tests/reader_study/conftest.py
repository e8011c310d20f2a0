"""The inputs of a small study, created once for all tests."""

from __future__ import annotations

import pytest
from support.small_study import StudyInputs, write_dataset, write_films


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> StudyInputs:
    """Films and images of phantoms at 64 px. Tests never write into them."""
    root = tmp_path_factory.mktemp("study-inputs")
    return StudyInputs(write_films(root / "films", 60), write_dataset(root / "dataset", 60))

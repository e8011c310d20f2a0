"""The table of training conditions, and the condition that each candidate draws from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import condition, random_streams
from synthcxr.data.condition import FilmAttributes
from synthcxr.data.condition_table import ConditionTable, draw_conditions
from synthcxr.errors import ArtifactError

NAN = float("nan")


def build_films(n: int, *, labelled: bool = True) -> FilmAttributes:
    """Half of the films show Atelectasis, a quarter is AP, ages differ."""
    findings = np.zeros((n, 14), np.float32)
    findings[::2, 0] = 1
    return FilmAttributes(
        findings=findings if labelled else np.full_like(findings, NAN),
        views=np.array(["AP" if k % 4 == 1 else "PA" for k in range(n)]),
        sexes=np.array(["F"] * n),
        ages=np.linspace(20, 80, n, dtype=np.float32),
    )


def join(first: FilmAttributes, second: FilmAttributes) -> FilmAttributes:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return FilmAttributes(*(np.concatenate(pair) for pair in pairs))


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


TABLE = ConditionTable.from_films(build_films(40), ["view", "findings"])
COLUMNS = condition.list_columns(TABLE.parts)


def test_the_table_counts_the_labelled_films() -> None:
    """Films without labels are left out unless no film has labels; equal conditions are one row."""
    assert TABLE.parts == ("findings", "view")
    assert TABLE.shares.tolist() == [0.25, 0.25, 0.5]
    with_unlabelled = ConditionTable.from_films(join(build_films(40), build_films(99, labelled=False)), TABLE.parts)
    assert with_unlabelled.digest == TABLE.digest
    unlabelled = ConditionTable.from_films(build_films(40, labelled=False), TABLE.parts)
    assert np.isnan(unlabelled.attributes.findings).all()
    assert unlabelled.shares.tolist() == [0.75, 0.25] or unlabelled.shares.tolist() == [0.25, 0.75]


def test_a_candidate_does_not_depend_on_the_block_it_is_drawn_in() -> None:
    """Conditions drawn one at a time, in one block, in another order or for some candidates only are the same."""
    block = draw_conditions(TABLE, 5, range(30))
    assert block.shape == (30, 31)
    assert block.dtype == np.float32
    assert (np.concatenate([draw_conditions(TABLE, 5, [i]) for i in range(30)]) == block).all()
    assert (draw_conditions(TABLE, 5, np.array([20, 3, 7])) == block[[20, 3, 7]]).all()
    assert not (draw_conditions(TABLE, 6, range(30)) == block).all()


def test_conditions_occur_by_their_shares() -> None:
    """Of 4,000 candidates, each row of the table gets its share to within 2 percentage points."""
    drawn = draw_conditions(TABLE, 1, range(4000))
    for row, share in zip(TABLE.conditions, TABLE.shares, strict=True):
        assert (drawn == row).all(axis=1).mean() == pytest.approx(share, abs=0.02)


def test_draws_never_change() -> None:
    """Datasets are reproduced from these numbers, which are not those of the latents."""
    fixed = {2: 0.575300433347867, 2**63 - 1: 0.31155653175382947}
    assert {index: random_streams.draw_condition_uniform(1, index) for index in fixed} == fixed
    uniform = np.array([random_streams.draw_condition_uniform(3, index) for index in range(500)])
    latents = random_streams.draw_latents(3, 0, 500, 1)[:, 0]
    assert abs(np.corrcoef(uniform, latents)[0, 1]) < 0.15


def test_a_request_draws_from_the_rows_that_meet_it() -> None:
    """The shares of the other rows are 0, and those of the selected rows keep their proportions."""
    selected = TABLE.select(TABLE.attributes.views == "PA")
    assert sorted(selected.shares.tolist()) == pytest.approx([1 / 3, 2 / 3])
    drawn = condition.decode_conditions(draw_conditions(selected, 2, range(200)), selected.parts)
    assert set(drawn.views.tolist()) == {"PA"}


def test_the_table_survives_the_round_trip(tmp_path: Path) -> None:
    """Its digest covers conditions and shares, and a file of other arrays keeps them."""
    path = save(tmp_path / "reference.npz", counts=np.zeros(15), **TABLE.to_arrays())
    read = ConditionTable.read(path, COLUMNS)
    assert read.digest == TABLE.digest
    assert (draw_conditions(read, 9, range(10)) == draw_conditions(TABLE, 9, range(10))).all()
    assert TABLE.select(np.array([True, True, False])).digest != TABLE.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"condition_shares": np.array([0.5, 0.5])}, "its table of conditions is damaged"),
        ({"condition_shares": np.array([0.5, 0.5, 0.0])}, "its table of conditions is damaged"),
        ({"condition_shares": np.array([0.5, 0.5, 0.5])}, "its table of conditions is damaged"),
        ({"conditions": np.zeros((3, 30), np.float32)}, "its table of conditions is damaged"),
        ({"conditions": np.full((3, 31), NAN, np.float32)}, "not finite"),
        ({"conditions": np.full((3, 31), 1e200)}, "its table of conditions is damaged"),
        ({"condition_columns": np.array(["view PA"])}, "its table of conditions is that of another model"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    """The error names the file."""
    path = save(tmp_path / "reference.npz", **(TABLE.to_arrays() | changes))
    with pytest.raises(ArtifactError, match=rf"reference\.npz.*{message}"):
        ConditionTable.read(path, COLUMNS)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    """The error says what to do."""
    path = save(tmp_path / "reference.npz", counts=np.zeros(15))
    with pytest.raises(ArtifactError, match="lacks the arrays condition_columns, conditions, condition_shares"):
        ConditionTable.read(path, COLUMNS)

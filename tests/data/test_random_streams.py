"""Per-image random streams."""

import numpy as np

from synthcxr.data import random_streams


def test_a_candidate_is_the_same_however_it_is_drawn() -> None:
    """One at a time, in a block, from the middle."""
    block = random_streams.latents(5, 0, 10, 7)
    assert (random_streams.latents(5, 3, 4, 7) == block[3:7]).all()
    assert (np.concatenate([random_streams.latents(5, i, 1, 7) for i in range(10)]) == block).all()


def test_seeds_and_indices_name_different_streams() -> None:
    """No two of a hundred are equal, not even where seed and index are swapped."""
    rows = {random_streams.latents(seed, index, 1, 4).tobytes() for seed in range(10) for index in range(10)}
    assert len(rows) == 100


def test_draws_are_standard_normal_and_known() -> None:
    """Mean 0, deviation 1; the first draw is fixed for good, since datasets are replayed from it."""
    rows = random_streams.latents(1, 0, 2000, 16)
    assert abs(rows.mean()) < 0.02
    assert abs(rows.std() - 1) < 0.02
    assert rows.dtype == np.float32
    assert random_streams.latents(0, 0, 1, 3)[0].tolist() == [
        0.059911035001277924,
        0.015559634193778038,
        -1.1644384860992432,
    ]

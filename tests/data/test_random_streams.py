"""The random stream of each candidate."""

import numpy as np

from synthcxr.data import random_streams


def test_a_candidate_does_not_depend_on_the_block_it_is_drawn_in() -> None:
    """Candidates drawn one at a time, in one block or from the middle are the same."""
    block = random_streams.draw_latents(5, 0, 10, 7)
    assert (random_streams.draw_latents(5, 3, 4, 7) == block[3:7]).all()
    assert (np.concatenate([random_streams.draw_latents(5, i, 1, 7) for i in range(10)]) == block).all()


def test_seeds_and_indices_name_different_streams() -> None:
    """A hundred streams differ, also those whose seed and index are swapped."""
    rows = {random_streams.draw_latents(seed, index, 1, 4).tobytes() for seed in range(10) for index in range(10)}
    assert len(rows) == 100


def test_latents_are_standard_normal_and_never_change() -> None:
    """Mean 0, standard deviation 1, and a fixed first latent, because datasets are reproduced from it."""
    rows = random_streams.draw_latents(1, 0, 2000, 16)
    assert abs(rows.mean()) < 0.02
    assert abs(rows.std() - 1) < 0.02
    assert rows.dtype == np.float32
    assert random_streams.draw_latents(0, 0, 1, 3)[0].tolist() == [
        0.059911035001277924,
        0.015559634193778038,
        -1.1644384860992432,
    ]

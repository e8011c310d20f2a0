"""The least numbers of films that training and evaluation need; `prepare` warns about them, and they refuse with them.

This file imports nothing, so that a change of another module does not make `dvc repro` run `prepare` again.
"""

from __future__ import annotations

MIN_FILMS_FOR_DISTANCE = 50
"""With fewer real films, a comparison is not applicable, and no generator can be chosen by its distance to val."""
MIN_FILMS_TO_TRAIN = 2
"""The films that a classifier needs in the split that it learns on, and in val."""
MIN_FILMS_FOR_CALIBRATION = 30
"""With fewer val films, probabilities are not calibrated."""
MIN_POSITIVES_FOR_AUROC = 3
"""The val films with a finding, and without it, that its AUROC needs before it enters the mean."""
MIN_VAL_POSITIVES = 3
"""With fewer val films with a finding, its threshold depends on train films too, and it enters no gate."""

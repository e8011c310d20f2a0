"""Log a training to MLflow while it runs, if a store is configured; without one, do not load MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from synthcxr.registry import tracking_uri

if TYPE_CHECKING:
    from synthcxr.registry.training_log_sender import StartLogging


@contextlib.contextmanager
def log_training(*, experiment: str, table: str, say: Callable[[str], None]) -> Iterator[StartLogging]:
    """Yield the function that a training starts its logging with; `table` prefixes metrics, as in train_gan/loss_d.

    Never raises, and waits for a server only at the end, for seconds. `say` gets one line if nothing is logged or the
    store does not answer.
    """
    uri = tracking_uri.find()
    if uri is None:
        say("note: no MLflow store here yet; `synthcxr register` will create it and log this training")
        yield lambda films, training, parameters: lambda row: None
        return
    from synthcxr.registry import training_log_sender

    with training_log_sender.send_training_log(uri, experiment=experiment, table=table, say=say) as start_logging:
        yield start_logging

"""Whether MLflow follows a training as it runs: where a store is known, and without loading MLflow where none is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from synthcxr.registry import tracking_uri

Hear = Callable[[Mapping[str, str]], None]
Follow = Callable[[str, str, Mapping[str, Any]], Hear]


@contextlib.contextmanager
def following(*, experiment: str, table: str, say: Callable[[str], None]) -> Iterator[Follow]:
    """What a training tells its rows to, for the block; `table` names their metrics, such as train_gan/loss_d.

    Never raises and never waits for a server but at the end, for seconds. `say` is told, once, where nothing is
    logged or the store does not answer.
    """
    uri = tracking_uri.find()
    if uri is None:
        say("MLflow has no store here yet: rows are in the table alone, and `synthcxr register` logs them")
        yield lambda films, training, parameters: lambda row: None
        return
    from synthcxr.registry import training_log_sender

    with training_log_sender.following(uri, experiment=experiment, table=table, say=say) as follow:
        yield follow

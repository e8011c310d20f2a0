"""Rows of a training sent to MLflow while it runs, by a thread that keeps what a server does not take.

Training calls a function a row and knows nothing of this. What never got through is in the training's table all the
same, and `synthcxr register` logs whatever the run lacks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from synthcxr.errors import ArtifactError
from synthcxr.project import revision
from synthcxr.registry import active_run, connection, run_metrics
from synthcxr.registry.training_log import Follow, Hear

FLUSH_S = 10.0
END_S = 15.0
_PARAMS_A_BATCH, _METRICS_A_BATCH = 100, 1000  # what MLflow takes at once


@contextlib.contextmanager
def following(uri: str, *, experiment: str, table: str, say: Callable[[str], None]) -> Iterator[Follow]:
    """What a training tells its rows to for the block; see `follow.following`."""
    senders: list[_Sender] = []

    def follow(films: str, training: str, parameters: Mapping[str, Any]) -> Hear:
        senders.append(_Sender(uri, experiment, table, say, films, training, run_metrics.params({table: parameters})))
        senders[-1].start()
        return senders[-1].hear

    with connection.patient():  # for the whole process: set here, in the thread that trains, and not while it does
        status = "FAILED"
        try:
            yield follow
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            for sender in senders:
                sender.end(status)


class _Sender(threading.Thread):
    """Sends what it hears every FLUSH_S seconds, in order; what is not taken is sent again the next time."""

    def __init__(
        self,
        uri: str,
        experiment: str,
        table: str,
        say: Callable[[str], None],
        films: str,
        training: str,
        params: dict[str, str],
    ) -> None:
        super().__init__(name="mlflow", daemon=True)
        self.uri, self.experiment, self.table, self.say = uri, experiment, table, say
        self.films, self.training, self.params = films, training, params
        self.waiting: deque[Metric] = deque()
        self._ending, self._status, self._silent = threading.Event(), "", False
        self._to: tuple[MlflowClient, str] | None = None
        self._sent_step = -1

    def hear(self, row: Mapping[str, str]) -> None:
        """Take a row; returns at once."""
        now_ms = int(time.time() * 1000)
        self.waiting.extend(Metric(p.name, p.value, now_ms, p.step) for p in run_metrics.points(self.table, row))

    def end(self, status: str) -> None:
        """Send the rest and end the run with `status`, for END_S seconds at most."""
        self._status = status
        self._ending.set()
        self.join(END_S)
        if self.waiting:
            self.say("MLflow did not take all rows: they are in the table, and `synthcxr register` logs them")

    def run(self) -> None:
        """Send until told to end."""
        ended = False
        while not ended:
            ended = self._ending.wait(FLUSH_S)
            try:
                with connection.speaking(self.uri):
                    self._send()
                    if ended and self._to is not None:
                        self._to[0].set_terminated(self._to[1], self._status)
            except (ArtifactError, OSError) as error:
                if not self._silent:
                    self.say(f"{error}; training goes on, and its rows wait")
                self._silent = True
            else:
                self._silent = False

    def _send(self) -> None:
        client, run_id = self._to or self._begin()
        self._to = client, run_id
        while self.waiting:
            batch = [self.waiting[at] for at in range(min(len(self.waiting), _METRICS_A_BATCH))]
            if new := [metric for metric in batch if metric.step > self._sent_step]:
                client.log_batch(run_id, metrics=new)
            for _ in batch:
                self.waiting.popleft()

    def _begin(self) -> tuple[MlflowClient, str]:
        """Go on with the run of this project's trainings, or begin it; rows that it holds are not sent again."""
        client = connection.connect(self.uri)
        experiment_id = connection.experiment(client, self.uri, self.experiment)
        run = active_run.find(client, experiment_id, films=self.films, trainings={self.table: self.training})
        if run is None:
            run = client.create_run(experiment_id)
            active_run.note(run.info.run_id)
        run_id = run.info.run_id
        client.update_run(run_id, status="RUNNING")
        tags = revision.tags() | {active_run.FILMS: self.films, active_run.tag(self.table): self.training}
        params = [Param(name, value) for name, value in self.params.items() if name not in run.data.params]
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        for at in range(0, len(params), _PARAMS_A_BATCH):
            client.log_batch(run_id, params=params[at : at + _PARAMS_A_BATCH])
        held = [name for name in run.data.metrics if name.startswith(f"{self.table}/")]
        steps = [metric.step for name in held[:1] for metric in client.get_metric_history(run_id, name)]
        self._sent_step = max(steps, default=-1)
        return client, run_id

"""Send the rows of a training to MLflow while it runs, in a thread that keeps rows until the server accepts them.

The training calls one function per row and knows nothing of MLflow. Rows that never reach MLflow are still in the
training's table, and `synthcxr register` logs whatever the run lacks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from synthcxr.errors import ArtifactError
from synthcxr.project import revision
from synthcxr.registry import active_run, connection, run_metrics
from synthcxr.registry.client import TRAINING_DATA_TAG
from synthcxr.storage import clean_up

FLUSH_S = 10.0
END_S = 15.0

RowCallback = Callable[[Mapping[str, str]], None]
"""Takes one row, by column, as the CSV has it; neither waits nor raises."""
StartLogging = Callable[[str, str, Mapping[str, Any]], RowCallback]
"""(fingerprint of the films, fingerprint of the training, its parameters) -> callback for its rows."""


@contextlib.contextmanager
def send_training_log(uri: str, *, experiment: str, table: str, say: Callable[[str], None]) -> Iterator[StartLogging]:
    """Yield the function that a training starts its logging with; see `training_log.log_training`."""
    senders: list[_Sender] = []

    def start_logging(films: str, training: str, parameters: Mapping[str, Any]) -> RowCallback:
        params = run_metrics.flatten_params({table: parameters})
        senders.append(_Sender(uri, experiment, table, say, films, training, params))
        senders[-1].start()
        return senders[-1].add_row

    status = "KILLED"

    def end() -> None:
        for sender in senders:
            sender.end(status)

    with connection.prepare_for_sender_thread(), clean_up.ensured(end):
        try:
            yield start_logging
        except Exception:
            status = "FAILED"
            raise
        status = "FINISHED"


class _Sender(threading.Thread):
    """Sends the waiting rows every FLUSH_S seconds, in order; rows that fail are sent again the next time."""

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
        self._ending, self._end_status, self._reported = threading.Event(), "", False
        self._run: tuple[MlflowClient, str] | None = None
        self._run_to_end: tuple[MlflowClient, str] | None = None
        self._sent_step = -1

    def add_row(self, row: Mapping[str, str]) -> None:
        """Queue a row and return at once."""
        now_ms = int(time.time() * 1000)
        points = run_metrics.row_to_points(self.table, row)
        self.waiting.extend(Metric(point.name, point.value, now_ms, point.step) for point in points)

    def end(self, status: str) -> None:
        """Send the remaining rows and end the run with `status`, within END_S seconds."""
        self._end_status = status
        self._ending.set()
        self.join(END_S)
        if self.waiting:
            self.say("MLflow did not receive all rows: `synthcxr register` will log the rest from the training table")

    def run(self) -> None:
        """Send rows until `end` is called."""
        ended = False
        while not ended:
            ended = self._ending.wait(FLUSH_S)
            try:
                with connection.translate_errors(self.uri):
                    self._send()
            except (ArtifactError, OSError) as error:
                if not self._reported:
                    self.say(f"{error}; training continues and its rows are sent later")
                self._reported = True
            else:
                self._reported = False
        self._end_run()

    def _end_run(self) -> None:
        """End the run, also if rows could not be sent, so that it does not stay RUNNING."""
        if self._run_to_end is None:
            return
        client, run_id = self._run_to_end
        try:
            with connection.translate_errors(self.uri):
                client.set_terminated(run_id, self._end_status)
        except (ArtifactError, OSError) as error:
            self.say(f"{error}; the MLflow run stays RUNNING")

    def _send(self) -> None:
        client, run_id = self._run or self._start_run()
        self._run = client, run_id
        while self.waiting:
            n = min(len(self.waiting), run_metrics.METRICS_PER_BATCH)
            batch = [self.waiting[index] for index in range(n)]  # by index: the training may append meanwhile
            if unsent := [metric for metric in batch if metric.step > self._sent_step]:
                client.log_batch(run_id, metrics=unsent)
            for _ in batch:
                self.waiting.popleft()

    def _start_run(self) -> tuple[MlflowClient, str]:
        """Continue the run of this project's trainings, or start it; rows that it contains are not sent again."""
        client = connection.connect(self.uri)
        experiment_id = connection.get_or_create_experiment(client, self.uri, self.experiment)
        if self._run_to_end is None:
            trainings = {self.table: self.training}
            run = active_run.find_active_run(client, experiment_id, films=self.films, trainings=trainings)
        else:  # an earlier call made or found it, and then failed
            run = client.get_run(self._run_to_end[1])
        tags = revision.build_run_tags() | {
            TRAINING_DATA_TAG: self.films,
            active_run.training_tag(self.table): self.training,
        }
        if run is None:  # with its tags, so that it is found again if the following calls fail
            run = client.create_run(experiment_id, tags=tags)
        run_id = run.info.run_id
        self._run_to_end = client, run_id
        active_run.save_run_id(run_id)
        client.update_run(run_id, status="RUNNING")
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        params = {name: value for name, value in self.params.items() if name not in run.data.params}
        run_metrics.log_params(client, run_id, params)
        logged = [name for name in run.data.metrics if name.startswith(f"{self.table}/")]
        steps = [metric.step for name in logged[:1] for metric in client.get_metric_history(run_id, name)]
        self._sent_step = max(steps, default=-1)
        return client, run_id

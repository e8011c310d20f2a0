"""A real `mlflow server` on loopback that also serves its artifacts; tests can kill and restart it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.loopback_server import find_free_port, wait_until_healthy


class MlflowServer:
    """An MLflow server in `folder`, whose store starts as a copy of `store`."""

    def __init__(self, folder: Path, store: Path) -> None:
        folder.mkdir()
        shutil.copyfile(store, folder / "mlflow.db")
        self.folder, self.port = folder, find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        stores = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        stores += ["--artifacts-destination", str(self.folder / "files"), "--workers", "1"]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *stores], cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until_healthy(f"{self.url}/health", self._process, self.folder / "log")

    def kill(self) -> None:
        """Kill it with its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

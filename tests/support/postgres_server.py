"""Run MLflow as a team does, on loopback: PostgreSQL for the store, artifacts through the server, and a password.

From the folder of the repository, `PYTHONPATH=tests python -m support.postgres_server start FOLDER` starts it and
prints the two lines to export; the same with `stop` ends it. FOLDER keeps its data for the next start. PostgreSQL is
Debian's: `apt-get install postgresql`. It refuses to run as root, so root starts it as the user `postgres`, who comes
with the package and must be able to enter FOLDER.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.loopback_server import find_free_port, wait_until_healthy

ADMIN = "admin"
PASSWORD = "a-long-loopback-password"  # guards a server on loopback that has test data only
_CONFIG = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def find_missing_requirement() -> str:
    """Return what is missing and how to install it, or "" if the server can start."""
    if _find_programs() is None:
        return "no PostgreSQL: apt-get install postgresql"
    for module in ("psycopg2", "flask_wtf"):
        try:
            __import__(module)
        except ImportError:
            return f"no {module}: pip install psycopg2-binary Flask-WTF"
    return ""


def _find_programs() -> Path | None:
    """Return the folder of the programs of the newest PostgreSQL."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """A database cluster in a folder; root runs it as the user `postgres`."""

    def __init__(self, folder: Path) -> None:
        programs = _find_programs()
        assert programs is not None
        self.programs, self.folder, self.port = programs, folder, find_free_port()
        self.uri = f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/postgres"
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None

    def start(self) -> None:
        """Create the cluster if there is none, and start it."""
        self.folder.mkdir(exist_ok=True)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        cluster = self.folder / "cluster"
        if not cluster.exists():
            self._run("initdb", "-D", str(cluster), "-U", "mlflow", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", str(cluster), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop it immediately."""
        self._run("pg_ctl", "-D", str(self.folder / "cluster"), "-m", "immediate", "stop", check=False)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        uid, gid = (self._user.pw_uid, self._user.pw_gid) if self._user else (None, None)
        with (self.folder / "commands.log").open("ab") as log:
            subprocess.run(
                [self.programs / program, *arguments],
                cwd=self.folder,
                user=uid,
                group=gid,
                extra_groups=[] if self._user else None,
                stdout=log,
                stderr=log,
                check=check,
            )


class TeamServer:
    """An MLflow server on a PostgreSQL database; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.database = folder, find_free_port(), Postgres(folder / "postgres")
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers; the database must be running."""
        config = self.folder / "auth.ini"
        config.write_text(_CONFIG.format(folder=self.folder, admin=ADMIN))
        command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self.database.uri, "--artifacts-destination", str(self.folder / "files")]
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"} | {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret of this folder",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        (self.folder / "pid").write_text(str(self._process.pid))
        wait_until_healthy(f"{self.url}/health", self._process, self.folder / "log")

    def kill(self) -> None:
        """Kill the server and its workers; the database keeps running."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def open_scratch_folder() -> Iterator[Path]:
    """Create a temporary folder that the user `postgres` may enter."""
    with tempfile.TemporaryDirectory(prefix="synthcxr-team-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def run_team_server(folder: Path) -> Iterator[TeamServer]:
    """Run database and server for the block; the user `postgres` must be able to enter the folder."""
    server = TeamServer(folder)
    server.database.start()
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.database.stop()


def start(folder: Path) -> None:
    """Start database and server, leave them running, and print what to export."""
    if problem := find_missing_requirement():
        sys.exit(problem)
    server = TeamServer(folder)
    server.database.start()
    try:
        server.start()
    except BaseException:
        server.kill()
        server.database.stop()
        raise
    sys.stdout.write(f"export MLFLOW_TRACKING_URI={server.url}\n")
    sys.stdout.write(f"export MLFLOW_TRACKING_USERNAME={ADMIN} MLFLOW_TRACKING_PASSWORD={PASSWORD}\n")


def stop(folder: Path) -> None:
    """Stop what `start` left running in this folder."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    (folder / "pid").unlink()
    Postgres(folder / "postgres").stop()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit("usage: PYTHONPATH=tests python -m support.postgres_server start|stop FOLDER")
    (start if sys.argv[1] == "start" else stop)(Path(sys.argv[2]).absolute())

"""The MLflow store in a SQLite file: made complete or not at all, and opened only if its tables fit this MLflow."""

from __future__ import annotations

from pathlib import Path

from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from mlflow.store.db.base_sql_model import Base
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from mlflow.version import VERSION

from synthcxr.errors import ArtifactError
from synthcxr.storage import sqlite_store
from synthcxr.storage.progress import print_line
from synthcxr.storage.sqlite_store import Contents, UnfinishedStoreError

_ALEMBIC_TABLE, _EXPERIMENTS = "alembic_version", "experiments"
_FILLED_BY_MLFLOW = {_ALEMBIC_TABLE, "workspaces"}
"""The tables into which MLflow itself writes rows while it makes a store."""
_UNFINISHED_STEP = "_alembic_tmp_"


def require_usable(path: Path, *, name: str) -> None:
    """Raise an ArtifactError of one line unless MLflow can use the file as it is.

    MLflow itself would change the tables of an older version without a word, and retry for minutes on a locked file.
    UnfinishedStoreError if the creation of the store was interrupted. A database with an experiment, other than the
    default one that MLflow makes, or with a run or a model is never unfinished. `name` is for messages.
    """
    contents = sqlite_store.read_contents(path, name=name)
    if _is_foreign(contents):
        raise ArtifactError(f"{name}: is a database of another program; give another address")
    if contents.revisions == (newest := _read_newest_revision(),):
        return
    if _is_unfinished(contents, path, name):
        raise UnfinishedStoreError(
            f"{name}: its creation was interrupted, and nothing is in it; `synthcxr register` or `synthcxr models"
            " add-starter` replaces it"
        )
    revision = ", ".join(contents.revisions) or "none"
    if not contents.revisions or _is_known(contents.revisions):
        raise ArtifactError(
            f"{name}: the tables belong to an older MLflow version (schema {revision}; MLflow {VERSION} has {newest});"
            f" make a copy of the file, then run: mlflow db upgrade sqlite:///{path.absolute()}"
        )
    raise ArtifactError(
        f"{name}: the tables belong to a newer MLflow version (schema {revision}; MLflow {VERSION} has {newest});"
        " run: pip install --upgrade mlflow"
    )


def make(path: Path, *, name: str) -> None:
    """Make an empty store at `path`, in place of an unfinished one, unless another process has made it meanwhile."""

    def is_complete() -> bool:
        if not path.exists():
            return False
        try:
            require_usable(path, name=name)
        except UnfinishedStoreError:
            return False
        return True

    if (kept := sqlite_store.create(path, _build, name=name, is_complete=is_complete)) is not None:
        print_line(f"{name}: its creation was interrupted, and nothing is in it; replaced, the old file is {kept.name}")


def _build(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # its import warns; `connection` hides that

    uri = f"sqlite:///{path.absolute()}"
    try:
        SqlAlchemyStore(uri, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)  # type: ignore[no-untyped-call]
    finally:
        if engine := SqlAlchemyStore._engine_map.pop(uri, None):
            engine.dispose()


def _is_foreign(contents: Contents) -> bool:
    """Whether another program made the database: it has tables that MLflow does not make, and no `experiments`."""
    known = {_ALEMBIC_TABLE, *Base.metadata.tables, *InitialBase.metadata.tables}
    unknown = {table for table in contents.tables - known if not table.startswith(_UNFINISHED_STEP)}
    return bool(unknown) and _EXPERIMENTS not in contents.tables


def _is_unfinished(contents: Contents, path: Path, name: str) -> bool:
    """Whether MLflow was interrupted while it made the tables: the last step of that is the default experiment."""
    if contents.revisions and not _is_known(contents.revisions):
        return False
    filled = contents.filled - _FILLED_BY_MLFLOW
    if contents.revisions or _EXPERIMENTS not in filled:
        return not filled
    with sqlite_store.open_database(path, name=name) as database:
        other = database.execute("SELECT 1 FROM experiments WHERE experiment_id <> 0 OR name <> 'Default' LIMIT 1")
        return filled == {_EXPERIMENTS} and other.fetchone() is None


def _read_newest_revision() -> str:
    return str(utils._get_latest_schema_revision())  # type: ignore[no-untyped-call]


def _is_known(revisions: tuple[str, ...]) -> bool:
    script = ScriptDirectory.from_config(utils._get_alembic_config(db_url=""))  # type: ignore[no-untyped-call]
    return set(revisions) <= {known.revision for known in script.walk_revisions()}

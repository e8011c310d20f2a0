"""Query the MLflow registry and fetch the folders of model versions: local ones in place, remote ones via the cache."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.registry import connection, tracking_uri
from synthcxr.storage import cache_dir, clean_up, digests

MODEL_FOLDER = "model"
_LOGGED_FOLDER = f"data/{MODEL_FOLDER}"  # where MLflow stores the folder that was passed as data_path
KIND_TAG = "synthcxr.kind"
WHY_TAG = "synthcxr.why"
MODEL_JSON_TAG = "synthcxr.model_json_sha256"
DECISION_WHY_TAG = "synthcxr.decision_why"
DIGEST_TAG = "synthcxr.digest"
PHANTOM_TAG = "synthcxr.phantom"
RESOLUTION_TAG = "synthcxr.resolution"
TRAINING_DATA_TAG = "synthcxr.training_data"
METRICS_TAG = "synthcxr.metrics_sha256"
VERDICT_TAG = "synthcxr.verdict_sha256"
_NOT_FOUND = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


@dataclasses.dataclass(frozen=True)
class Version:
    """One registered model version."""

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    created_ms: int
    source: str
    tags: dict[str, str]

    @property
    def index_sha256(self) -> str:
        """The sha256 of model.json at registration, or "" for a version that another tool registered."""
        return self.tags.get(MODEL_JSON_TAG, "")


@dataclasses.dataclass(frozen=True)
class Registry:
    """An MLflow store that has answered a request."""

    uri: str
    client: MlflowClient

    @classmethod
    def open(cls, uri: str) -> Registry:
        """Connect; raise ArtifactError within seconds if the store does not answer."""
        return cls(uri, connection.connect(uri))

    def get_aliases(self, name: str) -> dict[str, str]:
        """Return alias to version of a registered model; empty if there is no such model."""
        with connection.translate_errors(self.uri):
            try:
                aliases = self.client.get_registered_model(name).aliases
            except MlflowException as error:
                if error.error_code == _NOT_FOUND:
                    return {}
                raise
        return {alias: str(version) for alias, version in aliases.items()}

    def get_version(self, name: str, number: str) -> Version:
        """Return one version by its number; ArtifactError if it does not exist."""
        with connection.translate_errors(self.uri):
            return _to_version(self.client.get_model_version(name, number), self.get_aliases(name))

    def list_versions(self) -> Iterator[Version]:
        """Yield every version of the models that synthcxr registered here, by name, newest first."""
        with connection.translate_errors(self.uri):
            models = self.client.search_registered_models(filter_string=f"tags.`{KIND_TAG}` != ''")
            for name in sorted(model.name for model in models):
                versions = self.client.search_model_versions(f"name = '{name}'")
                aliases = self.get_aliases(name)
                for version in sorted(versions, key=lambda version: -int(version.version)):
                    yield _to_version(version, aliases)

    def fetch_model(self, version: Version) -> Path:
        """Return the verified model folder of a version."""
        with connection.translate_errors(self.uri):
            if version.source.startswith("models:/m-"):
                model = self.client.get_logged_model(version.source.removeprefix("models:/"))
                address, cache_key = model.artifact_location, model.model_id
            else:
                address = self.client.get_model_version_download_uri(version.name, version.version)
                cache_key = digests.fingerprint([version.name, version.version, address])
        return self._fetch(f"{address}/{_LOGGED_FOLDER}", cache_key=cache_key, index_sha256=version.index_sha256)

    def fetch_run_model(self, run_id: str, path: str) -> Path:
        """Return the verified model folder of a run; `path` is a model's name or a folder of its artifacts."""
        with connection.translate_errors(self.uri):
            run = self.client.get_run(run_id)
            for output in run.outputs.model_outputs if run.outputs else ():
                model = self.client.get_logged_model(output.model_id)
                if model.name == path:
                    address = f"{model.artifact_location}/{_LOGGED_FOLDER}"
                    return self._fetch(address, cache_key=model.model_id, index_sha256="")
        address = f"{run.info.artifact_uri}/{path}"
        return self._fetch(address, cache_key=digests.fingerprint([run_id, path]), index_sha256="")

    def get_run_tags_and_params(self, run_id: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the tags and the parameters of a run."""
        with connection.translate_errors(self.uri):
            data = self.client.get_run(run_id).data
        return dict(data.tags), dict(data.params)

    def read_run_file(self, run_id: str, name: str) -> bytes | None:
        """Return the content of a file that a run logged, or None if there is no such file."""
        with connection.translate_errors(self.uri):
            address = f"{self.client.get_run(run_id).info.artifact_uri}/{name}"
            path = tracking_uri.local_path(address)
            if path is not None:
                if not path.exists() and tracking_uri.store_kind(self.uri) == "embedded":
                    path = tracking_uri.relocate(path)
                return path.read_bytes() if path.is_file() else None
            if name not in {file.path for file in self.client.list_artifacts(run_id)}:
                return None
            with clean_up.temporary_folder("synthcxr-") as scratch:
                file = mlflow.artifacts.download_artifacts(
                    artifact_uri=address, dst_path=str(scratch), tracking_uri=self.uri
                )
                return Path(file).read_bytes()

    def _fetch(self, address: str, *, cache_key: str, index_sha256: str) -> Path:
        path = tracking_uri.local_path(address)
        if path is None:
            path = self._fetch_to_cache(address, cache_key, index_sha256)
        elif not path.is_dir() and tracking_uri.store_kind(self.uri) == "embedded":
            path = tracking_uri.relocate(path)
        if not path.is_dir():
            raise ArtifactError(f"{path}: the registry lists this model but its files are gone; register it again")
        _verify(path, index_sha256)
        return path

    def _fetch_to_cache(self, address: str, cache_key: str, index_sha256: str) -> Path:
        """Return the folder in the cache; download it if it is absent or damaged."""
        path = cache_dir.cache_dir() / "models" / cache_key
        if path.is_dir():
            try:
                _verify(path, index_sha256)
            except ArtifactError:
                shutil.rmtree(path)
            else:
                return path
        try:
            self._download(address, path, index_sha256)
        except OSError as error:
            raise ArtifactError(
                f"{path.parent}: cannot store the downloaded model ({error.strerror or error});"
                f" free some space there or set {cache_dir.VARIABLE}"
            ) from error
        return path

    def _download(self, address: str, path: Path, index_sha256: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            clean_up.temporary_folder(".partial-", parent=path.parent) as partial,
            connection.translate_errors(self.uri),
        ):
            folder = Path(
                mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(partial), tracking_uri=self.uri)
            )
            _verify(folder, index_sha256)
            if not path.exists():  # another process may have finished first
                folder.replace(path)


def _verify(folder: Path, index_sha256: str) -> None:
    model_folder.verify_files(folder)
    if index_sha256 and digests.sha256_file(folder / model_folder.INDEX_FILE) != index_sha256:
        index = folder / model_folder.INDEX_FILE
        raise ArtifactError(f"{index}: differs from the one that was registered; register or pull the model again")


def _to_version(version: ModelVersion, aliases: dict[str, str]) -> Version:
    number = str(version.version)
    return Version(
        name=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
        run_id=version.run_id or "",
        created_ms=int(version.creation_timestamp or 0),
        source=version.source or "",
        tags=dict(version.tags or {}),
    )

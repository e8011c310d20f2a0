"""Model versions found in MLflow and their folders brought here: read in place where they are local, else cached."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.registry import connection, model_bundle, tracking_uri
from synthcxr.storage import digests

INSIDE = f"data/{model_bundle.FOLDER}"  # where a logged version holds the folder that was given as data_path
TAG = "synthcxr.kind"
WHY_TAG = "synthcxr.why"
INDEX_TAG = "synthcxr.model_json_sha256"
DECISION_WHY_TAG = "synthcxr.decision_why"
DIGEST_TAG = "synthcxr.digest"
PHANTOM_TAG = "synthcxr.phantom"
METRICS_TAG = "synthcxr.metrics_sha256"
VERDICT_TAG = "synthcxr.verdict_sha256"
_ABSENT = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


@dataclasses.dataclass(frozen=True)
class Version:
    """One registered version. `index_sha256` is that of its model.json as it was registered, "" if unknown."""

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    created_ms: int
    source: str
    tags: dict[str, str]

    @property
    def index_sha256(self) -> str:
        """The digest that vouches for the folder, "" for a version that another tool registered."""
        return self.tags.get(INDEX_TAG, "")


@dataclasses.dataclass(frozen=True)
class Registry:
    """An MLflow store that is there and answers."""

    uri: str
    client: MlflowClient

    @classmethod
    def open(cls, uri: str) -> Registry:
        """Connect; ArtifactError in seconds where nothing answers."""
        return cls(uri, connection.connect(uri))

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version of a registered model; empty where there is no such model."""
        with connection.speaking(self.uri):
            try:
                found = self.client.get_registered_model(name).aliases
            except MlflowException as error:
                if error.error_code == _ABSENT:
                    return {}
                raise
        return {alias: str(version) for alias, version in found.items()}

    def version(self, name: str, number: str) -> Version:
        """One version by its number; ArtifactError where it does not exist."""
        with connection.speaking(self.uri):
            return _version(self.client.get_model_version(name, number), self.aliases(name))

    def versions(self) -> Iterator[Version]:
        """Every version of the models that synthcxr registered here, by name, the newest first."""
        with connection.speaking(self.uri):
            names = [model.name for model in self.client.search_registered_models(filter_string=f"tags.`{TAG}` != ''")]
            for name in sorted(names):
                found = self.client.search_model_versions(f"name = '{name}'")
                aliases = self.aliases(name)
                yield from (_version(one, aliases) for one in sorted(found, key=lambda one: -int(one.version)))

    def folder(self, version: Version) -> Path:
        """The verified model folder of a version."""
        with connection.speaking(self.uri):
            if version.source.startswith("models:/m-"):
                model = self.client.get_logged_model(version.source.removeprefix("models:/"))
                address, key = model.artifact_location, model.model_id
            else:
                address = self.client.get_model_version_download_uri(version.name, version.version)
                key = digests.fingerprint([version.name, version.version, address])
        return self._bring(f"{address}/{INSIDE}", key=key, index_sha256=version.index_sha256)

    def run_folder(self, run_id: str, path: str) -> Path:
        """The verified model folder that a run logged under `path`: a model's name, or a folder of its artifacts."""
        with connection.speaking(self.uri):
            run = self.client.get_run(run_id)
            for output in run.outputs.model_outputs if run.outputs else ():
                model = self.client.get_logged_model(output.model_id)
                if model.name == path:
                    return self._bring(f"{model.artifact_location}/{INSIDE}", key=model.model_id, index_sha256="")
        address = f"{run.info.artifact_uri}/{path}"
        return self._bring(address, key=digests.fingerprint([run_id, path]), index_sha256="")

    def run_record(self, run_id: str) -> tuple[dict[str, str], dict[str, str]]:
        """Tags and parameters of a run."""
        with connection.speaking(self.uri):
            data = self.client.get_run(run_id).data
        return dict(data.tags), dict(data.params)

    def run_file(self, run_id: str, name: str) -> bytes | None:
        """The content of a file that a run logged, None where it holds none of that name."""
        with connection.speaking(self.uri):
            address = f"{self.client.get_run(run_id).info.artifact_uri}/{name}"
            path = tracking_uri.local(address)
            if path is not None:
                here = (
                    tracking_uri.here(path) if not path.exists() and tracking_uri.kind(self.uri) == "embedded" else path
                )
                return here.read_bytes() if here.is_file() else None
            if name not in {file.path for file in self.client.list_artifacts(run_id)}:
                return None
            with tempfile.TemporaryDirectory(prefix="synthcxr-") as scratch:
                fetched = mlflow.artifacts.download_artifacts(
                    artifact_uri=address, dst_path=scratch, tracking_uri=self.uri
                )
                return Path(fetched).read_bytes()

    def _bring(self, address: str, *, key: str, index_sha256: str) -> Path:
        path = tracking_uri.local(address)
        if path is None:
            path = self._cached(address, key, index_sha256)
        elif not path.is_dir() and tracking_uri.kind(self.uri) == "embedded":
            path = tracking_uri.here(path)
        if not path.is_dir():
            raise ArtifactError(f"{path}: the registry lists this model but its files are gone; register it again")
        _verify(path, index_sha256)
        return path

    def _cached(self, address: str, key: str, index_sha256: str) -> Path:
        """The folder in the cache, fetched where it is absent or no longer what it was."""
        path = tracking_uri.cache() / "models" / key
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
                f"{path.parent}: cannot keep the pulled model ({error.strerror or error});"
                " free space there or set SYNTHCXR_CACHE"
            ) from error
        return path

    def _download(self, address: str, path: Path, index_sha256: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as partial, connection.speaking(self.uri):
            fetched = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=partial, tracking_uri=self.uri)
            _verify(Path(fetched), index_sha256)
            if not path.exists():  # another process may have been quicker
                Path(fetched).replace(path)


def _verify(folder: Path, index_sha256: str) -> None:
    model_folder.verify(folder)
    if index_sha256 and digests.sha256_file(folder / model_folder.INDEX) != index_sha256:
        raise ArtifactError(
            f"{folder / model_folder.INDEX}: is not the one that was registered; register or pull it again"
        )


def _version(found: ModelVersion, aliases: dict[str, str]) -> Version:
    number = str(found.version)
    return Version(
        name=found.name,
        version=number,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
        run_id=found.run_id or "",
        created_ms=int(found.creation_timestamp or 0),
        source=found.source or "",
        tags=dict(found.tags or {}),
    )

"""Make a git and DVC project around a user's own films: the bundled pipeline, a profile, and synthcxr.lock."""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml.comments import CommentedMap
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

import synthcxr
from synthcxr import readers
from synthcxr.config import schema
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.project import dvc_pipeline, import_closure, packaged_files

DRAWN = "phantom"
_IGNORED = (
    "__pycache__/",
    ".venv/",
    "/.cache/",
    "/checkpoints/",
    "/data/",
    "/dvc_plots/",
    "/models/",
    "/registry/mlflow.db*",
    "/registry/artifacts/",
    "/results/report-private.html",
)
_DVC_IGNORED = ("__pycache__", ".cache", ".venv", "checkpoints", "*.partial")
_IGNORED_HERE = ("/.cache/", "/checkpoints/", "/dvc_plots/", "/registry/mlflow.db*", "/registry/artifacts/")
_DVC_IGNORED_HERE = ("__pycache__", ".venv", "/.cache", "/checkpoints", "*.partial")
"""The same where another project stands: DVC itself ignores the outputs of stages, and folders of others stay seen."""
_SALT = "patients.salt"
_CI = {"github": Path(".github/workflows/synthcxr.yml"), "gitlab": Path(".gitlab-ci.yml")}


@dataclasses.dataclass(frozen=True)
class Project:
    """What was made: the reader that the films took (None: drawn), the files written, and the commands to type.

    `added_to` are files that stood there and got lines that they lacked, `left_out` the parts of dvc.yaml that
    another project's has for itself.
    """

    reader: str | None
    films: Path | None
    written: tuple[Path, ...]
    added_to: tuple[Path, ...]
    commands: tuple[str, ...]
    left_out: tuple[str, ...]


def profiles() -> tuple[str, ...]:
    """The names of the profiles that ship."""
    folder = packaged_files.find("params")
    return (DRAWN, *sorted(path.stem for path in folder.glob("*.yaml"))) if folder else (DRAWN,)


def run(
    *,
    folder: Path,
    profile: str,
    films: Path | None,
    reader: str | None = None,
    ci: str | None = None,
    suites: Mapping[Path, str] | None = None,
) -> Project:
    """Write the project into `folder`, which may hold other things; nothing that stands there is overwritten.

    `reader` reads the films, else the one that knows their layout; `ci` adds the file of "github" or "gitlab",
    `suites` hold what is expected of data, each by its file. Beside
    another DVC project's dvc.yaml the stages are added behind its own, and its params.yaml stays its own. The lists
    of what git and DVC ignore keep every line and get those that they lack. Everything is checked before anything is
    written. Raises ConfigError for an unknown profile or films where they do not belong, DataError for films of no
    known layout and for files that would be overwritten.
    """
    _profile(profile)
    source = None if films is None else _source(films, folder, reader)
    theirs = _read(folder / "dvc.yaml")
    params = (
        dvc_pipeline.PARAMS
        if theirs is None or not (folder / dvc_pipeline.PARAMS).exists()
        else dvc_pipeline.OWN_PARAMS
    )
    added = dvc_pipeline.text(params=params, films=_dep(source, params))
    stages, left_out = (added, ()) if theirs is None else _beside(folder, theirs, added)
    files = {
        Path(params): _params(profile, source),
        Path(dvc_pipeline.LOCK): import_closure.lock_text(synthcxr.__version__),
    }
    files |= {} if ci is None else {_CI[ci]: _ci(ci)}
    files |= {name: text for name, text in (suites or {}).items() if not (folder / name).exists()}
    salt = source is not None and source["reader"] == "dicom" and not (folder / _SALT).exists()
    lists = _lists(folder, source, alone=theirs is None)
    _refuse_standing(folder, [*files, *(path.relative_to(folder) for path in lists if path.is_dir())])
    stood = {path for path in lists if path.exists()}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _track(folder)
    except DvcException as error:
        raise ConfigError(f"{folder}: cannot become a DVC project: {' '.join(str(error).split())}") from error
    files[Path("dvc.yaml")] = stages
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for path, content in lists.items():
        with path.open("a" if path in stood else "w", encoding="utf-8") as file:  # DVC writes one of comments alone
            file.write(content)
    if salt:
        _write_salt(folder / _SALT)
        files[Path(_SALT)] = ""
    if theirs is not None:
        stood.add(folder / "dvc.yaml")
    return Project(
        reader=source["reader"] if source else None,
        films=films,
        written=tuple(path for path in (*(folder / name for name in files), *lists) if path not in stood),
        added_to=tuple(path for path in (folder / "dvc.yaml", *lists) if path in stood and lists.get(path, True)),
        commands=_commands(folder, None if theirs is None else [*files, *(path.name for path in lists)]),
        left_out=left_out,
    )


def _source(films: Path, folder: Path, reader: str | None) -> dict[str, str]:
    """The entry of `prepare.sources`."""
    if reader is not None and reader not in readers.ON_DISK:
        raise ConfigError(f"unknown format {reader!r}; known: {', '.join(readers.ON_DISK)}")
    if reader is not None and not films.is_dir():
        raise DataError(f"{films}: no such folder of films")
    name = reader or readers.recognise(films)
    source = {"reader": name, "path": _path(films, folder)}
    return source | ({"salt": _SALT} if name == "dicom" else {})


def _dep(source: dict[str, str] | None, params: str) -> str | None:
    """How dvc.yaml names the films: by the parameter, or plainly where the parameters lie in a file of another name."""
    if source is None:
        return None
    return dvc_pipeline.SOURCES if params == dvc_pipeline.PARAMS else source["path"]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _beside(folder: Path, theirs: str, ours: str) -> tuple[str, tuple[str, ...]]:
    if (folder / dvc_pipeline.LOCK).exists():
        raise DataError(
            f"{folder}: holds {dvc_pipeline.LOCK} already; `synthcxr init {folder} --upgrade` says what changed"
        )
    try:
        return dvc_pipeline.added_to(theirs, ours)
    except DataError as error:
        raise DataError(f"{folder}: {error}; nothing was written, choose a folder below it") from error


def _lists(folder: Path, source: dict[str, str] | None, *, alone: bool) -> dict[Path, str]:
    """What is to be added to .gitignore and .dvcignore."""
    git = _git_ignored(source, _IGNORED if alone else _IGNORED_HERE)
    wanted = {".gitignore": git, ".dvcignore": _DVC_IGNORED if alone else _DVC_IGNORED_HERE}
    return {folder / name: _lacking(folder / name, lines) for name, lines in wanted.items()}


def _refuse_standing(folder: Path, names: Sequence[Path]) -> None:
    if standing := [str(name) for name in names if (folder / name).exists()]:
        raise DataError(f"{folder}: holds {', '.join(standing)} already; nothing was written, choose another folder")


def _ci(kind: str) -> str:
    return (Path(synthcxr.__file__).parent / "project" / "ci" / f"{kind}.yml").read_text(encoding="utf-8")


def _write_salt(path: Path) -> None:
    """A secret that nobody but the owner reads."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")


def _path(films: Path, folder: Path) -> str:
    """As the project names its films: relative where they lie inside it, absolute elsewhere."""
    films, folder = films.resolve(), folder.resolve()
    if films == folder:
        raise ConfigError(f"{films}: the project needs a folder of its own; name another than the films'")
    return films.relative_to(folder).as_posix() if films.is_relative_to(folder) else str(films)


def _params(profile: str, source: dict[str, str] | None) -> str:
    """The profile's text, its comments kept, with `source` as the only film source."""
    path = _profile(profile)
    if profile == DRAWN and source:
        raise ConfigError(f"profile {DRAWN} draws its own films: leave --films out, or take {_others()}")
    if profile == DRAWN:
        return path.read_text(encoding="utf-8")
    if source is None:
        raise ConfigError(f"profile {profile} needs films of yours: --films PATH")
    schema.load(path)
    yaml = dvc_pipeline.round_trip()
    tree = yaml.load(path.read_text(encoding="utf-8"))
    row = CommentedMap(source)
    row.fa.set_flow_style()
    tree["prepare"]["sources"] = [row]
    return dvc_pipeline.dump(yaml, tree)


def _profile(name: str) -> Path:
    if name not in profiles():
        raise ConfigError(f"unknown profile {name!r}; known: {', '.join(profiles())}")
    folder = packaged_files.find("params.yaml" if name == DRAWN else "params")
    if folder is None:
        raise ArtifactError("the profiles that ship with synthcxr are missing; install it again")
    return folder if name == DRAWN else folder / f"{name}.yaml"


def _others() -> str:
    return " or ".join(name for name in profiles() if name != DRAWN)


def _git_ignored(source: dict[str, str] | None, lines: tuple[str, ...]) -> tuple[str, ...]:
    if source is None:
        return lines
    inside = () if Path(source["path"]).is_absolute() else (f"/{source['path']}/",)
    return (*lines, *inside, *((f"/{_SALT}",) if "salt" in source else ()))


def _lacking(path: Path, lines: tuple[str, ...]) -> str:
    """What is to be added to a file so that it holds these lines; all of them where it is absent."""
    held = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    known = {line.strip() for line in held.splitlines()}
    lacking = "".join(f"{line}\n" for line in lines if line not in known)
    return f"\n{lacking}" if lacking and held and not held.endswith("\n") else lacking


def _track(folder: Path) -> None:
    """Make `folder` a DVC project, inside the git repository that holds it or in one of its own."""
    try:
        git = Git(str(folder), search_parent_directories=True)
        inside = Path(git.root_dir).resolve() != folder.resolve()
        git.close()
    except SCMError:
        Git.init(str(folder)).close()
        inside = False
    if not (folder / Repo.DVC_DIR).exists():
        logging.getLogger("dvc").setLevel(logging.WARNING)
        Repo.init(str(folder), subdir=inside).close()
        with (folder / Repo.DVC_DIR / "config").open("a", encoding="utf-8") as file:
            file.write("[core]\n    analytics = false\n")


def _commands(folder: Path, names: Sequence[Path | str] | None) -> tuple[str, ...]:
    """What to type: keep it, run it, use it. `names` are the files to commit, all of them without."""
    into = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(os.fspath(folder))} && "
    added = "." if names is None else " ".join(shlex.quote(str(name)) for name in names if str(name) != _SALT)
    return (
        f"{into}git add {added} && git commit -m 'Start a synthcxr project'",
        "dvc repro",
        "synthcxr generate --n 100 --out images",
    )

"""Create a git and DVC project around a user's own films: pipeline, parameters of a profile, lock file and checks."""

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
from synthcxr.config.schema import load_config
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.project import dvc_pipeline, import_closure, packaged_files
from synthcxr.readers import READERS
from synthcxr.storage import guarded_files, yaml_files

PHANTOM_PROFILE = "phantom"
"""The profile that draws its films, so that it needs none."""

_GIT_IGNORED = (
    "__pycache__/",
    ".venv/",
    "*.partial/",
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

# In an existing DVC project, DVC itself ignores the outputs of our stages, and folders of other stages stay visible.
_GIT_IGNORED_IN_EXISTING = (
    *("*.partial/", "/.cache/", "/checkpoints/", "/dvc_plots/"),
    *("/registry/mlflow.db*", "/registry/artifacts/"),
)
_DVC_IGNORED_IN_EXISTING = ("__pycache__", ".venv", "/.cache", "/checkpoints", "*.partial")

_SALT = "patients.salt"
_CI_PATHS = {"github": Path(".github/workflows/synthcxr.yml"), "gitlab": Path(".gitlab-ci.yml")}


@dataclasses.dataclass(frozen=True)
class Project:
    """What was created: the reader of the films (None for drawn films), the files written, the commands to run next.

    `added_to` are existing files that got the lines they lacked. `left_out` are the parts of our dvc.yaml that an
    existing dvc.yaml already has.
    """

    reader: str | None
    films: Path | None
    written: tuple[Path, ...]
    added_to: tuple[Path, ...]
    commands: tuple[str, ...]
    left_out: tuple[str, ...]


def list_profiles() -> tuple[str, ...]:
    """The names of the profiles that ship."""
    folder = packaged_files.find("params")
    return (PHANTOM_PROFILE, *sorted(path.stem for path in folder.glob("*.yaml"))) if folder else (PHANTOM_PROFILE,)


def run(
    *,
    folder: Path,
    profile: str,
    source: Path | None,
    reader: str | None = None,
    ci: str | None = None,
    suites: Mapping[Path, str] | None = None,
) -> Project:
    """Write the project into `folder`, which may contain other files; no existing file is overwritten.

    `source` is the folder of raw films and `reader` its layout, by default detected. `ci` adds the file of "github"
    or "gitlab". `suites` are the suites of checks, text by file. If `folder` has a dvc.yaml, the stages are added after
    its own, and its params.yaml stays as it is. The ignore files of git and DVC keep all lines and get those they lack.
    Everything is checked before anything is written. Raises ConfigError for an unknown profile and for films that are
    missing or superfluous, DataError for films of no known layout and for files that would be overwritten.
    """
    _profile_path(profile)
    entry = None if source is None else _source_entry(source, folder, reader)
    existing_pipeline = _read_if_present(folder / "dvc.yaml")
    params_name = (
        dvc_pipeline.PARAMS_FILE
        if existing_pipeline is None or not (folder / dvc_pipeline.PARAMS_FILE).exists()
        else dvc_pipeline.OWN_PARAMS_FILE
    )
    pipeline = dvc_pipeline.render_pipeline(params=params_name, films=_films_dependency(entry, params_name))
    left_out: tuple[str, ...] = ()
    if existing_pipeline is not None:
        pipeline, left_out = _merge_pipeline(folder, existing_pipeline, pipeline)
    files = {
        Path(params_name): _render_params(profile, entry),
        Path(dvc_pipeline.LOCK_FILE): import_closure.render_lock(synthcxr.__version__),
    }
    if ci is not None:
        files[_CI_PATHS[ci]] = _read_ci_template(ci)
    files |= {name: text for name, text in (suites or {}).items() if not (folder / name).exists()}
    ignore_lines = _missing_ignore_lines(folder, entry, is_new=existing_pipeline is None)
    folders_in_the_way = [path.relative_to(folder) for path in ignore_lines if path.is_dir()]
    _refuse_existing(folder, [*files, *folders_in_the_way])

    existing = {path for path in ignore_lines if path.exists()}
    needs_salt = entry is not None and _SALT in entry.values() and not (folder / _SALT).exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _init_repositories(folder)
    except DvcException as error:
        raise ConfigError(f"{folder}: cannot become a DVC project: {' '.join(str(error).split())}") from error
    files[Path("dvc.yaml")] = pipeline
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for path, lines in ignore_lines.items():
        # DVC may have just created its own ignore file, of comments only: that one is replaced.
        with path.open("a" if path in existing else "w", encoding="utf-8") as file:
            file.write(lines)
    if needs_salt:
        _write_salt(folder / _SALT)
        files[Path(_SALT)] = ""

    if existing_pipeline is not None:
        existing.add(folder / "dvc.yaml")
    to_commit = None if existing_pipeline is None else [*map(str, files), *(path.name for path in ignore_lines)]
    return Project(
        reader=entry["reader"] if entry else None,
        films=source,
        written=tuple(path for path in (*(folder / name for name in files), *ignore_lines) if path not in existing),
        added_to=tuple(
            path for path in (folder / "dvc.yaml", *ignore_lines) if path in existing and ignore_lines.get(path, True)
        ),
        commands=_next_commands(folder, to_commit),
        left_out=left_out,
    )


def _source_entry(source: Path, folder: Path, reader: str | None) -> dict[str, str]:
    """The entry of `prepare.sources`."""
    if reader is not None and reader not in READERS:
        raise ConfigError(f"--reader: unknown reader {reader!r}; known: {', '.join(READERS.list_names())}")
    if reader is not None and not source.is_dir():
        raise DataError(f"{source}: no such folder")
    declaration = readers.detect_reader(source) if reader is None else READERS.load(reader)
    if declaration.matches is None:
        raise ConfigError(f"--reader: reader {declaration.name} reads no folder; leave out --source")
    entry = {"reader": declaration.name, "path": _path_in_project(source, folder)}
    return entry | ({declaration.salt_option: _SALT} if declaration.salt_option else {})


def _path_in_project(source: Path, folder: Path) -> str:
    """The path of the films: relative if they are inside the project, else absolute."""
    source, folder = source.resolve(), folder.resolve()
    if source == folder:
        raise ConfigError(f"{source}: the folder of the films cannot be the project; give another DIR")
    return source.relative_to(folder).as_posix() if source.is_relative_to(folder) else str(source)


def _films_dependency(entry: dict[str, str] | None, params_name: str) -> str | None:
    """How dvc.yaml names the films: by the parameter, or by path if the parameters are in a file of another name."""
    if entry is None:
        return None
    return dvc_pipeline.FILMS_PARAMETER if params_name == dvc_pipeline.PARAMS_FILE else entry["path"]


def _read_if_present(path: Path) -> str | None:
    return guarded_files.read_text(path) if path.is_file() else None


def _merge_pipeline(folder: Path, existing: str, added: str) -> tuple[str, tuple[str, ...]]:
    if (folder / dvc_pipeline.LOCK_FILE).exists():
        raise DataError(
            f"{folder}: already contains {dvc_pipeline.LOCK_FILE}; run `synthcxr init {folder} --upgrade` to see what"
            " the installed version changes"
        )
    try:
        return dvc_pipeline.merge_pipelines(existing, added)
    except DataError as error:
        raise DataError(f"{folder}: {error}; nothing was written, choose a folder below it") from error


def _missing_ignore_lines(folder: Path, entry: dict[str, str] | None, *, is_new: bool) -> dict[Path, str]:
    """What .gitignore and .dvcignore lack."""
    ignored = {
        ".gitignore": _git_ignored(entry, _GIT_IGNORED if is_new else _GIT_IGNORED_IN_EXISTING),
        ".dvcignore": _DVC_IGNORED if is_new else _DVC_IGNORED_IN_EXISTING,
    }
    return {folder / name: _missing_lines(folder / name, lines) for name, lines in ignored.items()}


def _git_ignored(entry: dict[str, str] | None, lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines, and the films and the salt if they are inside the project."""
    if entry is None:
        return lines
    films = () if Path(entry["path"]).is_absolute() else (f"/{entry['path']}/",)
    return (*lines, *films, *((f"/{_SALT}",) if _SALT in entry.values() else ()))


def _missing_lines(path: Path, lines: tuple[str, ...]) -> str:
    """The text to append to a file so that it contains these lines; all of them if the file is absent."""
    content = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    present = {line.strip() for line in content.splitlines()}
    missing = "".join(f"{line}\n" for line in lines if line not in present)
    return f"\n{missing}" if missing and content and not content.endswith("\n") else missing


def _refuse_existing(folder: Path, names: Sequence[Path]) -> None:
    if existing := [str(name) for name in names if (folder / name).exists()]:
        names_text = ", ".join(existing)
        raise DataError(f"{folder}: already contains {names_text}; nothing was written, choose another folder")


def _read_ci_template(kind: str) -> str:
    return (Path(synthcxr.__file__).parent / "project" / "ci" / f"{kind}.yml").read_text(encoding="utf-8")


def _write_salt(path: Path) -> None:
    """Write a secret that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")


def _render_params(profile: str, entry: dict[str, str] | None) -> str:
    """The text of the profile, comments included, with `entry` as the only source of films."""
    path = _profile_path(profile)
    if profile == PHANTOM_PROFILE and entry:
        others = " or ".join(name for name in list_profiles() if name != PHANTOM_PROFILE)
        raise ConfigError(f"profile {PHANTOM_PROFILE} draws its own films; leave --source out, or use profile {others}")
    if profile == PHANTOM_PROFILE:
        return path.read_text(encoding="utf-8")
    if entry is None:
        raise ConfigError(f"profile {profile} needs your own films: --source FOLDER")
    load_config(path)
    yaml = yaml_files.make_round_trip_yaml()
    tree = yaml_files.parse_with_comments(yaml, guarded_files.read_text(path), path)
    row = CommentedMap(entry)
    row.fa.set_flow_style()
    tree["prepare"]["sources"] = [row]
    return dvc_pipeline.dump_yaml(yaml, tree)


def _profile_path(name: str) -> Path:
    if name not in list_profiles():
        raise ConfigError(f"unknown profile {name!r}; known: {', '.join(list_profiles())}")
    path = packaged_files.find("params.yaml" if name == PHANTOM_PROFILE else "params")
    if path is None:
        raise ArtifactError("the profiles that ship with synthcxr are missing; reinstall synthcxr")
    return path if name == PHANTOM_PROFILE else path / f"{name}.yaml"


def _init_repositories(folder: Path) -> None:
    """Make `folder` a DVC project, in the git repository that contains it or in a new one."""
    try:
        git = Git(str(folder), search_parent_directories=True)
        is_subfolder = Path(git.root_dir).resolve() != folder.resolve()
        git.close()
    except SCMError:
        Git.init(str(folder)).close()
        is_subfolder = False
    if not (folder / Repo.DVC_DIR).exists():
        logging.getLogger("dvc").setLevel(logging.WARNING)
        Repo.init(str(folder), subdir=is_subfolder).close()
        with (folder / Repo.DVC_DIR / "config").open("a", encoding="utf-8") as file:
            file.write("[core]\n    analytics = false\n")


def _next_commands(folder: Path, names: Sequence[str] | None) -> tuple[str, ...]:
    """The commands that commit, run and use the project. `names` are the files to commit; None commits all."""
    change_folder = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(os.fspath(folder))} && "
    files = "." if names is None else " ".join(shlex.quote(name) for name in names if name != _SALT)
    return (
        f"{change_folder}git add {files} && git commit -m 'Start a synthcxr project'",
        "dvc repro",
        "synthcxr generate --n 100 --out images",
    )

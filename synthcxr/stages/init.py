"""Make a git and DVC project around a user's own films: the bundled pipeline, a profile, and synthcxr.lock."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import shlex
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

import synthcxr
from synthcxr import bundled, closure, config, readers
from synthcxr.errors import ArtifactError, ConfigError, DataError

DRAWN = "phantom"
_LOCK = "synthcxr.lock"
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
_HEADING = (
    "The pipeline of synthcxr {version}. Values stand in params.yaml, paths here. `lock` keeps {lock} in step with\n"
    "the installed synthcxr, so that an upgrade reruns the stages whose code changed and no other."
)


@dataclasses.dataclass(frozen=True)
class Project:
    """What was made: the reader that the films took (None: drawn), the files written, and the commands to type.

    `added_to` are files that stood there and got lines that they lacked.
    """

    reader: str | None
    films: Path | None
    written: tuple[Path, ...]
    added_to: tuple[Path, ...]
    commands: tuple[str, ...]


def profiles() -> tuple[str, ...]:
    """The names of the profiles that ship."""
    folder = bundled.find("params")
    return (DRAWN, *sorted(path.stem for path in folder.glob("*.yaml"))) if folder else (DRAWN,)


def run(*, folder: Path, profile: str, films: Path | None) -> Project:
    """Write the project into `folder`, which may hold other things; none of its files may stand there yet.

    The lists of what git and DVC ignore may: they keep every line and get those that they lack. Everything is
    checked before anything is written. Raises ConfigError for an unknown profile or films where they do not belong,
    DataError for films of no known layout and for files that would be overwritten.
    """
    _profile(profile)
    source = None if films is None else {"reader": readers.recognise(films), "path": _path(films, folder)}
    files = {
        "params.yaml": _params(profile, source),
        "dvc.yaml": _pipeline(takes_films=source is not None),
        _LOCK: closure.lock_text(synthcxr.__version__),
    }
    ignored = {".gitignore": _git_ignored(source), ".dvcignore": _DVC_IGNORED}
    standing = [name for name in files if (folder / name).exists()]
    standing += [name for name in ignored if (folder / name).exists() and not (folder / name).is_file()]
    if standing:
        raise DataError(f"{folder}: holds {', '.join(standing)} already; nothing was written, choose another folder")
    lists = {folder / name: _lacking(folder / name, lines) for name, lines in ignored.items()}
    stood = {path for path in lists if path.exists()}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _track(folder)
    except DvcException as error:
        raise ConfigError(f"{folder}: cannot become a DVC project: {' '.join(str(error).split())}") from error
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path, text in lists.items():
        with path.open("a" if path in stood else "w", encoding="utf-8") as file:  # DVC writes one of comments alone
            file.write(text)
    return Project(
        reader=source["reader"] if source else None,
        films=films,
        written=tuple(folder / name for name in (*files, *ignored) if folder / name not in stood),
        added_to=tuple(path for path in lists if path in stood and lists[path]),
        commands=_commands(folder),
    )


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
    config.load(path)
    yaml = _yaml()
    tree = yaml.load(path.read_text(encoding="utf-8"))
    row = CommentedMap(source)
    row.fa.set_flow_style()
    tree["prepare"]["sources"] = [row]
    return _dump(yaml, tree)


def _profile(name: str) -> Path:
    if name not in profiles():
        raise ConfigError(f"unknown profile {name!r}; known: {', '.join(profiles())}")
    folder = bundled.find("params.yaml" if name == DRAWN else "params")
    if folder is None:
        raise ArtifactError("the profiles that ship with synthcxr are missing; install it again")
    return folder if name == DRAWN else folder / f"{name}.yaml"


def _others() -> str:
    return " or ".join(name for name in profiles() if name != DRAWN)


def _pipeline(*, takes_films: bool) -> str:
    """The bundled dvc.yaml with synthcxr.lock in the place of source files, and the films as input of `prepare`."""
    path = bundled.find("dvc.yaml")
    if path is None:
        raise ArtifactError("the pipeline that ships with synthcxr is missing; install it again")
    yaml = _yaml()
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for name, stage in tree["stages"].items():
        deps = [dep for dep in stage["deps"] if not dep.startswith(f"{closure.PACKAGE}/")]
        if name == "prepare" and takes_films:
            deps.append("${prepare.sources[0].path}")
        stage["deps"] = deps
        stage["params"].append({_LOCK: [f"stages.{name}"]})
        if not deps:
            del stage["deps"]
    tree["stages"].insert(0, "lock", _lock_stage())
    tree["stages"].yaml_set_comment_before_after_key("prepare", before="\n")
    tree.yaml_set_start_comment(_HEADING.format(version=synthcxr.__version__, lock=_LOCK))
    return _dump(yaml, tree)


def _lock_stage() -> dict[str, Any]:
    return {
        "cmd": f"synthcxr lock --out {_LOCK}",
        "always_changed": True,
        "outs": [{_LOCK: {"cache": False, "persist": True}}],
    }


def _yaml() -> YAML:
    """Round trip with comments, laid out as the files that ship, no line broken."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dump(yaml: YAML, tree: Any) -> str:
    text = io.StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def _git_ignored(source: dict[str, str] | None) -> tuple[str, ...]:
    inside = source is not None and not Path(source["path"]).is_absolute()
    return (*_IGNORED, f"/{source['path']}/") if source is not None and inside else _IGNORED


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


def _commands(folder: Path) -> tuple[str, ...]:
    into = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(os.fspath(folder))}"]
    return (*into, "git add . && git commit -m 'Start a synthcxr project'", "dvc repro")

"""The files of a project: params.yaml, dvc.yaml, synthcxr.lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, decode_text, parse_file

DVC_YAML = (
    b"# mine\nstages:\n  mine:\n    cmd: python mine.py\n    deps:\n      - a.csv\n    params:\n      - seed\n"
    b"    outs:\n      - b.csv\nmetrics:\n  - m.json\n"
)


def _open_params(root: Path) -> OpenParser:
    from support.paths import REPOSITORY

    from synthcxr.config.schema import load_config

    path = root / "params.yaml"
    profiles = [REPOSITORY / "params.yaml", *sorted((REPOSITORY / "params").glob("*.yaml"))]
    return OpenParser(tuple(profile.read_bytes() for profile in profiles), parse_file(path, lambda: load_config(path)))


def _open_dvc_yaml(root: Path) -> OpenParser:
    """A pipeline of the user, to which `init` adds stages."""
    from synthcxr.project import dvc_pipeline

    added = "stages:\n  prepare:\n    cmd: synthcxr prepare\nmetrics:\n  - r.json\nplots:\n  - p.csv\n"
    path = root / "dvc.yaml"

    def merge() -> None:
        text = path.read_bytes()
        dvc_pipeline.merge_pipelines(decode_text(text), added)

    return OpenParser((DVC_YAML, b""), parse_file(path, merge), (b"stages: {}\n",))


def _open_upgrade(file: str) -> Callable[[Path], OpenParser]:
    """A project that `init --upgrade` compares with the installed version."""

    def open_parser(root: Path) -> OpenParser:
        from support.paths import REPOSITORY

        from synthcxr.project import dvc_pipeline, import_closure
        from synthcxr.stages import upgrade

        (root / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
        (root / "dvc.yaml").write_text(dvc_pipeline.render_pipeline(params="params.yaml", films="films"))
        (root / dvc_pipeline.LOCK_FILE).write_text(import_closure.render_lock("0.1.0"))
        path = root / file
        return OpenParser((path.read_bytes(),), parse_file(path, lambda: list(upgrade.run(root))))

    return open_parser


def _open_init(root: Path) -> OpenParser:
    """`init` in a folder with a dvc.yaml of the user; it writes the merged file."""
    from synthcxr.stages import init

    folder = root / "project"
    folder.mkdir()

    def run(data: bytes) -> None:
        for path in folder.iterdir():
            if path.is_file():
                path.unlink()
        (folder / "dvc.yaml").write_bytes(data)
        (folder / "params.yaml").write_bytes(b"a: 1\n")
        init.run(folder=folder, profile="phantom", source=None)

    return OpenParser((DVC_YAML,), run)


PARSERS = [
    Parser("params_yaml", "yaml", _open_params, share=0.5),
    Parser("dvc_yaml", "yaml", _open_dvc_yaml),
    Parser("upgrade_params", "yaml", _open_upgrade("params.yaml"), share=0.02),
    Parser("upgrade_dvc_yaml", "yaml", _open_upgrade("dvc.yaml"), share=0.02),
    Parser("upgrade_lock", "yaml", _open_upgrade("synthcxr.lock"), share=0.02),
    Parser("init_dvc_yaml", "yaml", _open_init, share=0.02),
]

"""Rendering the dvc.yaml of a project and adding it to an existing one."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

import synthcxr
from synthcxr.errors import DataError
from synthcxr.project import dvc_pipeline

EXISTING = "# ours\nstages:\n    clean:\n        cmd: ./clean\n\nmetrics:\n  - clean.json\n"


def parse(text: str) -> dict:
    return YAML(typ="safe", pure=True).load(text)


def test_a_project_has_the_packaged_stages_with_its_films() -> None:
    """The heading names the version and `prepare` depends on the films; all else is as without films."""
    text = dvc_pipeline.render_pipeline(params="params.yaml", films="films")
    assert text.startswith(f"# The pipeline of synthcxr {synthcxr.__version__}. Parameters are in params.yaml")
    rendered = parse(text)
    packaged = parse(dvc_pipeline.render_pipeline(params="params.yaml", films=None))
    assert list(rendered["stages"])[:2] == ["lock", "prepare"]
    assert rendered["stages"]["prepare"].pop("deps") == ["films"]
    assert rendered == packaged


def test_a_project_can_have_a_parameter_file_of_its_own() -> None:
    """Each command gets --params, and each stage depends on the sections of that file and on synthcxr.lock."""
    stages = parse(dvc_pipeline.render_pipeline(params="own.yaml", films=None))["stages"]
    assert stages["export"]["params"] == [{"own.yaml": ["export"]}, {"synthcxr.lock": ["stages.export"]}]
    assert stages["lock"] == parse(dvc_pipeline.render_pipeline(params="params.yaml", films=None))["stages"]["lock"]
    commands = [stage["cmd"] for name, stage in stages.items() if name != "lock"]
    assert all(command.count("--params own.yaml") == 1 and "params.yaml" not in command for command in commands)


def test_stages_are_added_after_those_of_another_pipeline() -> None:
    """Every line of the other file is kept, and a section that it already has is omitted."""
    added = dvc_pipeline.render_pipeline(params="params.yaml", films=None)
    text, omitted = dvc_pipeline.merge_pipelines(EXISTING, added)
    assert omitted == ("metrics",)
    assert set(EXISTING.splitlines()) <= set(text.splitlines())
    merged = parse(text)
    assert list(merged["stages"]) == ["clean", *parse(added)["stages"]]
    assert merged["metrics"] == ["clean.json"]
    assert merged["plots"] == parse(added)["plots"]


def test_stages_are_added_to_an_empty_file() -> None:
    """A dvc.yaml without stages becomes the rendered pipeline."""
    added = dvc_pipeline.render_pipeline(params="params.yaml", films=None)
    text, omitted = dvc_pipeline.merge_pipelines("", added)
    assert omitted == ()
    assert parse(text) == parse(added)


@pytest.mark.parametrize(
    ("existing", "message"),
    [
        ("stages:\n  prepare:\n    cmd: x\n", "already has stages named prepare"),
        ("stages: {clean: {cmd: x}}\n", "a layout to which no stages can be added"),
        ("base: &base\n  a: 1\nstages:\n  <<: *base\n", "a layout to which no stages can be added"),
        ("stages: text\n", "stages is not a mapping"),
        ("stages: 1.5\n", "stages is not a mapping"),
        ("stages:\n  - a: 1\n", "stages is not a mapping"),
        ("- stages\n", "is not a mapping"),
        ("stages: [\n", "not readable as YAML"),
    ],
)
def test_a_pipeline_that_cannot_be_extended_is_an_error(existing: str, message: str) -> None:
    """Stages of the same name, stages in flow style, and files of another kind each have their message."""
    added = dvc_pipeline.render_pipeline(params="params.yaml", films=None)
    with pytest.raises(DataError, match=message):
        dvc_pipeline.merge_pipelines(existing, added)

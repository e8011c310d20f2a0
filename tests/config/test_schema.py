"""Reading params.yaml: the profiles, and errors that name the path of a key."""

import copy
import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.paths import REPOSITORY

from synthcxr.config.schema import Config, build_config, default_max_draws, load_config
from synthcxr.data.evidence.gate_families import FAMILIES, find_family
from synthcxr.errors import ConfigError
from synthcxr.evaluation.gates import check_gates
from synthcxr.readers.sources import read_source

PROFILES = [
    Path("params.yaml"),
    *(Path("params") / f"{name}.yaml" for name in ("smoke", "nih-64", "starter", "nih-1024")),
]
TEXT = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
RESULTS = REPOSITORY / "docs" / "results"
RESULT_PARAMS = sorted(RESULTS.rglob("*.yaml"))


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_every_profile_loads(profile: Path) -> None:
    """The default profile and those in params/ are complete and consistent."""
    loaded = load_config(REPOSITORY / profile)
    assert set(loaded.train_gan.channels) == set(loaded.train_gan.nimg)


@pytest.mark.parametrize("params", RESULT_PARAMS, ids=lambda path: str(path.relative_to(RESULTS)))
def test_the_parameters_of_a_published_result_load(params: Path) -> None:
    """A published run can be repeated: keys that are newer than the run have values that do not change it."""
    assert load_config(params).train_gan.nimg


def test_the_paper_profile_is_the_published_schedule() -> None:
    """14.0M images: 0.8M at 4 px, 1.6M at each of 8..512, 2.0M at 1024, the first 0.8M of each faded in."""
    gan = load_config(REPOSITORY / "params/nih-1024.yaml").train_gan
    assert sum(gan.nimg.values()) == 14_000_000
    assert set(gan.fade_nimg.values()) == {800_000}
    assert (gan.loss, gan.penalty, gan.drift, gan.lr_g, gan.latent) == ("wgan-gp", 10.0, 1e-3, 1e-3, 512)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("  seed: 1\n  on_bad", "  sed: 1\n  on_bad", r"prepare\.sed: unknown key"),
        ("  latent: 64\n", "", r"train_gan\.latent: missing"),
        ("  latent: 64\n", "  latent: many\n", r"train_gan\.latent: expected int, got str 'many'"),
        ("  latent: 64\n", "  latent: true\n", r"train_gan\.latent: expected int, got bool"),
        ("loss: r1", "loss: hinge", r"train_gan\.loss: 'hinge' is not one of wgan-gp, r1"),
        ("resolution: 32\n  view", "resolution: 48\n  view", r"prepare\.resolution: 48 is not a power of two"),
        (
            "resolution: 32\n  latent",
            "resolution: 64\n  latent",
            r"train_gan\.resolution: is above prepare\.resolution, 32 px",
        ),
        ("test: 0.18", "test: 0.28", r"prepare\.shares: must sum to 1"),
        ("report_nimg: 500", "report_nimg: 0", r"train_gan\.report_nimg: must be at least 1, is 0"),
        ("seed: 1\n  on_bad", "seed: -1\n  on_bad", r"prepare\.seed: must be at least 0, is -1"),
        ("batch: {4: 32,", "batch: {4: 0,", r"train_gan\.batch\.4: must be at least 1, is 0"),
        ("betas: [0.0, 0.99]", "betas: [0.0]", r"train_gan\.betas: expected 2 values, got 1"),
        ("channels: {4: 64,", "channels: {4: wide,", r"train_gan\.channels\.4: expected int"),
        ("train_gan:", "train_gan: [", "not readable as YAML"),
        ("report:\n", "extra: 1\nreport:\n", r"params\.yaml: extra: unknown key"),
        ("condition: []", "condition: [weight]", r"train_gan\.condition\[0\]: 'weight' is not one of findings, view"),
        ("condition: []", "condition: [age, sex, age]", r"train_gan\.condition: lists age twice"),
        ("condition_fade: null", "condition_fade: {start_nimg: 0, end_nimg: 9}", r"condition_fade: must be null"),
        (
            "condition: []\n  condition_fade: null",
            "condition: [sex]\n  condition_fade: {start_nimg: 9, end_nimg: 8}",
            r"train_gan\.condition_fade\.start_nimg: is above end_nimg, 8",
        ),
        (
            "condition: []\n  condition_fade: null",
            "condition: [sex]\n  condition_fade: {start_nimg: 0, end_nimg: 99999999}",
            r"train_gan\.condition_fade\.end_nimg: must be below the number of images shown",
        ),
        (
            "findings: {}}",
            "findings: {Hernia: -1}}",
            r"train_gan\.sampling\.findings\.Hernia: must be at least 0, is -1",
        ),
    ],
)
def test_an_error_names_the_path_of_the_key(tmp_path: Path, before: str, after: str, message: str) -> None:
    """Each mistake is one line with the key and what is wrong with it."""
    assert before in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error_info:
        load_config(path)
    assert "\n" not in str(error_info.value)


def test_floats_in_scientific_notation_are_numbers() -> None:
    """1e-3 is a float, as in YAML 1.2, and not a string, as in YAML 1.1."""
    assert load_config(REPOSITORY / "params/nih-1024.yaml").train_gan.drift == 0.001


def test_an_absent_file_is_an_error(tmp_path: Path) -> None:
    """The error says how to create a parameter file."""
    with pytest.raises(ConfigError, match="synthcxr init"):
        load_config(tmp_path / "params.yaml")


@pytest.mark.parametrize(("n", "selective", "max_draws"), [(5, False, 5), (1, True, 1000), (50, True, 25_000)])
def test_default_max_draws(n: int, selective: bool, max_draws: int) -> None:
    """One candidate per image, or 500 and at least 1,000 in all if not every candidate is accepted."""
    assert default_max_draws(n, selective=selective) == max_draws


def list_numbers(tree: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every number of parsed YAML."""
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from list_numbers(value, (*keys, key))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield keys


def build_complete_tree() -> dict[str, Any]:
    """The default profile with a number for every key that may be null."""
    tree: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
    critic = {"share": 0.5, "weight": 1.0, "penalty": 1.0, "penalty_interval": 4, "moments": 1.0}
    tree["train_gan"]["feature_critic"] = critic
    tree["train_gan"]["sampling"] |= {"sources": {"nih": 2.0}, "findings": {"Hernia": 5.0}}
    tree["train_gan"] |= {"condition": ["view"], "condition_fade": {"start_nimg": 0, "end_nimg": 1000}}
    tree["prepare"]["unlabelled_test_share"] = 0.1
    tree["generate"]["per_label"] = 5
    tree["evaluate"]["gates"][0]["min"] = 1.0
    return tree


COMPLETE_TREE = build_complete_tree()
NUMBERS = list(list_numbers(COMPLETE_TREE))
MAY_BE_NULL = {
    ("generate", "per_label"),
    ("train_gan", "sampling", "unlabelled_share"),
    *(("evaluate", "gates", i, bound) for i in range(3) for bound in ("max", "min")),
}
MAY_BE_NEGATIVE = {path for path in MAY_BE_NULL if path[0] == "evaluate"}


def test_every_number_is_covered() -> None:
    """The numbers that the next test replaces are those of every field that holds one."""
    fields = {
        f"{section.name}.{field.name}"
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(typing.get_type_hints(Config)[section.name])
        if re.search(
            r"\b(int|float)\b", str(typing.get_type_hints(typing.get_type_hints(Config)[section.name])[field.name])
        )
    }
    assert fields <= {".".join(map(str, path[:2])) for path in NUMBERS}


@pytest.mark.parametrize("keys", NUMBERS, ids=lambda keys: ".".join(map(str, keys)))
def test_a_number_that_cannot_be_used_is_refused_by_its_path(keys: tuple[str | int, ...]) -> None:
    """NaN, infinity, -1, 10**400, true, "3" and null are refused wherever they are in place of a number."""
    section = ".".join(str(key) for key in keys if isinstance(key, str))
    reader_decides = keys[:2] == ("prepare", "sources")
    for value in (float("nan"), float("inf"), -1, 10**400, True, "3", None):
        if (value is None and keys in MAY_BE_NULL) or (value == -1 and keys in MAY_BE_NEGATIVE):
            continue
        tree = copy.deepcopy(COMPLETE_TREE)
        node: Any = tree
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value
        with pytest.raises(ConfigError) as error_info:  # noqa: PT012  the options of a source are checked by its reader
            config = build_config(tree, Path("params.yaml"))
            if reader_decides:
                read_source("prepare.sources[0]", config.prepare.sources[0], report=lambda line: None)
        message = re.sub(r"\[\d+\]", "", str(error_info.value))
        assert section in message, value
        assert len(message) < 300
        assert "\n" not in message


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("lr_g: 2.0e-3", "lr_g: 0", r"train_gan\.lr_g: must be above 0, is 0"),
        ("lr_g: 2.0e-3", "lr_g: .nan", r"train_gan\.lr_g: must be a finite number, is nan"),
        ("lr_g: 2.0e-3", "lr_g: -.inf", r"train_gan\.lr_g: must be a finite number, is -inf"),
        ("betas: [0.0, 0.99]", "betas: [0.0, 1.0]", r"train_gan\.betas\[1\]: must be below 1, is 1"),
        ("batch: {4: 32, 8: 32, 16: 32, 32: 32}", "batch: {4: 32, 8: 32, 16: 32, 32: 70000}", "at most 65,536"),
        ("channels: {4: 64, 8: 64, 16: 32, 32: 16}", "channels: {4: 64, 8: 64, 16: 32, 32: 8000}", ""),
        ("batch: {4: 32, 8: 32, 16: 32, 32: 32}", "batch: {4: 32, 8: 32, 16: 32, 1024: 60000}", "GiB"),
        ("  width: 16", "  width: 0", r"train_classifier\.width: must be at least 1 for the backbone small"),
        ("title: Drawn phantoms, 32 px", 'title: "\\ud800"', r"report\.title: contains characters that are not text"),
        ("resolution: 32, seed: 1", "resolution: 32, seed: 2001-01-01", r"sources\[0\]\.seed: expected a plain"),
    ],
)
def test_a_value_out_of_bounds_says_what_it_must_be(tmp_path: Path, before: str, after: str, message: str) -> None:
    """Bounds that are excluded, absurd sizes, text that no file can hold and other types of YAML are named."""
    assert before in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(before, after, 1), encoding="utf-8")
    if not message:  # wide, but possible
        assert load_config(path)
        return
    with pytest.raises(ConfigError, match=message):
        load_config(path)


@pytest.mark.parametrize("profile", sorted((REPOSITORY / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_profiles_for_real_films_gate_every_kind_of_evidence(profile: Path) -> None:
    """File checks, distance, label distribution, copying in every space and label validity decide by default."""
    config = load_config(profile).evaluate
    gates = {gate.metric: gate for gate in config.gates}
    assert {find_family(metric) for metric in gates} == set(FAMILIES)
    assert gates["privacy.*.share_low"].max == 0.01
    check_gates(config.gates, config.extractors)

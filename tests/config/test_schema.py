"""Reading params.yaml: the profiles, and errors that name the path of a key."""

from pathlib import Path

import pytest
from support.paths import REPOSITORY

from synthcxr.config.schema import default_max_draws, load_config
from synthcxr.data.evidence.gate_families import FAMILIES, find_family
from synthcxr.errors import ConfigError
from synthcxr.evaluation.gates import check_gates

PROFILES = [Path("params.yaml"), *(Path("params") / f"{name}.yaml" for name in ("nih-64", "starter", "nih-1024"))]
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
        ("resolution: 32\n  latent", "resolution: 64\n  latent", r"train_gan\.resolution: 64 px is above"),
        ("test: 0.18", "test: 0.28", r"prepare\.shares: must sum to 1"),
        ("report_nimg: 500", "report_nimg: 0", r"train_gan\.report_nimg: must be at least 1, is 0"),
        ("seed: 1\n  on_bad", "seed: -1\n  on_bad", r"prepare\.seed: must be at least 0, is -1"),
        ("batch: {4: 32,", "batch: {4: 0,", r"train_gan\.batch\.4: must be at least 1, is 0"),
        ("betas: [0.0, 0.99]", "betas: [0.0]", r"train_gan\.betas: expected 2 values, got 1"),
        ("channels: {4: 64,", "channels: {4: wide,", r"train_gan\.channels\.4: expected int"),
        ("train_gan:", "train_gan: [", "not readable as YAML"),
        ("report:\n", "extra: 1\nreport:\n", r"params\.yaml: extra: unknown key"),
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


@pytest.mark.parametrize(("n", "selective", "max_draws"), [(5, False, 5), (5, True, 1000), (50, True, 5000)])
def test_default_max_draws(n: int, selective: bool, max_draws: int) -> None:
    """One candidate per image, or 100 and at least 1,000 in all if not every candidate is accepted."""
    assert default_max_draws(n, selective=selective) == max_draws


@pytest.mark.parametrize("profile", sorted((REPOSITORY / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_profiles_for_real_films_gate_every_kind_of_evidence(profile: Path) -> None:
    """File checks, distance, label distribution, copying in every space and label validity decide by default."""
    config = load_config(profile).evaluate
    gates = {gate.metric: gate for gate in config.gates}
    assert {find_family(metric) for metric in gates} == set(FAMILIES)
    assert gates["privacy.*.share_low"].max == 0.01
    check_gates(config.gates, config.extractors)

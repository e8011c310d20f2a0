"""The summary: three answers whose colour is the worst of the facts, and a headline that names the gates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.evidence_answers import list_marked, list_sentences, list_states, read_facts, summarise
from support.evidence_files import (
    make_check,
    make_gate,
    make_label_ratio,
    make_metrics,
    make_run,
    make_space,
    make_validity,
    make_verdict,
)

from synthcxr.data.evidence.summary import format_lines, format_markdown, summarise_evidence
from synthcxr.data.findings import FINDINGS


def test_evidence_without_a_fault_is_green() -> None:
    """All three answers are passed, and the answers name what was examined and what the labels are good for."""
    summary = summarise()
    assert list_states(summary) == {"shared": "passed", "good": "passed", "identity": "passed"}
    assert summary.state == "passed"
    assert summary.headline == "The evidence supports this dataset. 5 of 5 gates passed"
    shared, good, identity = summary.answers
    facts = read_facts(shared)
    assert facts["Examined"] == (
        "400 images against 300 training films in pixels and in features of the judge"
        " (EfficientNet-Lite0 fine-tuned on 257 films)"
    )
    assert facts["Smallest share of copies that would show in 4 of 5 sets of this size"].startswith(
        "2.0 % in pixels (exact copies); 2.0 % in features of the judge (exact copies)."
    )
    assert good.verdict == "Yes: labels valid for Effusion; use for training not measured"
    assert read_facts(good)["Labels may be used for"] == "Effusion"
    assert read_facts(identity)["Model"].endswith("trained on films (digest 0123456789abcdef)")
    assert read_facts(identity)["Date"] == "2026-01-31"


def test_the_limit_of_a_distance_is_shown_and_an_interval_beyond_it_is_amber() -> None:
    """A value within the limit whose interval reaches beyond it is not green."""
    limits = {limit: make_gate("distance.judge.relative", value=1.2, threshold=limit) for limit in (1.5, 1.25)}
    others = [
        make_gate(metric) for metric in ("checks.failed", "labels.kl", "privacy.*.share_low", "labels.validity.mean")
    ]
    wide, narrow = (summarise(make_verdict(*others, limits[limit])).answers[1] for limit in (1.25, 1.5))
    assert (wide.state, narrow.state) == ("open", "passed")
    assert "reaches beyond the limit: 1.2 (95 % CI 1.1 to 1.3), target at most 1.25." in list_sentences(wide, "open")
    name = "Distance relative to training films (1 = as close as real films)"
    assert list_marked(wide, "open") == [name]
    assert list_marked(narrow, "open") == []
    assert read_facts(narrow)[name].startswith("1.2 (95 % CI 1.1 to 1.3), limit 1.5, in features of the judge (")


def test_images_without_any_coverage_are_red_and_marked() -> None:
    """Coverage near 0 has a sentence, also without a gate on it."""
    row = {"status": "computed", "relative": 0.0, "relative_interval": [0.0, 0.05]}
    good = summarise(coverage={"judge": row}).answers[1]
    assert "cover none of the variety of the films: coverage 0 (95 % CI 0 to 0.05)" in list_sentences(good, "failed")
    assert list_marked(good, "failed") == ["Variety"]


def test_a_large_validity_with_a_wide_interval_is_not_clear() -> None:
    """It is neither usable nor at fault, and is named with its interval; without test films, that is said."""
    ratio = make_label_ratio(1.62, 0.88, 3.55)
    labels = make_metrics()["labels"] | {
        "validity": make_validity(Effusion=ratio, Mass=make_label_ratio(1.0, 0.8, 1.2))
    }
    facts = read_facts(summarise(labels=labels).answers[1])
    assert facts["Labels may be used for"] == "Mass"
    assert facts["Not clear for"].startswith("Effusion 1.62 (95 % CI 0.88 to 3.55)")
    without_films = read_facts(summarise(labels=labels, n_real_test=0).answers[1])
    assert without_films["No fault found with val films for"] == "Mass"


def test_findings_with_one_fault_are_named_together_and_as_no_use() -> None:
    """Exaggerated findings that were not requested are in one sentence, and none of them is usable."""
    ratio = make_label_ratio(2.4, 1.8, 3.0, exaggerates=True)
    labels = make_metrics()["labels"] | {"validity": make_validity(Effusion=ratio, Mass=ratio, Edema=ratio)}
    good = summarise(run=make_run(labels=("Effusion",)), labels=labels).answers[1]
    assert "Effusion is exaggerated" in list_sentences(good, "failed")
    assert "Mass and Edema are exaggerated: they are far more obvious" in list_sentences(good, "open")
    facts = read_facts(good)
    assert facts["Labels may be used for"] == "no finding"
    assert facts["Not for"] == "Effusion, Mass, Edema (exaggerated)"
    assert "Not clear for" not in facts
    assert "Not for" in list_marked(good, "failed")


def test_findings_on_images_that_were_not_tested_are_named_with_the_reason() -> None:
    """Findings without an image are left out."""
    status = "not applicable (n = 4 films)"
    hernia, mass = (make_label_ratio(None, status=status, n_synthetic_positive=n) for n in (3, 0))
    labels = make_metrics()["labels"]
    labels["validity"] = make_validity(Effusion=make_label_ratio(0.9, 0.6, 1.2), Hernia=hernia, Mass=mass)  # type: ignore[typeddict-item]
    assert read_facts(summarise(labels=labels).answers[1])["Labels not tested"] == "Hernia (n = 4 films)"


def test_a_gate_that_is_not_applicable_makes_the_banner_amber_and_is_named() -> None:
    """The other gates passed."""
    gates = [make_gate(name) for name in ("checks.failed", "privacy.pixels.share_low")]
    gates += [make_gate("distance.judge.relative", threshold=3.0)]
    gates += [make_gate("labels.total_variation"), make_gate("labels.validity.mean", "not applicable", None)]
    summary = summarise(make_verdict(*gates))
    assert summary.state == "open"
    assert summary.headline.endswith("4 of 5 gates could be judged, all 4 passed; not applicable: mean label validity")


def test_a_kind_of_evidence_without_a_gate_makes_the_banner_amber_and_is_named() -> None:
    """A verdict without a gate on copying is not green, however the other gates ended."""
    summary = summarise(make_verdict(make_gate("checks.failed"), make_gate("distance.judge.relative")))
    assert summary.state == "open"
    assert summary.headline.endswith("no gate is set on label distribution, copying, label validity")


def test_a_failed_check_is_named_with_value_and_bound() -> None:
    """The count alone does not say what is wrong."""
    gate = make_gate("checks.failed", "failed", 1.0, threshold=0.0, detail="digests: 3 of 400 rows differ, required 0")
    checks = {"failed": 1, "lines": [make_check("files", passed=True), make_check("digests", passed=False)]}
    summary = summarise(make_verdict(gate), checks=checks)
    identity = summary.answers[2]
    assert identity.state == "failed"
    assert "every digests is right (3 of 400 rows differ, required at most 0)" in identity.reasons[0].sentence
    words = "failed checks of files and labels (checks.failed) = 1 (target at most 0; digests: 3 of 400 rows differ"
    assert words in summary.headline
    assert read_facts(identity)["Checks of files and labels"] == "1 of 2 failed"


@pytest.mark.parametrize(
    ("validity", "specificity", "words"),
    [
        (make_label_ratio(-0.6, -1.0, -0.2), make_label_ratio(0.9, 0.6, 1.2), "wrong way round"),
        (make_label_ratio(2.4, 1.8, 3.0, exaggerates=True), make_label_ratio(0.9, 0.6, 1.2), "exaggerated"),
        (make_label_ratio(0.1, -0.2, 0.4), make_label_ratio(0.1, -0.2, 0.4), "means less on images than on films"),
        (make_label_ratio(0.9, 0.7, 1.1), make_label_ratio(0.1, -0.1, 0.3), "means abnormal and not Effusion"),
    ],
)
@pytest.mark.parametrize(("labels", "state"), [(("Effusion",), "failed"), ((), "open")])
def test_faults_of_a_label_are_named(
    validity: Any, specificity: Any, words: str, labels: tuple[str, ...], state: str
) -> None:
    """A fault of the requested finding is red, of another finding amber, and the finding is not usable."""
    sections = {"validity": make_validity(Effusion=validity), "specificity": make_validity(Effusion=specificity)}
    summary = summarise(run=make_run(labels=labels), labels=make_metrics()["labels"] | sections)
    good = summary.answers[1]
    assert good.state == state
    assert words in list_sentences(good, state)
    assert "labels valid" not in good.verdict


def test_a_requested_finding_without_validity_is_amber_with_the_reason() -> None:
    """Whether a set of requested images shows the finding is then not known."""
    row = make_label_ratio(None, status="not applicable (n = 4 films)", interval=None)
    labels = make_metrics()["labels"] | {"validity": make_validity(Hernia=row)}
    good = summarise(run=make_run(labels=("Hernia",)), labels=labels).answers[1]
    assert good.state == "open"
    assert "Whether the images show Hernia is not known: n = 4 films." in list_sentences(good, "open")


def test_a_tiny_effective_sample_size_is_named() -> None:
    """The weights of 10,000 images that are worth two independent ones."""
    weights = {"status": "computed", "effective_size": 2.0, "effective_share": 0.0002, "n": 10_000}
    good = summarise(weights=weights).answers[1]
    assert good.state == "open"
    assert "The weights of the 10,000 images leave an effective sample size of 2 (0.02 %)." in list_sentences(
        good, "open"
    )


def test_extra_findings_of_requested_images_are_named() -> None:
    """Images with 6.6 findings where films have 2.2 are no films of one finding."""
    companions = [{"finding": "Edema", "synthetic": 0.9, "real": 0.2}]
    row = {"synthetic": 6.6, "n_synthetic": 60, "real": 2.2, "real_by_classifier": 3.0, "n_real": 40}
    cofindings = {"status": "computed", "synthetic": 6.6, "real": 1.0, "Effusion": row | {"companions": companions}}
    good = summarise(run=make_run(labels=("Effusion",)), cofindings=cofindings).answers[1]
    assert "Images with Effusion carry 6.6 findings, films 2.2." in list_sentences(good, "open")
    assert "Edema 90.0 % (films 20.0 %)" in read_facts(good)["Findings per image"]


def test_limits_of_the_comparison_are_amber() -> None:
    """Phantoms, no films, fewer images than training films, repeated images and an incomplete dataset."""
    duplicates = {"share": 0.3, "share_interval": [0.2, 0.4]}
    distance = {"judge": make_metrics()["distance"]["judge"] | {"n_synthetic": 200}}
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"phantom": True}, 1, "say nothing about realism"),
        ({"n_real_test": 0}, 1, "a first look and not a test"),
        ({"distance": distance}, 1, "computed from 200 images, fewer than the 300 training films"),
        (
            {"privacy": {"pixels": make_space(0.0, 0.0, 0.01, duplicates=duplicates)}},
            1,
            "The generator repeats itself: in pixels 30.0 % (95 % CI 20.0 to 40.0) of the images",
        ),
    ]
    for sections, position, words in cases:
        answer = summarise(**sections).answers[position]
        assert answer.state == "open"
        assert words in list_sentences(answer, "open")
    counts = {"requested": 600, "found": 20, "draws": 60_000, "acceptance_rate": 0.0003}
    identity = summarise(run=make_run(complete=False, counts=counts)).answers[2]
    assert identity.state == "open"
    assert "20 of 600 requested images were found among 60,000 candidates" in list_sentences(identity, "open")


def test_every_rendering_has_the_same_answers() -> None:
    """Text, Markdown and JSON have the headline and, for each question, the verdict, every reason and every fact."""
    utility = {"differences": {"synthetic only - real only": {"value": -0.02, "interval": [-0.05, 0.01]}}}
    summary = summarise(utility=utility)
    renderings = (
        "\n".join(format_lines(summary)),
        format_markdown(summary),
        json.dumps(summary.as_dict(), ensure_ascii=False),
    )
    for rendering in renderings:
        assert summary.headline in rendering
        for answer in summary.answers:
            parts = [answer.question, answer.verdict, *(reason.sentence for reason in answer.reasons)]
            assert all(part in rendering for part in parts)
            assert all(fact.name in rendering and fact.text in rendering for fact in answer.facts)
    assert "synthetic only - real only -0.020 (-0.050 to +0.010)" in renderings[0]


def test_numbers_that_older_results_lack_are_not_measured() -> None:
    """Results from before label validity was measured give a summary without it."""
    metrics: Any = make_metrics()
    for name in ("weights", "names", "similarity", "coverage"):
        del metrics[name]
    del metrics["labels"]["validity"], metrics["labels"]["specificity"]
    summary = summarise_evidence(metrics, make_verdict(), make_run(labels=("Effusion",)))
    assert summary.answers[1].state == "open"
    assert "Whether the images show Effusion is not known: not measured." in list_sentences(summary.answers[1], "open")


def test_an_incomplete_mix_names_the_sets_with_too_few_images() -> None:
    """The answer to what the dataset is stays open and names three sets at most; findings have no underscore."""
    parts = [{"labels": ["Mass"], "without": [], "n": 10}] * 5
    rows = [{"labels": ["Mass", "Pleural_Thickening"], "without": [], "requested": 10, "found": k} for k in range(4)]
    run = make_run(complete=False, shortfall=rows)
    run["request"]["parts"] = parts
    identity = summarise(run=run).answers[2]
    assert identity.state == "open"
    names = ", ".join(f"Mass and Pleural Thickening ({k} of 10)" for k in range(3))
    assert f"; too few show {names} and 1 more." in list_sentences(identity, "open")


def test_a_request_for_findings_alone_is_described_as_such() -> None:
    """A finding with all others excluded is described without the list of them."""
    run = make_run(labels=("Edema",))
    run["request"]["without"] = [name for name in FINDINGS if name != "Edema"]
    assert read_facts(summarise(run=run).answers[2])["Request"] == "every image labelled Edema and no other finding"
    run["request"]["without"] = ["Pleural_Thickening", "Mass"]
    request = read_facts(summarise(run=run).answers[2])["Request"]
    assert request == "every image labelled Edema without Pleural Thickening or Mass"
    run["request"]["labels"] = []
    assert read_facts(summarise(run=run).answers[2])["Request"] == "every image without Pleural Thickening or Mass"

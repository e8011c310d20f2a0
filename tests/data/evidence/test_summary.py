"""The summary: three answers whose colour is the worst of the facts, and a headline that names the gates."""

from __future__ import annotations

import json
from typing import Any

import pytest
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

from synthcxr.data.evidence.answer import Answer
from synthcxr.data.evidence.summary import EvidenceSummary, format_lines, format_markdown, summarise_evidence
from synthcxr.data.findings import FINDINGS


def summarise(verdict: Any = None, run: Any = None, *, utility: Any = None, **sections: Any) -> EvidenceSummary:
    """The summary of evidence in which `sections` replace sections without a fault."""
    return summarise_evidence(make_metrics(**sections), verdict or make_verdict(), run or make_run(), utility=utility)


def list_states(summary: EvidenceSummary) -> dict[str, str]:
    """The state of each answer."""
    return {answer.key: answer.state for answer in summary.answers}


def list_sentences(answer: Answer, state: str) -> str:
    """The reasons of one state as a text."""
    return " ".join(reason.sentence for reason in answer.reasons if reason.state == state)


def read_facts(answer: Answer) -> dict[str, str]:
    """The facts of an answer by name."""
    return {fact.name: fact.text for fact in answer.facts}


def list_marked(answer: Answer, state: str) -> list[str]:
    """The names of the facts with the mark of this state."""
    return [fact.name for fact in answer.facts if fact.state == state]


def make_privacy(**spaces: Any) -> dict[str, Any]:
    """The section "privacy" with these spaces."""
    return {"status": "computed"} | spaces


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


def test_copies_in_one_space_are_red_even_without_a_gate() -> None:
    """A share of near copies above chance in any space fails the answer, although every gate that is set passed."""
    privacy = {"status": "computed", "pixels": make_space(0.03, 0.015, 0.06), "judge": make_space(0.01, 0.002, 0.03)}
    verdict = make_verdict(make_gate("checks.failed"), make_gate("privacy.judge.share_low"))
    summary = summarise(verdict, privacy=privacy)
    assert summary.state == summary.answers[0].state == "failed"
    assert summary.answers[0].verdict == "No, not as it is"
    assert "3.0 % (95 % CI 1.5 to 6.0) are closer than 99 % of held-out films, 1 % expected by chance" in (
        list_sentences(summary.answers[0], "failed")
    )
    assert "speaks against this dataset: copying." in summary.headline


def test_copying_that_was_not_examined_is_amber_and_says_why() -> None:
    """Without films the answer is neither yes nor no."""
    status = "not applicable (no films: give --films)"
    privacy = {"status": status, "pixels": {"status": status}, "judge": {"status": status}}
    shared = summarise(privacy=privacy).answers[0]
    assert (shared.state, shared.verdict) == ("open", "Not known: copying was not examined")
    assert "no films were given to `evaluate`" in list_sentences(shared, "open")
    assert list(read_facts(shared)) == ["Not examined"]


def test_what_convinces_of_copying_is_said_with_what_to_do() -> None:
    """How many images are closer than any held-out film and how many are identical, in every space that fails."""
    distances = [0.0, 0.001, 0.2]
    pairs = [{"image": f"{k}.png", "film": k, "distance": d, "rank": 0.0} for k, d in enumerate(distances)]
    spaces = {
        "pixels": make_space(0.03, 0.015, 0.06, n_below_null=3, pairs=pairs),
        "judge": make_space(0.04, 0.02, 0.06, n_below_null=9),
    }
    shared = summarise(privacy=make_privacy(**spaces)).answers[0]
    pixels, judge = (reason.sentence for reason in shared.reasons)
    assert pixels.startswith(
        "In pixels, 3 of 400 images are closer to a training film than any held-out film (2.6 expected by chance), 2 of"
        " them exactly or practically identical; 3.0 %"
    )
    assert judge.startswith("In features of the judge, 9 of 400 images are closer")
    assert read_facts(shared)["What to do"] == (
        "Look at the closest pairs. Generate the dataset again with `--reject-memorised`, or leave out the images that"
        ' privacy.csv flags (column "pixels flagged" or "judge flagged"); then evaluate again.'
    )


def test_no_excess_of_near_copies_is_not_called_less_than_chance() -> None:
    """A share above 1 % whose interval holds 1 % shows no excess; the expected share is given."""
    shared = summarise(privacy=make_privacy(pixels=make_space(0.013, 0.002, 0.023))).answers[0]
    assert list_sentences(shared, "passed") == (
        "In pixels, no excess shown: 1.3 % (95 % CI 0.2 to 2.3) are closer than 99 % of held-out films, 1 % expected by"
        " chance."
    )


def test_a_distance_below_one_is_no_merit_of_a_set_with_copies() -> None:
    """The same distance of a set without copies has no such warning."""
    distance = {"judge": make_metrics()["distance"]["judge"] | {"relative": 0.6, "relative_interval": [0.5, 0.7]}}
    copies = make_privacy(pixels=make_space(0.03, 0.015, 0.06))
    texts = [
        " ".join(read_facts(summarise(distance=distance, **sections).answers[1]).values())
        for sections in ({"privacy": copies}, {})
    ]
    assert ["Below 1 is no merit" in text for text in texts] == [True, False]


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


def test_findings_with_one_fault_are_named_together_and_as_no_use() -> None:
    """Caricatures of findings that were not requested are in one sentence, and none of them is usable."""
    ratio = make_label_ratio(2.4, 1.8, 3.0, exaggerates=True)
    labels = make_metrics()["labels"] | {"validity": make_validity(Effusion=ratio, Mass=ratio, Edema=ratio)}
    good = summarise(run=make_run(labels=("Effusion",)), labels=labels).answers[1]
    assert "Effusion is a caricature" in list_sentences(good, "failed")
    assert "Mass and Edema are caricatures: they are far more obvious" in list_sentences(good, "open")
    facts = read_facts(good)
    assert facts["Labels may be used for"] == "no finding"
    assert facts["Not for"] == "Effusion, Mass, Edema (caricature)"
    assert "Not for" in list_marked(good, "failed")


def test_findings_on_images_that_were_not_tested_are_named_with_the_reason() -> None:
    """Findings without an image are left out."""
    status = "not applicable (n = 4 films)"
    hernia, mass = (make_label_ratio(None, status=status, n_synthetic_positive=n) for n in (3, 0))
    labels = make_metrics()["labels"]
    labels["validity"] = make_validity(Effusion=make_label_ratio(0.9, 0.6, 1.2), Hernia=hernia, Mass=mass)  # type: ignore[typeddict-item]
    assert read_facts(summarise(labels=labels).answers[1])["Labels not tested"] == "Hernia (n = 4 films)"


@pytest.mark.parametrize("detectable", [None, 0.2])
def test_a_test_without_power_is_amber(detectable: float | None) -> None:
    """A set that is too small to show copies is not cleared by showing none."""
    row = make_space(0.0, 0.0, 0.1, detectable=detectable)
    assert summarise(privacy={"status": "computed", "pixels": row}).answers[0].state == "open"


def test_kinds_of_copy_are_detectable_in_a_space_or_in_none() -> None:
    """A space is named with the kinds of which it detects half; a kind that no space detects was still examined."""
    detection = {"exact": {"share": 1.0}, "shifted": {"share": 0.1}, "noisy": {"share": 0.2}}
    pixels = make_space(0.01, 0.0, 0.03, found=detection)
    judge = make_space(0.01, 0.0, 0.03, found=detection | {"noisy": {"share": 0.9}})
    facts = read_facts(summarise(privacy=make_privacy(pixels=pixels, judge=judge)).answers[0])
    assert facts["Not detectable"] == (
        "shifted copies (of planted ones 10.0 % found in pixels, 10.0 % found in features of the judge)."
        " No space finds half of them."
    )
    assert "shifted" not in facts["Not examined"]
    smallest = facts["Smallest share of copies that would show in 4 of 5 sets of this size"]
    assert smallest.startswith(
        "2.0 % in pixels (exact copies); 2.0 % in features of the judge (exact and noisy copies)"
    )


def test_a_membership_inference_above_chance_is_amber() -> None:
    """Images that reveal which films were in the training set need a look, also without near copies."""
    attack = {"auroc": 0.6, "interval": [0.55, 0.65], "low": 0.55}
    privacy = {"status": "computed", "pixels": make_space(0.01, 0.0, 0.03, attack=attack)}
    shared = summarise(privacy=privacy).answers[0]
    assert shared.state == "open"
    assert "membership inference" in list_sentences(shared, "open")


def test_a_gate_that_is_not_applicable_makes_the_banner_amber_and_is_named() -> None:
    """The other gates passed."""
    gates = [make_gate(name) for name in ("checks.failed", "privacy.pixels.share_low")]
    gates += [make_gate("distance.judge.relative", threshold=3.0)]
    gates += [make_gate("labels.total_variation"), make_gate("labels.validity.mean", "not applicable", None)]
    summary = summarise(make_verdict(*gates))
    assert summary.state == "open"
    assert summary.headline.endswith(
        "4 of 5 gates could be judged, all 4 passed; not applicable: mean label validity (labels.validity.mean)"
    )


def test_a_kind_of_evidence_without_a_gate_makes_the_banner_amber_and_is_named() -> None:
    """A verdict without a gate on copying is not green, however the other gates ended."""
    summary = summarise(make_verdict(make_gate("checks.failed"), make_gate("distance.judge.relative")))
    assert summary.state == "open"
    assert summary.headline.endswith("no gate is set on label distribution, copying, label validity")


def test_a_gate_on_duplicates_is_no_gate_on_copying() -> None:
    """Repeated images say nothing about training films."""
    gates = [make_gate("checks.failed"), make_gate("privacy.pixels.duplicates.share_low")]
    assert (
        "no gate is set on distance to films, label distribution, copying" in summarise(make_verdict(*gates)).headline
    )


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
        (make_label_ratio(2.4, 1.8, 3.0, exaggerates=True), make_label_ratio(0.9, 0.6, 1.2), "caricature"),
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

"""The answer whether a dataset may be shared: what was examined for copies, and what was found."""

from __future__ import annotations

import pytest
from support.evidence_answers import list_sentences, make_privacy, read_facts, summarise
from support.evidence_files import (
    make_gate,
    make_metrics,
    make_space,
    make_verdict,
)


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


def test_a_gate_on_duplicates_is_no_gate_on_copying() -> None:
    """Repeated images say nothing about training films."""
    gates = [make_gate("checks.failed"), make_gate("privacy.pixels.duplicates.share_low")]
    assert (
        "no gate is set on distance to films, label distribution, copying" in summarise(make_verdict(*gates)).headline
    )


def test_kinds_of_film_without_held_out_ones_are_named() -> None:
    """Training films that stand in for held-out films are counted, and evidence without them has no such line."""
    name, text = "Training films without comparable held-out films", "1,200 of them stand in"
    row = make_space(0.01, 0.0, 0.03, n_null_training=1200)
    assert read_facts(summarise(privacy=make_privacy(pixels=row)).answers[0])[name].startswith(text)
    row["held_out_only"] = {"share": 0.035, "interval": [0.017, 0.067], "n_null": 480}
    assert (
        "With the held-out films alone, near copies are 3.5 % (95 % CI 1.7 to 6.7) in pixels (480 films), 1 %"
        in (read_facts(summarise(privacy=make_privacy(pixels=row)).answers[0])[name])
    )
    reasons = list_sentences(summarise(privacy=make_privacy(pixels=row)).answers[0], "passed")
    assert "99 % of comparison films" in reasons
    for other in (make_space(0.01, 0.0, 0.03, n_null_training=0), make_space(0.01, 0.0, 0.03)):
        assert name not in read_facts(summarise(privacy=make_privacy(pixels=other)).answers[0])


def test_membership_inference_that_was_not_possible_is_amber() -> None:
    """Without held-out films of the kind of the training films, nothing is known, which is said."""
    attack = {"auroc": None, "interval": [None, None], "low": None, "n_members": 0, "n_controls": 0}
    shared = summarise(privacy=make_privacy(pixels=make_space(0.01, 0.0, 0.03, attack=attack))).answers[0]
    assert shared.state == "open"
    assert "membership inference was not possible" in list_sentences(shared, "open")

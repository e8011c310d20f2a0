"""What the report says: the results' JSON turned into sentences and rows, before any of it is HTML."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

State = Literal["passed", "failed", "open"]
Row = tuple[str, ...]

_PHANTOM = (
    "Drawn phantoms, not patients: every film behind these results was drawn by the program. They show that the"
    " pipeline works and say nothing about realism."
)
NO_BREAK = "\u00a0"  # a number, its unit and its interval stay on one line
DIAGNOSTIC = "checks."
PIXELS = "pixels"  # of the sections on copies: a space without features
CHANCE = 0.01  # of images lie nearer than 99 in 100 films by chance
_ORDER = ("failed", "passed", "not applicable")


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under their headings."""

    headings: Row
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The gates in plain words: the overall state, its sentence, and (state, sentence, bound) a gate."""

    state: State
    headline: str
    gates: tuple[tuple[str, str, str], ...]

    @property
    def quality(self) -> tuple[tuple[str, str, str], ...]:
        """The gates on scores, without those that must hold whatever the scores are."""
        return tuple(gate for gate in self.gates if not gate[2].startswith(DIAGNOSTIC))


def verdict(held: Mapping[str, Any]) -> Verdict:
    """The verdict of results/verdict.json."""
    gates = held["gates"]
    judged = [gate for gate in gates if gate["status"] != "not applicable"]
    failed = [gate for gate in judged if gate["status"] == "failed"]
    state: State = "failed" if failed or not held["passed"] else "passed" if judged else "open"
    if state == "failed":
        headline = f"{len(failed)} of {_count(len(judged), 'gate')} failed"
    elif state == "passed":
        headline = "The one gate passed" if len(judged) == 1 else f"All {len(judged)} gates passed"
    else:
        headline = "No gate could be applied: this report judges nothing"
    skipped = len(gates) - len(judged)
    if judged and skipped:
        headline += f"; {_count(skipped, 'gate')} not applicable"
    ordered = sorted(gates, key=lambda gate: _ORDER.index(gate["status"]))
    rows = tuple((str(gate["status"]), str(gate["sentence"]), _bound(gate)) for gate in ordered)
    return Verdict(state=state, headline=headline, gates=rows)


def warnings(*, run: Mapping[str, Any], metrics: Mapping[str, Any], held: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know before anything else."""
    counts = run["counts"]
    found = []
    if metrics["phantom"] or run["model"]["phantom"]:
        found.append(_PHANTOM)
    if not run["complete"]:
        found.append(
            f"The set is short: {counts['found']:,} of {counts['requested']:,} images were found in"
            f" {counts['draws']:,} draws."
        )
    if not metrics["n_real_test"]:
        found.append(
            "No films were given: this is a first look, held against what the model carries of its val films, and no"
            " test."
        )
    found += _small(metrics, held)
    found += _near(metrics.get("privacy", {}))
    if not any(gate["metric"].startswith("privacy") for gate in held["gates"]):
        found.append("No gate here examines whether synthetic images copy training films.")
    return tuple(found)


def _small(metrics: Mapping[str, Any], held: Mapping[str, Any]) -> list[str]:
    """That a gate on a distance was taken with fewer images than there are training films."""
    named = {gate["metric"].split(".")[1] for gate in held["gates"] if gate["metric"].startswith("distance.")}
    return [
        f"The distance in {features(name)} was taken with {count(n)} images, fewer than the"
        f" {count(n_train)} training films: with fewer images its ratio comes nearer to 1 whatever they are, and a"
        " gate on it is easier."
        for name in sorted(named)
        if (n := metrics["distance"][name].get("n_synthetic")) and (n_train := metrics["distance"][name].get("n_train"))
        if n < n_train
    ]


def _near(privacy: Mapping[str, Any]) -> list[str]:
    """More images near films, or near each other, than chance lets be: each space by name."""
    spaces = {
        name: held for name, held in privacy.items() if isinstance(held, Mapping) and held["status"] == "computed"
    }
    found = [
        ("a film that was learned from", spaces, "Look at the closest pairs before sharing."),
        ("another image", {name: held["duplicates"] for name, held in spaces.items()}, "The generator repeats itself."),
    ]
    return [
        f"More images than chance lets be lie near to {what}: {', '.join(far)}. {then}"
        for what, parts, then in found
        if (far := [_share(name, part) for name, part in parts.items() if part["share_interval"][0] > CHANCE])
    ]


def _share(name: str, part: Mapping[str, Any]) -> str:
    where = name if name == PIXELS else features(name)
    return f"{percent(part['share'])} {interval(part['share_interval'], percent=True)} in {where}"


def summary(*, run: Mapping[str, Any]) -> str:
    """One sentence: what was made, by which model, on which request."""
    request, counts, model = run["request"], run["counts"], run["model"]
    wanted = " and ".join(request["labels"])
    kind = f"each labelled {wanted}" if wanted else "drawn without any request for a finding"
    return (
        f"{counts['found']:,} synthetic images of {model['resolution']} px, {kind}, made by {model['name']} with seed"
        f" {request['seed']}; {counts['draws']:,} candidates were drawn and {percent(counts['acceptance_rate'])} kept."
    )


def distances(metrics: Mapping[str, Any]) -> tuple[Table, tuple[str, ...]]:
    """One row a set of features, and a sentence on each."""
    computed = {name: d for name, d in metrics["distance"].items() if d["status"] == "computed"}
    rows = tuple(
        (
            features(name),
            f"{number(d['value'])} {interval(d['interval'])}",
            f"{number(d['floor'])} (n = {count(d['floor_n'])})",
            f"{number(d['relative'])} {interval(d['relative_interval'])}",
            f"{count(d['n_synthetic'])} / {count(d['n_train'])} / {count(d['n_test'])}",
        )
        for name, d in computed.items()
    )
    headings = ("Features", "Frechet distance", "Floor: real to real", "Relative", "N synthetic / train / test")
    said = [f"{features(name)}: {d['status']}." for name, d in metrics["distance"].items() if d["status"] != "computed"]
    said += [_relative(name, d, whose=_films(metrics)) for name, d in computed.items()]
    return Table(headings, rows), tuple(said)


def _films(metrics: Mapping[str, Any]) -> str:
    """What images were held against."""
    return "the test films" if metrics["n_real_test"] else "the films that the model carries"


def _relative(name: str, distance: Mapping[str, Any], *, whose: str) -> str:
    return (
        f"{features(name)}: synthetic images lie {number(distance['relative'])} times as far from {whose} as"
        " training films do (1 would be as near as real films)."
    )


def extractors(metrics: Mapping[str, Any]) -> tuple[Row, ...]:
    """Name, digest and resize rule of every extractor that was used."""
    return tuple(
        (features(name), f"{d['extractor']}, digest {d['digest']}, resize: {d['resize']}")
        for name, d in metrics["distance"].items()
        if d["status"] == "computed"
    )


def checks(held: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """(state, sentence, what was found and asked, with the rows named) of every check of the dataset; failed first."""
    ordered = sorted(held["lines"], key=lambda line: bool(line["passed"]))
    return tuple(
        ("passed" if line["passed"] else "failed", _opened(line["sentence"]), _checked(line)) for line in ordered
    )


def _checked(line: Mapping[str, Any]) -> str:
    bound = f"{line['found']}; asked: {line['asked']}" if line["found"] else ""
    return ". ".join(filter(None, (bound, ", ".join(line["rows"]))))


def provenance(run: Mapping[str, Any]) -> tuple[Row, ...]:
    """What was made with what: (name, value) rows."""
    model = run["model"]
    rows = [
        ("Command", shlex.join(run["command"])),
        ("Model", model["name"]),
        *((f"Digest of {name}", digest) for name, digest in sorted(model["digests"].items())),
        ("Training data", model["training_data"] + (" (drawn phantoms)" if model["phantom"] else "")),
        ("Execution provider", run["provider"]),
        ("Git revision", run["git_revision"] or "not in a git repository"),
        ("DVC", ", ".join(f"{name} {value}" for name, value in sorted(run.get("dvc", {}).items())) or "not run by it"),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))),
        ("Time to generate", f"{run['wall_s']:,.0f} s"),
        ("Format", run["format"]),
    ]
    return tuple(rows)


def registration(held: Mapping[str, Any] | None) -> tuple[Row, ...]:
    """What the registry knows of these results, or that it knows nothing."""
    if held is None:
        return (("Registered", "no"),)
    versions = ", ".join(f"{name} version {version}" for name, version in sorted(held["versions"].items()))
    return (
        ("Registered", versions),
        ("MLflow run", held["run_id"]),
        ("Champion", ("yes" if held["champion"] else "no") + (f": {held['why']}" if held["why"] else "")),
    )


def protocol(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """How it was measured, a sentence an entry."""
    return tuple(str(sentence) for sentence in metrics["protocol"].values())


def _opened(sentence: str) -> str:
    """A sentence with its first letter large and its full stop."""
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."


def features(name: str) -> str:
    """An extractor in words."""
    return "Judge features" if name == "judge" else f"{name} features"


def words(finding: str) -> str:
    """A finding as a reader writes it."""
    return finding.replace("_", " ")


def mark(held: Mapping[str, Any]) -> str:
    """A star after the name of what enters no gate: the report says below the shares of findings why."""
    return "" if held.get("judged", True) else " *"


def _bound(gate: Mapping[str, Any]) -> str:
    if gate["value"] is None:
        return ""
    sign = "at most" if gate["direction"] == "max" else "at least"
    return f"{gate['metric']} = {number(gate['value'])}, {sign} {number(gate['threshold'])}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def number(value: float | None) -> str:
    """Three significant digits, no exponent for what a person reads at a glance."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def count(n: int | None) -> str:
    """A number of things, or a dash where it is not known, as of the films of a model judged without them."""
    return "–" if n is None else f"{n:,}"


def percent(share: float | None) -> str:
    """A share as a percentage, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}{NO_BREAK}%"


def interval(edges: Sequence[float | None] | None, *, percent: bool = False) -> str:
    """A 95 % interval in brackets; empty where there is none."""
    if not edges or None in edges:
        return ""
    low, high = (f"{100 * edge:.1f}" if percent else number(edge) for edge in edges if edge is not None)
    return NO_BREAK.join((f"({low}", "to", f"{high})"))


def auroc(held: Mapping[str, Any]) -> str:
    """An AUROC with its interval, three decimals each; no interval where there is none."""
    if None in held["interval"]:
        return f"{held['value']:.3f}"
    low, high = (f"{edge:.3f}" for edge in held["interval"])
    return f"{held['value']:.3f} {NO_BREAK.join((f'({low}', 'to', f'{high})'))}"

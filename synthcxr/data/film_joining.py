"""Treat films of the same person, or of the same picture, as films of one patient, so that one split gets them all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, UNKNOWN_FINDINGS
from synthcxr.data.patient_split import TRAIN_VAL


@dataclasses.dataclass(frozen=True)
class JoinedFilms:
    """The films in the same order, and a sentence for each group whose films contradict each other.

    Findings that contradict are unknown in each film of the group.
    """

    films: tuple[Film, ...]
    contradictions: tuple[str, ...]


def join_same_films(films: Sequence[Film], groups: Sequence[Sequence[int]]) -> JoinedFilms:
    """Join the patients of films with the same picture; `groups` are indices of `films` (`same_films`).

    Both films are kept, with their labels. A patient that is then on both official lists is only on train_val, so that
    no test film is a training film too.
    """
    joined = list(films)
    contradictions = []
    for group in groups:
        contradictory = _list_contradictory_findings([films[index] for index in group])
        if contradictory:
            contradictions.append(
                f"{_name_films(films, group)} show the same picture, but their labels contradict:"
                f" {', '.join(contradictory)}"
            )
        for index in group:
            findings = tuple(
                unknown if name in contradictory else value
                for name, value, unknown in zip(FINDINGS, films[index].findings, UNKNOWN_FINDINGS, strict=True)
            )
            joined[index] = dataclasses.replace(films[index], findings=findings)
    patients = unify_patients([films[index].patient_id for index in group] for group in groups)
    joined = [dataclasses.replace(film, patient_id=patients.get(film.patient_id, film.patient_id)) for film in joined]
    lists_of_patient: dict[str, set[str]] = {}
    for film in joined:
        lists_of_patient.setdefault(film.patient_id, set()).update({film.official} - {""})
    on_both_lists = {
        joined[group[0]].patient_id: group for group in groups if len(lists_of_patient[joined[group[0]].patient_id]) > 1
    }
    contradictions += [
        f"{_name_films(films, group)} show the same picture, but their patients are on different official lists"
        for group in on_both_lists.values()
    ]
    joined = [
        dataclasses.replace(film, official=TRAIN_VAL) if film.patient_id in on_both_lists else film for film in joined
    ]
    return JoinedFilms(tuple(joined), tuple(contradictions))


def unify_patients(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Map each patient ID to one ID per person: the patient IDs of one group belong to one person (union-find).

    The ID is a plain number, which may be public, if the person has one, else the first.
    """
    parents: dict[str, str] = {}

    def find_root(patient: str) -> str:
        while parents.setdefault(patient, patient) != patient:
            patient = parents[patient]
        return patient

    for group in groups:
        for patient in group:
            roots = sorted((find_root(group[0]), find_root(patient)), key=lambda root: not root.isdigit())
            parents[roots[1]] = roots[0]
    return {patient: find_root(patient) for patient in tuple(parents)}


def _list_contradictory_findings(films: Sequence[Film]) -> list[str]:
    return [
        finding
        for finding, values in zip(FINDINGS, zip(*(film.findings for film in films), strict=True), strict=True)
        if {0.0, 1.0} <= set(values)
    ]


def _name_films(films: Sequence[Film], group: Sequence[int]) -> str:
    others = f" and {len(group) - 2:,} more" if len(group) > 2 else ""
    return f"{films[group[0]].origin} and {films[group[1]].origin}{others}"

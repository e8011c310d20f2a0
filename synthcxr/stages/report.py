"""Writes the evaluation results as one HTML file, and a private one beside it if real films may be shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from synthcxr.config import parsing
from synthcxr.config.schema import ReportConfig
from synthcxr.data import image_reader
from synthcxr.data.evidence.summary import UTILITY_FILE, summarise_evidence
from synthcxr.data.experiment_rows import DisturbJson, UtilityJson
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.metrics_schema import METRICS_FILE, VERDICT_FILE, MetricsJson, VerdictJson
from synthcxr.data.run_schema import RunJson
from synthcxr.data.synthetic_dataset import read_metadata, read_run
from synthcxr.errors import DataError
from synthcxr.report import nearest_films, provenance, verdict
from synthcxr.report.classifier import build_classifier_section
from synthcxr.report.distances import build_distance_section
from synthcxr.report.findings import build_findings_section
from synthcxr.report.html import Report, render_report
from synthcxr.report.label_validity import build_label_validity_section, build_validity_plot
from synthcxr.report.memorisation import build_memorisation_section
from synthcxr.report.optional_experiments import Experiments, build_utility_section
from synthcxr.report.provenance import RegisteredJson
from synthcxr.report.section import Section
from synthcxr.report.thumbnails import IMAGES_TITLE, build_images_section
from synthcxr.storage import atomic, csv_files, output_lock
from synthcxr.storage.progress import track

PRIVATE_FILE, REGISTERED_FILE = "report-private.html", "registered.json"
DISTURB_FILE = Path("disturb/disturb.json")
COOCCURRENCE_FILE = Path("curves/cooccurrence.csv")
_ADVICE = "run `synthcxr evaluate` again"
_T = TypeVar("_T")
_REAL_FILMS = (
    "Private: this file shows real films of patients. Do not share it. The report in the same folder shows none."
)
_PHANTOM_FILMS = (
    "This file shows the phantoms that the models were trained on. The report in the same folder shows none."
)


@output_lock.writes_file()
def run(config: ReportConfig, *, results: Path, dataset: Path, out: Path, films: Path | None) -> tuple[Path, ...]:
    """Write `out` and, given packed `films`, report-private.html beside it; return the files written.

    Reads only `results` and the synthetic `dataset`. If results/registered.json names an MLflow run, logs `out` to it,
    never the private file.
    """
    inputs = _Inputs.read(results, dataset)
    public = _build_report(config, inputs)
    atomic.write_text(out, render_report(public))
    written = [out]
    if films:
        private = _add_films(public, config, inputs, open_film_dataset(films))
        written.append(out.with_name(PRIVATE_FILE))
        atomic.write_text(written[-1], render_report(private))
    if inputs.registered:
        _log_to_run(inputs.experiments, inputs.registered, out)
    return tuple(written)


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """The content of the files that the report is built from; a table whose file is absent is empty."""

    dataset: Path
    records: pd.DataFrame
    run: RunJson
    metrics: MetricsJson
    verdict: VerdictJson
    registered: RegisteredJson | None
    training_logs: dict[str, pd.DataFrame]
    cooccurrence: pd.DataFrame
    experiments: Experiments

    @classmethod
    def read(cls, results: Path, dataset: Path) -> _Inputs:
        for name in (METRICS_FILE, VERDICT_FILE):
            if not (results / name).is_file():
                raise DataError(f"{results}: no {name}; run `synthcxr evaluate` first")
        metrics = parsing.read_json(MetricsJson, results / METRICS_FILE, advice=_ADVICE, missing_ok=True)
        logs = {name: _read_table(results / f"train_{name}.csv") for name in ("gan", "classifier", "judge")}
        disturb = _read_optional(DisturbJson, results / DISTURB_FILE)
        utility = _read_optional(UtilityJson, results / UTILITY_FILE)
        return cls(
            dataset=dataset,
            records=read_metadata(dataset),
            run=read_run(dataset),
            metrics=metrics,
            verdict=parsing.read_json(VerdictJson, results / VERDICT_FILE, advice=_ADVICE, missing_ok=True),
            registered=_read_optional(RegisteredJson, results / REGISTERED_FILE),
            training_logs={name: log for name, log in logs.items() if len(log)},
            cooccurrence=_read_table(results / COOCCURRENCE_FILE, text_columns=("finding", "with")),
            experiments=Experiments.select(disturb=disturb or {}, utility=utility or {}, metrics=metrics),
        )

    def read_images(self, file_names: Sequence[str]) -> list[bytes]:
        """Read images of the dataset; DataError for one that is missing or differs from its sha256."""
        sha256s = dict(zip(self.records["file_name"], self.records["sha256"], strict=True))
        unknown = [name for name in file_names if name not in sha256s]
        if unknown:
            raise DataError(
                f"the results name {unknown[0]!r}, which {self.dataset} does not contain; run `synthcxr evaluate` again"
            )
        return list(image_reader.read_all_verified(self.dataset, file_names, [sha256s[name] for name in file_names]))


def _build_report(config: ReportConfig, inputs: _Inputs) -> Report:
    run, metrics = inputs.run, inputs.metrics
    requested = run["request"]["labels"]
    try:
        summary = summarise_evidence(metrics, inputs.verdict, run, utility=inputs.experiments.utility)
        builders: tuple[Callable[[], Section | None], ...] = (
            lambda: build_memorisation_section(metrics, summary.answers[0]),
            lambda: build_distance_section(metrics, inputs.experiments),
            lambda: build_label_validity_section(metrics, requested),
            lambda: build_images_section(
                inputs.records, inputs.read_images, n_images=config.n_images, requested=requested
            ),
            lambda: build_findings_section(metrics["labels"], inputs.cooccurrence),
            lambda: build_classifier_section(metrics, requested),
            lambda: build_utility_section(inputs.experiments.utility),
            lambda: verdict.build_gates_section(inputs.verdict),
            lambda: verdict.build_checks_section(metrics["checks"]),
            lambda: provenance.build_training_section(inputs.training_logs),
            lambda: provenance.build_provenance_section(run, metrics, inputs.registered),
            lambda: provenance.build_protocol_section(metrics),
            lambda: provenance.build_attribution_section(run),
        )
        sections = [build() for build in track(builders, "report", unit="sections")]
        return Report(
            title=config.title,
            privacy_notice="",
            summary=summary,
            dataset_digest=metrics.get("dataset", ""),
            chart=build_validity_plot(metrics, requested, is_small=True),
            sections=tuple(section for section in sections if section is not None),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise DataError(
            f"the results and {inputs.dataset} were written by different versions of synthcxr ({error!r}); run"
            " `synthcxr evaluate` again"
        ) from error


def _add_films(public: Report, config: ReportConfig, inputs: _Inputs, films: FilmDataset) -> Report:
    """The private report: the public one with a notice, and with films after the synthetic images."""
    model = inputs.run["model"]
    film_sections = nearest_films.build_film_sections(
        films,
        metrics=inputs.metrics,
        side=min(films.resolution, int(model["resolution"])),
        generator_films=model["training_data"],
        file_names=inputs.records["file_name"].tolist(),
        read_files=inputs.read_images,
        n_test_films=config.n_images,
    )
    sections: list[Section] = []
    for section in public.sections:
        sections += (section, *film_sections) if section.title == IMAGES_TITLE else (section,)
    notice = _PHANTOM_FILMS if films.phantom else _REAL_FILMS
    return dataclasses.replace(public, privacy_notice=notice, sections=tuple(sections))


def _log_to_run(experiments: Experiments, registered: RegisteredJson, out: Path) -> None:
    """Log the report, and the results of disturb and utility to the judge's and the generator's version, or the run."""
    # MLflow takes seconds to import, and a report without a run does not need it.
    from synthcxr.registry.publish import ModelMetrics, add_to_run
    from synthcxr.registry.run_metrics import flatten_metrics

    metrics = []
    if utility := experiments.utility:
        figures = {name: utility[name] for name in ("arms", "differences", "n_test", "n_patients")}
        points = flatten_metrics(figures, "utility")
        metrics.append(ModelMetrics("synthcxr-generator", utility["generator"], tuple(points)))
    for name, entry in experiments.disturb.items():
        figures = {"disturbances": entry["disturbances"], "passed": int(entry["passed"])}
        points = flatten_metrics(figures, f"disturb.{name}")
        model = "synthcxr-judge" if name == "judge" else None
        metrics.append(ModelMetrics(model, entry["digest"], tuple(points)))
    add_to_run(registered["run_id"], out, versions=registered["versions"], metrics=metrics)


def _read_table(path: Path, *, text_columns: Collection[str] = ()) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    return csv_files.read_table(path, text_columns=text_columns, blank_is_missing=not text_columns)


def _read_optional(target_type: type[_T], path: Path) -> _T | None:
    return parsing.read_json(target_type, path, missing_ok=True) if path.is_file() else None

"""What `report` reads: results, the verdict, run.json, training tables and the optional experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, parse_file
from fuzz.parsers.evaluation import make_metrics


def write_pairs(path: Path) -> None:
    """Write the shares of all pairs of findings, as `evaluate` does."""
    from synthcxr.data.findings import FINDINGS

    rows = [f"{first},{second},0.1,0.{n}" for n, first in enumerate(FINDINGS) for second in FINDINGS[n:]]
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["finding,with,real,synthetic", *rows]) + "\n")


def _open(file: str) -> Callable[[Path], OpenParser]:
    """The whole report with one changed file; slow, because it draws figures."""

    def open_parser(root: Path) -> OpenParser:
        from support import report_project

        from synthcxr.stages import report

        results = report_project.write_results(root / "results", metrics=make_metrics()[0])
        report_project.write_experiments(results)
        write_pairs(results / "curves/cooccurrence.csv")
        (results / "train_gan.csv").write_text(
            "\n".join((results / "train_gan.csv").read_text().split("\n")[:20]) + "\n"
        )
        dataset = report_project.write_dataset(root / "synthetic", run=report_project.RUN | {"threads": 2})
        path = root / file

        def build() -> None:
            report.run(report_project.CONFIG, results=results, dataset=dataset, out=root / "report.html", films=None)

        return OpenParser((path.read_bytes(),), parse_file(path, build))

    return open_parser


PARSERS = [
    Parser("report_metrics", "json", _open("results/metrics.json"), share=0.1),
    Parser("report_verdict", "json", _open("results/verdict.json"), share=0.1),
    Parser("report_run_json", "json", _open("synthetic/run.json"), share=0.1),
    Parser("report_metadata_csv", "csv", _open("synthetic/metadata.csv"), share=0.1),
    Parser("report_gan_table", "csv", _open("results/train_gan.csv"), share=0.1),
    Parser("report_classifier_table", "csv", _open("results/train_classifier.csv"), share=0.1),
    Parser("report_cooccurrence", "csv", _open("results/curves/cooccurrence.csv"), share=0.05),
    Parser("report_utility", "json", _open("results/utility/utility.json"), share=0.05),
    Parser("report_disturb", "json", _open("results/disturb/disturb.json"), share=0.05),
]

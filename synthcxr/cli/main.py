"""The command line. Each command imports its stage when it runs, so that --help loads nothing heavy."""

from __future__ import annotations

import cloup

import synthcxr
from synthcxr.cli.exit_codes import CommandGroup
from synthcxr.cli.generate import generate, replay
from synthcxr.cli.models import models
from synthcxr.cli.pipeline import distill, export, prepare, register, train_classifier, train_gan, train_judge
from synthcxr.cli.project import doctor, init, lock
from synthcxr.cli.quality import check, disturb, evaluate, report, utility
from synthcxr.cli.reader_study import reader_study


@cloup.group(
    "synthcxr",
    cls=CommandGroup,
    context_settings=cloup.Context.settings(
        help_option_names=["-h", "--help"], max_content_width=100, align_option_groups=False
    ),
    sections=[
        cloup.Section("Generate", [generate, replay]),
        cloup.Section("Train", [prepare, train_classifier, train_judge, train_gan, export, distill]),
        cloup.Section("Evaluate", [evaluate, report, check, disturb, utility]),
        cloup.Section("Registry", [register, models]),
        cloup.Section("Reader study", [reader_study]),
        cloup.Section("Project", [init, doctor, lock]),
    ],
    epilog="Start with: synthcxr generate --n 100 --label Cardiomegaly",
)
@cloup.version_option(synthcxr.__version__, prog_name="synthcxr", message="%(prog)s %(version)s")
def main() -> None:
    """Generate labelled synthetic chest X-rays that belong to no patient, and measure their quality."""

"""What `generate` reads: requests, the state of an unfinished dataset, label sets, options of the command line."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path

from fuzz.parser import OpenParser, Parser, decode_text, parse_file
from fuzz.parsers.synthetic_dataset import N_IMAGES, write_dataset


def _open_finished(root: Path) -> OpenParser:
    """run.json of a finished dataset, which `generate` compares with its request."""
    from support.dataset_records import REQUEST

    from synthcxr.writers import resume_plan

    dataset = write_dataset(root)
    path = dataset / "run.json"
    request = dataclasses.replace(REQUEST, n=N_IMAGES)

    def plan() -> None:
        resume_plan.make_plan(dataset, request, append=True, force=True)

    return OpenParser((path.read_bytes(),), parse_file(path, plan))


def _open_partial(file: str) -> Callable[[Path], OpenParser]:
    """An unfinished dataset: request.json and the journal."""

    def open_parser(root: Path) -> OpenParser:
        from support.dataset_records import REQUEST

        from synthcxr.data.findings import FINDINGS
        from synthcxr.data.synthetic_dataset import ImageRecord
        from synthcxr.storage import json_files
        from synthcxr.writers import resume_plan, staging
        from synthcxr.writers.journal import JOURNAL_FILE, Journal, JournalLine
        from synthcxr.writers.sidecars import latents_npy

        out = root / "synthetic"
        partial = staging.partial_folder(out)
        partial.mkdir(parents=True)
        request = dataclasses.replace(REQUEST, n=4)
        json_files.write_json(partial / staging.REQUEST_FILE, request.as_dict())
        journal = Journal(partial / JOURNAL_FILE)
        for block in range(2):
            records = tuple(
                ImageRecord(f"images/00000/{i:08d}.png", i, 1, "", ("No Finding",), (0.1,) * len(FINDINGS), 1.0, "ab")
                for i in (2 * block, 2 * block + 1)
            )
            journal.append(JournalLine(2 * block + 2, 0.5, records, runs=2, latents="AAAAAAAAAAAAAAAAAAAAAA=="))

        def plan() -> None:
            resume_plan.make_plan(out, request, append=True, force=True)
            with latents_npy.open_latents(root, seed=1, size=2) as add_latents:
                for line in journal.lines():
                    add_latents(line)

        return OpenParser(((partial / file).read_bytes(),), parse_file(partial / file, plan))

    return open_parser


def _open_mixture(root: Path) -> OpenParser:
    from synthcxr.synthesis.request import label_mixture

    path = root / "mix.csv"
    return OpenParser(
        (b"Finding Labels,films\nEdema|Mass,3\nNo Finding,10\nHernia,1\n", b"Finding Labels\nEdema\nEdema\nMass\n"),
        parse_file(path, lambda: label_mixture.quotas_of_mixture(str(path), 100)),
    )


def _open_label_sets(root: Path) -> OpenParser:
    """The fields of a request, as a JSON object of the options of `generate`."""
    from synthcxr.cli import generate_request
    from synthcxr.synthesis.request import label_mixture

    examples = (
        {"n": 10, "seed": 1, "labels": ["edema", "Mass"], "without": ["Hernia"]},
        {"per_label": 5, "labels": ["Edema"], "max_draws": 100, "batch": 4},
        {"n": 20, "mix": "nih"},
    )

    def plan(data: bytes) -> None:
        words = [word for word in decode_text(data).split("\n") if word]
        flags = {"n": 10, "labels": tuple(words[::2]), "without": tuple(words[1::2])}
        config = generate_request.build_config(None, flags, rejects_copies=False)
        label_mixture.plan_quotas(config)
        generate_request.name_folder(config)

    def make_text(example: dict[str, object]) -> bytes:
        labels, without = (list(example.get(name, [])) for name in ("labels", "without"))
        return "\n".join([*labels[:1], *without[:1], *labels[1:]]).encode()

    return OpenParser(tuple(map(make_text, examples)), plan)


def _open_command_line(root: Path) -> OpenParser:
    """The options of all commands: they are parsed, and no command runs."""
    import click

    from synthcxr.cli.main import main

    leaves: dict[str, click.Command] = {}

    def collect(group: click.Group, prefix: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                collect(command, f"{prefix}{name} ")
            else:
                leaves[f"{prefix}{name}"] = command

    collect(main, "")
    examples = (
        "generate --n 10 --label Edema --without Mass --seed 3 --out x --format webdataset --device cpu",
        "generate --per-label 5 --mix nih --max-draws 100 --batch 4 --workers 2 --engine ray",
        "evaluate --dataset x --films y --models z --out w --json",
        "models pull models:/synthcxr-generator@champion --out x",
        "reader-study create --films x --dataset y --n 20 --readers 2 --out z --seed 1",
        "check a b --docs c --suite d",
    )

    def parse(data: bytes) -> None:
        text = decode_text(data).replace("\0", "")  # the arguments of a process contain no NUL
        name = max((name for name in leaves if text.startswith(name)), key=len, default="generate")
        try:
            arguments = shlex.split(text.removeprefix(name))
        except ValueError:
            return  # the shell splits the words
        try:
            leaves[name].make_context(name, arguments, resilient_parsing=False)
        except click.exceptions.Exit:
            return

    return OpenParser(tuple(example.encode() for example in examples), parse)


def _open_json_request(root: Path) -> OpenParser:
    """The stored form of a request, as a tree."""
    from support.dataset_records import REQUEST

    from synthcxr.writers.generation_request import GenerationRequest, match_requests

    request = dataclasses.replace(REQUEST, n=4)

    def read(data: bytes) -> None:
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            return  # request.json, which has a parser of its own
        if not isinstance(fields, dict):
            return
        existing = GenerationRequest.from_dict(fields, root)
        match_requests(request, existing, n_images=2, draws=2, unfinished=True, append=False)
        existing.describe_findings()
        existing.count_requested_findings()

    return OpenParser((json.dumps(request.as_dict()).encode(),), read)


PARSERS = [
    Parser("finished_run_json", "json", _open_finished),
    Parser("request_json", "json", _open_partial("request.json")),
    Parser("request_fields", "json", _open_json_request),
    Parser("journal", "json lines", _open_partial("journal.jsonl")),
    Parser("label_mixture", "csv", _open_mixture),
    Parser("label_options", "text", _open_label_sets),
    Parser("command_line", "text", _open_command_line),
]

"""`make fuzz`, or `PYTHONPATH=tests python -m fuzz`: try many invalid inputs on the parsers of the product.

Failing inputs are saved with the name of their parser; `--replay FILE` tries one again and prints the traceback.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fuzz import execution, runner
from fuzz.parser import Parser, load_parsers
from fuzz.runner import Options, Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; return 1 if an input failed, else 0."""
    options = _parse_arguments(arguments)
    parsers = load_parsers()
    if options.replay:
        return max(_replay(parsers, path) for path in options.replay)
    selected = [parser for name, parser in parsers.items() if fnmatch.fnmatch(name, options.parser)]
    if not selected:
        _say(f"no parser is named {options.parser}; known: {', '.join(parsers)}")
        return 2
    if options.list:
        _say("\n".join(sorted(parser.name for parser in selected)))
        return 0
    _say(f"{options.n:,} inputs of seed {options.seed} for {len(selected)} parsers, {options.jobs} at a time")
    n_done = 0

    def report(result: Result) -> None:
        nonlocal n_done
        n_done += 1
        _say(f"[{n_done}/{len(selected)}] {_format_row(result)}")

    settings = Options(options.seed, options.out, options.corpus, options.jobs, options.time_limit)
    results = runner.run_parsers(selected, options.n, settings, report)
    return _print_table(results)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="number of inputs over all parsers")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs")
    parser.add_argument("--parser", default="*", help="name or pattern of the parsers to try, such as 'dicom*'")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes at a time")
    parser.add_argument("--time-limit", type=float, default=runner.TIME_LIMIT_S, help="seconds for one input")
    parser.add_argument("--corpus", default="", help="folder of inputs that are tried on every parser as they are")
    parser.add_argument("--out", type=Path, default=Path("fuzz_failures"), help="folder for failing inputs")
    parser.add_argument("--replay", type=Path, nargs="+", help="saved inputs, named PARSER-DIGEST.bin, to try again")
    parser.add_argument("--list", action="store_true", help="print the names of the parsers")
    return parser.parse_args(arguments)


def _replay(parsers: dict[str, Parser], path: Path) -> int:
    """Try one saved input in this process and print what comes of it."""
    name = path.name.partition("-")[0]
    if name not in parsers:
        _say(f"{path}: no parser is named {name}; known: {', '.join(parsers)}")
        return 2
    data = path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        outcome = execution.run_input(parsers[name].open(Path(folder)), data)
    if outcome.failure is not None:
        _say(f"{path}: {outcome.failure.kind}\n{outcome.failure.detail}")
        return 1
    _say(f"{path}: {'accepted' if outcome.accepted else 'refused'}")
    return 0


def _print_table(results: Sequence[Result]) -> int:
    _say(f"\n{'parser':28} {'inputs':>8} {'accepted':>9} {'refused':>8} {'failures':>9} {'seconds':>8}")
    for result in results:
        _say(_format_row(result))
    total = Result(
        "all",
        *(
            sum(getattr(result, name) for result in results)
            for name in ("n_accepted", "n_refused", "n_failed", "wall_s")
        ),
    )
    _say(_format_row(total))
    for result in results:
        for kind, paths in sorted(result.failures.items()):
            _say(f"\n{result.parser}: {kind} ({len(paths)} saved)\n  make fuzz REPLAY={paths[0]}")
    return 1 if total.n_failed else 0


def _format_row(result: Result) -> str:
    counts = f"{result.n_inputs:8,} {result.n_accepted:9,} {result.n_refused:8,} {result.n_failed:9,}"
    return f"{result.parser:28} {counts} {result.wall_s:8.1f}"


if __name__ == "__main__":
    sys.exit(main())

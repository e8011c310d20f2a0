"""The fuzz suite itself: it notices every way to fail, goes on after it, and repeats itself with the same seed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from fuzz import __main__, execution, mutators, runner
from fuzz.broken_parsers import N_BYTES
from fuzz.parser import OpenParser, load_parsers
from fuzz.runner import Options, Result

MODULES = ("fuzz.broken_parsers",)
BROKEN = load_parsers(MODULES)


def run(name: str, folder: Path, *, n: int = 60, time_limit_s: float = 60.0, extra: str = "") -> Result:
    """Try inputs of seed 1 on a broken parser."""
    options = Options(1, folder / "failures", extra=extra, time_limit_s=time_limit_s, modules=MODULES)
    return runner.run_parser(BROKEN[name], n, options)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("raises", "KeyError in"),
        ("fills_memory", "MemoryError in"),
        ("refuses_its_example", "a valid example is refused"),
    ],
)
def test_a_failure_is_saved_and_the_process_goes_on(tmp_path: Path, name: str, kind: str) -> None:
    """Every failing input is counted, and saved with the name of its parser beside its traceback."""
    if name == "fills_memory" and sys.platform != "linux":
        pytest.skip("the limit of memory needs Linux")
    result = run(name, tmp_path)
    assert (result.n_inputs, result.n_failed > 0) == (61, True)
    ((found_kind, paths),) = result.failures.items()
    assert found_kind.startswith(kind)
    assert all(Path(path).name.startswith(f"{name}-") for path in paths)
    assert found_kind in Path(paths[0]).with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "kind"), [("aborts", "the process was ended by SIGABRT"), ("hangs", "hang")])
def test_a_process_that_ends_is_started_again(tmp_path: Path, name: str, kind: str) -> None:
    """An input that ends or blocks its process is saved, and the inputs after it are tried."""
    result = run(name, tmp_path, n=6, time_limit_s=1.0 if name == "hangs" else 60.0)
    assert result.n_inputs == 7
    assert list(result.failures) == [kind]
    assert len(result.failures[kind]) == result.n_failed
    saved = Path(result.failures[kind][0]).read_bytes()
    assert len(saved) == N_BYTES
    assert any(saved)


def test_a_process_that_ends_early_without_an_error_is_a_failure(tmp_path: Path) -> None:
    """Exit status 0 before the last input does not pass for success."""
    result = run("exits", tmp_path, n=12)
    assert result.n_inputs == 13
    assert list(result.failures) == ["the process ended with status 0"]


def test_a_parser_that_refuses_passes(tmp_path: Path) -> None:
    """Errors of ours are refusals, and nothing is saved."""
    result = run("holds", tmp_path)
    assert (result.n_inputs, result.n_accepted > 0, result.n_refused > 0, result.n_failed) == (61, True, True, 0)
    assert not (tmp_path / "failures").exists()


def test_inputs_of_an_extra_folder_are_tried_on_every_parser(tmp_path: Path) -> None:
    """A file that broke one parser before is tried as it is, whatever its name."""
    folder = tmp_path / "extra"
    folder.mkdir()
    (folder / "png-1.bin").write_bytes(b"\1" * N_BYTES)
    result = run("raises", tmp_path, n=0, extra=str(folder))
    assert [Path(path).read_bytes() for paths in result.failures.values() for path in paths] == [b"\1" * N_BYTES]


@pytest.mark.parametrize("format", ["binary", *mutators.STRUCTURES])
def test_the_same_seed_gives_the_same_inputs(format: str) -> None:
    """Inputs depend on the seed and the examples only, and no mutator fails on any data."""
    examples = [b'{"a": [1, {"b": "x"}]}', b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n" + bytes(40), b"PK", b"", b"[" * 30]
    first, second = (
        [mutators.generate_input(random.Random(f"{seed}"), format, examples) for seed in range(100)] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) > 20


def test_a_message_of_several_lines_is_a_failure() -> None:
    """An error of ours whose text is not one line is reported."""

    class Talkative(execution.SynthCXRError):
        def __str__(self) -> str:
            return "one\ntwo"

    def parse(data: bytes) -> None:
        raise Talkative

    failure = execution.run_input(OpenParser((b"",), parse), b"").failure
    assert failure is not None
    assert "not one line" in failure.kind


def test_a_saved_input_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints what comes of a saved input; its status says whether it fails."""
    path = tmp_path / "stream_size-0.bin"
    path.write_bytes(b"\xff\xd8")
    assert __main__.main(["--replay", str(path)]) == 0
    assert "accepted" in capsys.readouterr().out
    assert __main__.main(["--parser", "no_such_parser"]) == 2

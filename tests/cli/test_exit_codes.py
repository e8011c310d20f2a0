"""How commands end: exit code, one line on stderr, traceback on request."""

from __future__ import annotations

import errno
import logging
import signal
import warnings
from pathlib import Path

import click
import cloup
import pytest
from click.testing import CliRunner, Result
from support.cli_runner import invoke

from synthcxr.cli.exit_codes import EXTRAS, RESUMABLE, CommandGroup
from synthcxr.cli.main import main
from synthcxr.errors import ArtifactError, GateError
from synthcxr.storage import cache_dir


def invoke_failing(error: BaseException, *arguments: str) -> Result:
    """The result of a command that raises `error`; "command" and "inner command" are such commands."""

    @cloup.group(cls=CommandGroup)
    def group() -> None:
        pass

    @group.group()
    def inner() -> None:
        pass

    for parent, name in ((group, "command"), (group, "train-gan"), (inner, "command")):

        @parent.command(name)
        def command() -> None:
            raise error

    return CliRunner().invoke(group, list(arguments) or ["command"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ArtifactError("x.onnx: cut short"), 2, "Error: x.onnx: cut short"),
        (GateError("1 of 2 gates failed"), 1, "Failed: 1 of 2 gates failed"),
        (KeyboardInterrupt(), 130, "Interrupted: run the same command again to start over"),
        (
            ModuleNotFoundError(name="torch"),
            2,
            "Error: torch is not installed; run: pip install 'synthcxr[train]'",
        ),
        (
            ModuleNotFoundError(name="monai.networks"),
            2,
            "Error: monai.networks is not installed; run: pip install 'synthcxr[train]'",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 2, "Error: out: No space left on device"),
    ],
)
def test_every_error_is_one_line(error: BaseException, code: int, line: str) -> None:
    """An error that a user can cause or fix ends in its exit code and one line on stderr; stdout stays empty."""
    result = invoke_failing(error)
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"{line}\n", "")


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_package_names_its_extra(extra: str) -> None:
    """A package of an extra that is not installed ends in the command that installs the extra."""
    for package in EXTRAS[extra]:
        result = invoke_failing(ModuleNotFoundError(name=f"{package}.part"))
        assert result.stderr.endswith(f"run: pip install 'synthcxr[{extra}]'\n")


@pytest.mark.parametrize(
    "arguments",
    [
        "--verbose command",
        "command --verbose",
        "--verbose inner command",
        "inner --verbose command",
        "inner command --verbose",
    ],
)
def test_verbose_adds_the_traceback(arguments: str) -> None:
    """--verbose, before or after the command, prints the traceback first; the one line comes last."""
    error = ArtifactError("x.onnx: cut short")
    result = invoke_failing(error, *arguments.split())
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("Error: x.onnx: cut short\n")
    assert "Traceback" not in invoke_failing(error, *arguments.replace("--verbose", "").split()).stderr


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated"), (signal.SIGHUP, 129, "Hung up")],
)
@pytest.mark.parametrize("turned_into", [None, OSError(errno.EIO, "Input/output error"), ValueError(), click.Abort()])
def test_a_signal_ends_in_its_exit_code(
    number: signal.Signals, code: int, word: str, turned_into: Exception | None
) -> None:
    """A signal ends in one line and its exit code, also if a library turns it into another error or drops it."""

    @cloup.group(cls=CommandGroup)
    def group() -> None:
        pass

    @group.command()
    @click.option("--drop", is_flag=True)
    def command(drop: bool) -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if drop:
                return
            if turned_into is not None:
                raise turned_into from None
            raise

    previous = signal.signal(number, signal.SIG_DFL)  # tests may run under nohup
    try:
        for arguments in (["command"], ["command", "--drop"]):
            result = CliRunner().invoke(group, arguments, catch_exceptions=False)
            line = f"{word}: run the same command again to start over\n"
            assert (result.exit_code, result.stderr, result.stdout) == (code, line, "")
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, previous)


def test_an_interruption_says_what_the_same_command_does() -> None:
    """train-gan and generate resume; the line says so."""
    result = invoke_failing(KeyboardInterrupt(), "train-gan")
    assert result.stderr == "Interrupted: run the same command again to resume\n"
    assert set(RESUMABLE) < set(main.commands)


def test_an_interrupted_stage_of_dvc_says_what_dvc_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command that the user runs again is that of DVC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "train_gan")
    assert invoke_failing(KeyboardInterrupt(), "train-gan").stderr == (
        "Interrupted: run DVC again; it skips the stages that are finished, and `synthcxr train-gan` will resume\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module", name="synthcxr.nowhere"),
        ValueError("a bug\nin two lines"),
        EOFError(),
        MemoryError(),
        RecursionError("too deep"),
        OSError("AF_UNIX path length cannot exceed 107 bytes"),
    ],
)
def test_an_unexpected_error_is_one_line(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error ends in one line and exit code 2, with its traceback in a private file or after --verbose."""
    monkeypatch.setenv(cache_dir.VARIABLE, str(tmp_path))
    result = invoke_failing(error)
    (file,) = (tmp_path / "tracebacks").iterdir()
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"Error: unexpected {type(error).__name__}")
    assert str(file) in result.stderr
    assert file.read_text().startswith("Traceback")
    verbose = invoke_failing(error, "command", "--verbose")
    assert verbose.stderr.startswith("Traceback")
    assert len(list((tmp_path / "tracebacks").iterdir())) == 1


def test_a_traceback_that_cannot_be_written_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a usable cache folder, the line says how to see the traceback."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache_dir.VARIABLE, str(tmp_path / "file"))
    assert invoke_failing(ValueError("a bug")).stderr.endswith("with the traceback that --verbose prints\n")


@pytest.mark.parametrize("error", [ArtifactError, ValueError])
@pytest.mark.parametrize("arguments", ["command", "command --verbose"])
def test_credentials_are_not_printed(
    error: type[Exception], arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line, traceback or file of a traceback contains the password of an address."""
    monkeypatch.setenv(cache_dir.VARIABLE, str(tmp_path))
    result = invoke_failing(
        error("cannot open http://user:hunter22@host.invalid:x/?token=hunter22"), *arguments.split()
    )
    files = [file.read_text() for file in tmp_path.rglob("*.txt")]
    assert result.exit_code == 2
    assert "hunter22" not in result.output + "".join(files)


def test_a_usage_mistake_does_not_print_credentials() -> None:
    """A wrong argument is repeated without its password."""
    assert "hunter22" not in invoke("report", "http://user:hunter22@host").stderr


def test_libraries_do_not_log_credentials(caplog: pytest.LogCaptureFixture) -> None:
    """What a library logs or warns while a command runs has no password either."""
    invoke("report", "one")
    logging.getLogger("library").warning("retrying %s", "http://user:hunter22@host")
    assert caplog.messages == ["retrying http://***@host"]
    assert "hunter22" not in warnings.formatwarning("http://user:hunter22@host", UserWarning, "f.py", 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("generat", "No such command 'generat'; did you mean generate?"),
        ("nonsense", "No such command 'nonsense'; see `synthcxr --help`"),
        ("--version-please", "No such option '--version-please'; did you mean --version?"),
        ("models promot", "No such command 'promot'; did you mean promote?"),
        ("models promote --forse", "No such option '--forse'; did you mean --force?"),
        ("reader-study serve", "Missing argument 'STUDY'; see `synthcxr reader-study serve --help`"),
        ("generate --lable Mass", "No such option '--lable'; did you mean --label?"),
        ("generate --n 0", "Invalid value for '--n': 0 is not in the range x>=1; see `synthcxr generate --help`"),
        ("check", "Missing argument 'PATH...'; see `synthcxr check --help`"),
        ("replay --dataset x --out y", "Missing option '--index'; see `synthcxr replay --help`"),
        ("report one", "Got unexpected extra argument (one); see `synthcxr report --help`"),
        ("generate --seed", "Option '--seed' requires an argument; see `synthcxr generate --help`"),
    ],
)
def test_a_usage_mistake_is_one_line(arguments: str, line: str) -> None:
    """A wrong command, option, value or argument ends in one line with what to do, and exit code 2."""
    result = invoke(*arguments.split())
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {line}\n")


@pytest.mark.parametrize("arguments", [[], ["models"], ["reader-study"]])
def test_without_a_command_the_help_is_shown(arguments: list[str]) -> None:
    """`synthcxr`, or a group of commands, without a command shows its help."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.strip() == invoke(*arguments, "--help").stdout.strip()

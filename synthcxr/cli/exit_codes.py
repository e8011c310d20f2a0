"""Commands and groups that end every error in one line and an exit code; --verbose adds the traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click
import cloup
from click.exceptions import NoArgsIsHelpError
from cloup.formatting import HelpSection

from synthcxr.errors import GateError, SynthCXRError
from synthcxr.project import dvc_position, extensions
from synthcxr.storage import cache_dir, clean_up, redaction, stop_signals
from synthcxr.storage.line_clock import LINE_CLOCK

EXTRAS = {
    "train": ("torch", "monai", "safetensors", "onnxscript", "efficientnet_lite_pytorch"),
    "pipeline": ("dvc", "dvclive", "scmrepo"),
    "report": ("matplotlib", "jinja2"),
    "dicom": ("pydicom",),
    "ray": ("ray",),
    "study": ("starlette", "uvicorn"),
}
"""The packages of each optional dependency group in pyproject.toml, by the names that are imported."""

RESUMABLE = ("prepare", "train-gan", "generate")
"""Commands that resume when they are run again; the others start over."""
_CONTINUED = {"serve": "continue the study; all acknowledged answers are on disk"}
_STOPS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up"}
_SIGNAL_EXIT_CODE = 128

_VERBOSE = "synthcxr.verbose"
_SHORT_HELP_LIMIT = 200
_MESSAGE_LIMIT = 300
_USAGE_LIMIT = 2000


class OneLineUsageError(click.ClickException):
    """A usage mistake, shown in one line, or with examples in the lines below, instead of click's usage text."""

    exit_code = 2


class Command(cloup.Command):
    """A command that accepts --verbose."""

    def __init__(self, *args: Any, params: Sequence[click.Parameter] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, params=[*(params or ()), _verbose_option()], **kwargs)
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])


class CommandGroup(cloup.Group):
    """A group whose commands end in one line and the exit code of the error.

    1: a gate failed or a request was met only in part. 2: bad input, bad use or a missing package. 129, 130 and 143:
    hung up (SIGHUP), interrupted (SIGINT) and terminated (SIGTERM), whatever the signal was turned into on its way.
    An error that we did not expect is one line too; its traceback is in a file of the cache folder.
    """

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, params: Sequence[click.Parameter] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, params=[*(params or ()), _verbose_option()], **kwargs)
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])

    def make_commands_help_section(self, ctx: click.Context, section: cloup.Section) -> HelpSection | None:
        """List the commands with their whole first sentence, which wraps instead of being cut."""
        commands = [(name, command.get_short_help_str(_SHORT_HELP_LIMIT)) for name, command in section.list_commands()]
        return HelpSection(heading=section.title, definitions=commands) if commands else None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; a signal unwinds it, and clean-up is complete when this ends."""
        with stop_signals.handled():
            try:
                return super().main(*args, **kwargs)
            finally:
                clean_up.run_remaining()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments of the group itself."""
        try:
            with _one_line_usage_errors():
                return super().make_context(*args, **kwargs)
        except KeyboardInterrupt as error:
            _print_line(_describe_stop(error, ""))
            raise click.exceptions.Exit(_stop_code(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and end with the exit code of its error."""
        redaction.redact_library_messages()
        try:
            with _end_as_stopped(), _one_line_usage_errors(ctx), LINE_CLOCK.time_command():
                if position := dvc_position.describe_position():
                    click.echo(position, err=True)
                    LINE_CLOCK.note_line()
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except GateError as error:
            return _exit(ctx, f"Failed: {error}", code=1)
        except SynthCXRError as error:
            return _exit(ctx, f"Error: {error}", code=2)
        except KeyboardInterrupt as error:
            return _exit(ctx, _describe_stop(error, ctx.invoked_subcommand or ""), code=_stop_code(error))
        except ModuleNotFoundError as error:
            extra = _extra_of(error)
            if extra is None:
                return _exit_unexpectedly(ctx, error)
            return _exit(ctx, f"Error: {error.name} is not installed; run: pip install 'synthcxr[{extra}]'", code=2)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            if error.errno is None:
                return _exit_unexpectedly(ctx, error)
            where = f"{error.filename}: " if error.filename else ""
            return _exit(ctx, f"Error: {where}{error.strerror}", code=2)
        except Exception as error:  # noqa: BLE001  the last resort: no command ends in a traceback
            return _exit_unexpectedly(ctx, error)


def _exit_unexpectedly(ctx: click.Context, error: Exception) -> None:
    """End in one line that names the error, with its traceback in a file, or on stderr with --verbose.

    If the code of an extension raised it, the line names the extension's package.
    """
    message = " ".join(str(error).split())[:_MESSAGE_LIMIT]
    line = f"Error: unexpected {type(error).__name__}{': ' if message else ''}{message}"
    place = "above" if ctx.meta.get(_VERBOSE) else _write_traceback()
    package = extensions.find_package_of(error.__traceback__)
    receiver = "" if package is None else f" to the authors of {package}, whose code raised it,"
    return _exit(ctx, f"{line}; please report it{receiver} with the traceback {place}", code=2)


def _write_traceback() -> str:
    """Write the traceback of the current error to a new private file; return where it is."""
    try:
        folder = cache_dir.cache_dir() / "tracebacks"
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=time.strftime("%Y%m%d-%H%M%S-"), suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(redaction.redact_credentials(traceback.format_exc()))
    except OSError:
        return "that --verbose prints"
    return f"in {name}"


def _exit(ctx: click.Context, line: str, *, code: int) -> None:
    """End with a line and an exit code."""
    if ctx.meta.get(_VERBOSE):
        _print_line(traceback.format_exc())
    _print_line(line)
    ctx.exit(code)


def _print_line(line: str) -> None:
    """Write to stderr, unless the terminal is gone."""
    with contextlib.suppress(OSError):
        click.echo(redaction.redact_credentials(line), err=True)


def _describe_stop(error: KeyboardInterrupt, command: str) -> str:
    effect = _CONTINUED.get(command, "resume" if command in RESUMABLE else "start over")
    again = f"run the same command again to {effect}"
    if os.environ.get(dvc_position.STAGE_VARIABLE):
        again = f"run DVC again; it skips the stages that are finished, and `synthcxr {command}` will {effect}"
    return f"{_STOPS[signal.Signals(_stop_number(error)).name]}: {again}"


def _stop_code(error: KeyboardInterrupt) -> int:
    return _SIGNAL_EXIT_CODE + _stop_number(error)


def _stop_number(error: KeyboardInterrupt) -> int:
    return error.number if isinstance(error, stop_signals.StopSignal) else signal.SIGINT


@contextlib.contextmanager
def _end_as_stopped() -> Iterator[None]:
    """Raise the StopSignal of a signal again if a library turned it into another error or dropped it."""
    try:
        yield
    except click.exceptions.Exit:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if (number := stop_signals.find_stop()) is None:
            raise
        raise stop_signals.StopSignal(number) from error
    if (number := stop_signals.find_stop()) is not None:
        raise stop_signals.StopSignal(number)


@contextlib.contextmanager
def _one_line_usage_errors(group: click.Context | None = None) -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise OneLineUsageError(redaction.redact_credentials(_describe(error, group))) from error


def _describe(error: click.UsageError, group: click.Context | None) -> str:
    """The mistake, and the name that was probably meant or the command that lists what is allowed."""
    if isinstance(error, click.NoSuchOption | click.NoSuchCommand) and error.possibilities:
        return f"{error.message.removesuffix('.')}; did you mean {error.possibilities[0]}?"
    message = " ".join(error.format_message().split()).removesuffix(".")
    if len(message) > _USAGE_LIMIT:
        message = f"{message[:_USAGE_LIMIT]} ..."
    if error.ctx is not None:
        return f"{message}; see `{error.ctx.command_path} --help`"
    if group is not None:
        return f"{message}; see `{group.command_path} {group.invoked_subcommand} --help`"
    return message


def _extra_of(error: ModuleNotFoundError) -> str | None:
    package = (error.name or "").partition(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


def _verbose_option() -> click.Option:
    return cloup.Option(
        ["--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_remember_verbose,
        help="Print the traceback of an error.",
    )


def _remember_verbose(ctx: click.Context, _option: click.Parameter, verbose: bool) -> None:
    """Store the flag where the whole chain of commands sees it: it may come before or after a command's name."""
    ctx.meta[_VERBOSE] = verbose or ctx.meta.get(_VERBOSE, False)

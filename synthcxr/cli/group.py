"""How every command ends: in its exit code and one plain line, with the traceback where --verbose asks for it."""

from __future__ import annotations

import errno
import traceback
from typing import Any

import click

from synthcxr.errors import GateError, SynthCXRError

EXTRAS = {
    "train": ("torch", "monai", "safetensors", "onnxscript", "efficientnet_lite_pytorch"),
    "pipeline": ("dvc", "dvclive", "scmrepo"),
    "report": ("matplotlib", "jinja2"),
    "dicom": ("pydicom",),
    "ray": ("ray",),
    "study": ("starlette", "uvicorn"),
}


RESUMABLE = ("train-gan", "generate")
_VERBOSE = "synthcxr.verbose"


def _remember(ctx: click.Context, _option: click.Parameter, verbose: bool) -> None:
    """Note --verbose where the whole line of commands sees it, whichever of them it stood behind."""
    ctx.meta[_VERBOSE] = verbose or ctx.meta.get(_VERBOSE, False)


def _verbose() -> click.Option:
    about = "Add the traceback to an error."
    return click.Option(["--verbose"], is_flag=True, expose_value=False, callback=_remember, help=about)


class Verbs(click.Group):
    """Commands that end in one plain line and the design's exit code, whatever a user can cause or mend.

    All of them take --verbose, before the verb or after it.
    """

    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_verbose())

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if not isinstance(cmd, Verbs):
            cmd.params.append(_verbose())
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GateError as error:
            return self._end(ctx, f"Failed: {error}", code=1)
        except SynthCXRError as error:
            return self._end(ctx, f"Error: {error}", code=2)
        except KeyboardInterrupt:
            then = "goes on from where it stopped" if ctx.invoked_subcommand in RESUMABLE else "starts over"
            return self._end(ctx, f"Interrupted: the same command {then}", code=130)
        except ModuleNotFoundError as error:
            extra = _extra_of(error)
            if extra is None:
                raise
            return self._end(ctx, f"Error: {error.name} is missing: pip install 'synthcxr[{extra}]'", code=2)
        except OSError as error:
            if error.errno in (None, errno.EPIPE):
                raise
            where = f"{error.filename}: " if error.filename else ""
            return self._end(ctx, f"Error: {where}{error.strerror}", code=2)

    def _end(self, ctx: click.Context, line: str, *, code: int) -> None:
        if ctx.meta.get(_VERBOSE):
            click.echo(traceback.format_exc(), err=True)
        click.echo(line, err=True)
        ctx.exit(code)


def _extra_of(error: ModuleNotFoundError) -> str | None:
    package = (error.name or "").partition(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)

"""How commands end: with an exit code, and where something went wrong, with two lines: what, and what to do."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

import click

from hfclient.cli.asked import LeftAtOnce
from hfclient.cli.printing import printable
from hfclient.cli.wording import at_the_command_line
from hfclient.errors import HFClientError, InputError, MissingExtraError, MissingKeyError

FAILED, USAGE, INTERRUPTED = 1, 2, 130
WITHOUT_A_TOKEN = "To go on without one, add --sandbox: the answers are made up here, and nothing is sent."  # noqa: S105

CHECK = "hfclient doctor says what is set up, reachable and installed here."


class CommandLine(click.Group):
    """A group whose commands fail alike: 1 where the call failed, 2 where it could not be made, 130 where Ctrl-C ended
    it. click's own way shows the usage and says "Aborted!"."""

    def main(self, *args: Any, **extra: Any) -> Any:
        _write_utf8()
        if os.environ.get("NO_COLOR"):
            extra["color"] = False
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except click.UsageError as error:
            _tell(error.format_message(), _help_of(error.ctx))
            status = USAGE
        except click.ClickException as error:
            _tell(error.format_message(), CHECK)
            status = FAILED
        except click.Abort as aborted:
            status = INTERRUPTED
            if isinstance(aborted.__cause__, LeftAtOnce):
                sys.stdout.flush()
                os._exit(status)  # the interpreter's own end would wait for threads that load a model or fetch one
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HFClientError as error:
            # The command must be written differently; but a key or a package that is missing is no fault of it.
            usage = isinstance(error, InputError) and not isinstance(error, MissingKeyError | MissingExtraError)
            command = f"{ctx.command_path} {ctx.invoked_subcommand}"
            tell(error, f"See {command} --help, or hfclient doctor." if usage else CHECK)
            raise click.exceptions.Exit(USAGE if usage else FAILED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever was to read has gone; click ends quietly
            raise click.ClickException(f"{error.strerror or error}.") from None


def tell(error: HFClientError, otherwise: str = CHECK) -> None:
    """An error in two lines, on standard error."""
    advice = at_the_command_line(error.advice) or otherwise
    if isinstance(error, MissingKeyError):
        advice = f"{advice} {WITHOUT_A_TOKEN}"
    _tell(str(error).removesuffix(f"\n{error.advice}"), advice)


def _tell(what: str, advice: str) -> None:
    color = False if os.environ.get("NO_COLOR") else None
    prefix = click.style("Error:", fg="red")
    click.echo(f"{prefix} {printable(' '.join(what.split()))}", err=True, color=color)
    click.echo(printable(advice), err=True)


def _help_of(context: click.Context | None) -> str:
    return f"See {context.command_path if context else 'hfclient'} --help."


def _write_utf8() -> None:
    """Models answer in every script, whatever the locale; half a character becomes a question mark."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")

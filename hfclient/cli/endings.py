"""How commands end: with an exit code, and where something went wrong, with two lines: what, and what to do."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from hfclient.cli.printing import printable
from hfclient.cli.wording import at_the_command_line
from hfclient.errors import HFClientError, InputError, MissingExtraError, MissingKeyError

FAILED, USAGE, INTERRUPTED = 1, 2, 130
WITHOUT_A_TOKEN = "To go on without one, add --sandbox: the answers are made up here, and nothing is sent."  # noqa: S105


class CommandLine(click.Group):
    """A group whose commands fail alike: 1 where the call failed, 2 where it could not be made, 130 where Ctrl-C ended
    it. click's own way shows the usage and says "Aborted!"."""

    def main(self, *args: Any, **extra: Any) -> Any:
        _write_utf8()
        if os.environ.get("NO_COLOR"):
            extra["color"] = False
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except HFClientError as error:
            tell(error)
            status = USAGE if is_usage(error) else FAILED
        except click.ClickException as error:
            _tell(error.format_message(), _where_to_look(error))
            status = error.exit_code
        except click.Abort:
            status = INTERRUPTED
        sys.exit(status)


def is_usage(error: HFClientError) -> bool:
    """Whether the command must be written differently; a missing key or package is no fault of it."""
    return isinstance(error, InputError) and not isinstance(error, MissingKeyError | MissingExtraError)


def tell(error: HFClientError) -> None:
    """An error in two lines, on standard error."""
    advice = at_the_command_line(error.advice)
    if isinstance(error, MissingKeyError):
        advice = f"{advice} {WITHOUT_A_TOKEN}"
    _tell(str(error).removesuffix(f"\n{error.advice}"), advice)


def _tell(what: str, advice: str) -> None:
    color = False if os.environ.get("NO_COLOR") else None
    prefix = click.style("Error:", fg="red")
    click.echo(f"{prefix} {printable(' '.join(what.split()))}", err=True, color=color)
    if advice:
        click.echo(printable(advice), err=True)


def _where_to_look(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"See {context.command_path} --help." if context else ""


def _write_utf8() -> None:
    """Models answer in every script, whatever the locale; half a character becomes a question mark."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")

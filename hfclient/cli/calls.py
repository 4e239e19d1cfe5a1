"""One call, as every command makes it: with progress where somebody looks on, or shown instead of sent."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from hfclient.cli import files, progress
from hfclient.cli.asked import Asked
from hfclient.cli.printing import in_a_line, print_json, say, whole
from hfclient.errors import InputError

if TYPE_CHECKING:
    from hfclient.client import Client
    from hfclient.types.files import File

# A call, given the client and what every call is told besides: where to report progress, where to put a file.
Call: TypeAlias = "Callable[[Client, dict[str, Any]], Awaitable[Any]]"


def ask(asked: Asked, call: Call, shown: Callable[[Any], str | None], *, source: str = "", kept_as: str = "") -> None:
    """Make a call and print what `shown` makes of its result: text, or None for JSON."""
    if asked.curl:
        show(asked, call, source)
        return
    with progress.shown() as tell:
        result = asked.run(lambda client: call(client, {"on_progress": tell}))
    result = files.kept(result, kept_as)
    text = None if asked.as_json else shown(result)
    if text is not None:
        say(text)
    else:
        print_json(whole(result) if asked.as_json else result)


def make(asked: Asked, output: Path | None, stem: str, call: Call, *, source: str = "") -> None:
    """Make a call whose result is a file, and say where it lies."""
    if asked.curl:
        show(asked, call, source)
        return
    with progress.shown() as tell:
        more = {"on_progress": tell, **files.options(output, stem)}
        made: File = asked.run(lambda client: call(client, more))
    if output == files.STANDARD_OUTPUT:
        sys.stdout.buffer.write(made.content)
        return
    file = made if output else files.fitting(made, stem)
    if asked.as_json:
        print_json(whole(file))
    else:
        click.echo(in_a_line(file))


def show(asked: Asked, call: Call, source: str = "") -> None:
    """Print the request that a call would send. `source` is where media in it comes from."""
    from hfclient.cli.curl import as_curl
    from hfclient.cli.rehearsal import first_request

    if asked.is_local:
        raise InputError("A model on this machine is sent no request that could be shown.", advice="Leave --curl away.")
    click.echo(as_curl(first_request(asked, lambda client: call(client, {})), source))

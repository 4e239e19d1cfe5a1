"""How a job or a download goes on: a bar on a terminal, with rich where it is installed, and silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from hfclient.cli.printing import is_terminal, printable

if TYPE_CHECKING:
    from hfclient.flow import Progress

LONGEST = 60  # characters of a provider's own words


@contextmanager
def shown() -> Generator[Callable[[Progress], None] | None]:
    """What to pass as `on_progress`; None where nobody would see it."""
    if not is_terminal(sys.stderr):
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars
    except ImportError:
        yield _Plain().tell
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        row = bars.add_task("waiting", total=None)

        def tell(progress: Progress) -> None:
            known: dict[str, Any] = {}
            if progress.fraction is not None:
                known = {"total": 1.0, "completed": progress.fraction}
            bars.update(row, description=described(progress), **known)

        yield tell


class _Plain:
    """A line for each state that is new."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, progress: Progress) -> None:
        line = described(progress)
        if line != self._last:
            self._last = line
            click.echo(line, err=True)


def described(progress: Progress) -> str:
    place = f", {progress.position} ahead" if progress.position else ""
    log = f": {progress.logs[-1]}" if progress.logs else ""
    return shorten(printable(f"{progress.state}{place}{log}"), LONGEST, placeholder="…")

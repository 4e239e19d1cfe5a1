"""How a job or a download goes on: a bar on a terminal, with rich where it is installed, and silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Self

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


class Waiting:
    """What goes on before an answer that is read as it is written: shown from the first that is told, to its end."""

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._tell: Callable[[Progress], None] | None = None

    def tell(self, progress: Progress) -> None:
        if self._tell is None and is_terminal(sys.stderr):
            self._tell = self._shown.enter_context(shown())
        if self._tell is not None:
            self._tell(progress)

    def end(self) -> None:
        self._shown.close()
        self._tell = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class _Plain:
    """A line for each state that is new, and for each tenth of what can be measured."""

    def __init__(self) -> None:
        self._last: object = None

    def tell(self, progress: Progress) -> None:
        line = described(progress)
        step = line if progress.fraction is None else (progress.state, int(10 * progress.fraction))
        if step != self._last:
            self._last = step
            click.echo(line, err=True)


def described(progress: Progress) -> str:
    place = f", {progress.position} ahead" if progress.position else ""
    log = f": {progress.logs[-1]}" if progress.logs else ""
    return shorten(printable(f"{progress.state}{place}{log}"), LONGEST, placeholder="…")

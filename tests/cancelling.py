"""Cancelling a piece of work at each point at which it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Protocol


class Cancellable(Protocol):
    """A scope, or a task."""

    def cancel(self) -> object: ...


class CancelAt:
    """Awaits a coroutine and cancels its scope, or the task it runs in, at the nth point at which it waits."""

    def __init__(self, work: Awaitable[Any], scope: Cancellable, nth: int) -> None:
        self._work = work
        self._scope = scope
        self._nth = nth
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._work.__await__()
        step, outcome = inner.__next__, None
        while True:
            try:
                wanted = step() if outcome is None else step(outcome)
            except StopIteration as stop:
                return stop.value
            self.waits += 1
            if self.waits == self._nth:
                self._scope.cancel()
            try:
                outcome, step = (yield wanted), inner.send
            except BaseException as error:  # noqa: BLE001  handed on to the coroutine it belongs to
                outcome, step = error, inner.throw
            else:
                if outcome is None:
                    step = inner.__next__

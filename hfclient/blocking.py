"""Blocking work in steps: a generator of which each step runs in a worker thread, closed whatever happens."""

from __future__ import annotations

from collections.abc import Generator
from inspect import GEN_CLOSED, getgeneratorstate
from threading import Lock
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

In = TypeVar("In")
Out = TypeVar("Out")


class Blocking(Generic[Out, In]):
    """Takes a generator that reads or writes a file through its steps, off the event loop.

    The generator frees in its own `finally` what it holds, and `aclose` sees to it that it gets there. The lock is for
    the task that asyncio cancels while it waits for a step: the thread is then still at it.
    """

    def __init__(self, steps: Generator[Out, In, None]) -> None:
        self._steps = steps
        self._turn = Lock()

    async def next(self) -> Out | None:
        """What the next step yields; None after the last."""
        return await anyio.to_thread.run_sync(self._next)

    async def send(self, value: In) -> Out | None:
        return await anyio.to_thread.run_sync(self._send, value)

    async def aclose(self) -> None:
        if getgeneratorstate(self._steps) != GEN_CLOSED:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)

    def _next(self) -> Out | None:
        with self._turn:
            return next(self._steps, None)

    def _send(self, value: In) -> Out | None:
        with self._turn:
            try:
                return self._steps.send(value)
            except StopIteration:
                return None

    def _close(self) -> None:
        with self._turn:
            self._steps.close()

"""Tasks that no task group holds: to close what was dropped outside any await, to work for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from hfclient.errors import HFClientError

T = TypeVar("T")

Work: TypeAlias = Callable[[], Coroutine[Any, Any, T]]

_tasks: set[asyncio.Task[None]] = set()
_inside: ContextVar[tuple[Running[Any], ...]] = ContextVar("_inside", default=())

TOO_LATE = "The event loop had ended before its last stream was closed."

logger = logging.getLogger("hfclient")


class Signal:
    """Wakes whoever waits for it; costs nothing where nobody does."""

    def __init__(self) -> None:
        self._given: anyio.Event | None = None

    async def wait(self) -> None:
        if self._given is None:
            self._given = anyio.Event()
        await self._given.wait()

    def give(self) -> None:
        if self._given is not None:
            self._given.set()
            self._given = None


class Running(Generic[T]):
    """A task that no task group holds, and what came of it: whoever started it sees to it that it ends.

    Not even a task group inside such a task would do: anyio's complains of a call that asyncio, as it shuts down,
    cancels before its first step.
    """

    def __init__(self, changed: Signal) -> None:
        self.ended = False
        self.value: T | None = None
        self.error: BaseException | None = None
        self._changed = changed
        self._scope = anyio.CancelScope()

    def cancel(self) -> None:
        self._scope.cancel()

    async def stop(self) -> None:
        """Cancel it, and wait for its end; the work itself, which may ask for this too, would wait for ever."""
        self.cancel()
        with anyio.CancelScope(shield=True):
            while not self.ended and self not in _inside.get():
                await self._changed.wait()

    async def run(self, work: Work[T]) -> None:
        _inside.set((*_inside.get(), self))
        try:
            with self._scope:
                if not self._scope.cancel_called:
                    self.value = await work()
        except BaseException as error:
            self.error = error
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        finally:
            self._end()

    def task_done(self, task: asyncio.Task[None]) -> None:
        if not self.ended:  # a task that asyncio cancels before its first step never takes one
            self.error = asyncio.CancelledError()
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._changed.give()


def start(work: Work[T], changed: Signal) -> Running[T]:
    """Begin this in the running event loop, with the caller's context variables; its end gives the signal."""
    running: Running[T] = Running(changed)
    loop: Any = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        _start_task(loop, partial(running.run, work)).add_done_callback(running.task_done)
    else:
        import trio  # noqa: PLC0415  the loop is trio's, so it is loaded

        trio.lowlevel.spawn_system_task(running.run, work, context=copy_context())
    return running


def run_soon(loop: EventLoopToken, work: Work[None]) -> None:
    """Run this in the event loop it belongs to, from wherever the garbage collector may be; a loop that is over needs
    no cleaning up."""
    native: Any = loop.native_token
    if isinstance(native, asyncio.AbstractEventLoop):
        called = call_soon(loop, partial(_start_task, native, partial(_quietly, work)))
    else:
        called = call_soon(loop, partial(_start_system_task, work))
    if not called:
        logger.debug(TOO_LATE)


def call_soon(loop: EventLoopToken, function: Callable[[], Any]) -> bool:
    """Call this in the event loop, from any thread; False where the loop is over."""
    native: Any = loop.native_token
    try:
        if isinstance(native, asyncio.AbstractEventLoop):
            native.call_soon_threadsafe(function)
        else:
            native.run_sync_soon(function)
    except RuntimeError:
        return False
    return True


def _start_task(loop: asyncio.AbstractEventLoop, work: Work[None]) -> asyncio.Task[None]:
    task = loop.create_task(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def _start_system_task(work: Work[None]) -> None:
    import trio  # noqa: PLC0415  the loop is trio's, so it is loaded

    try:
        trio.lowlevel.spawn_system_task(_quietly, work)
    except RuntimeError:  # it ends just now, and takes its connections with it
        logger.debug(TOO_LATE)


async def _quietly(work: Work[None]) -> None:
    try:
        await work()
    except HFClientError as error:
        logger.debug("While closing a stream that was dropped: %s", error)

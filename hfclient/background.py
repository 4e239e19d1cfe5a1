"""Work that must still be done when its object is dropped outside any await."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hfclient.errors import HFClientError

if TYPE_CHECKING:
    from anyio.lowlevel import EventLoopToken

_running: set[asyncio.Task[None]] = set()

TOO_LATE = "The event loop had ended before its last stream was closed."

logger = logging.getLogger("hfclient")


def run_soon(loop: EventLoopToken, work: Callable[[], Awaitable[None]]) -> None:
    """Run this in the event loop it belongs to, from wherever the garbage collector may be; a loop that is over needs
    no cleaning up."""
    native: Any = loop.native_token
    try:
        if isinstance(native, asyncio.AbstractEventLoop):
            native.call_soon_threadsafe(_start_task, native, work)
        else:
            native.run_sync_soon(_start_system_task, work)
    except RuntimeError:
        logger.debug(TOO_LATE)


def _start_task(loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[None]]) -> None:
    task = loop.create_task(_quietly(work))
    _running.add(task)
    task.add_done_callback(_running.discard)


def _start_system_task(work: Callable[[], Awaitable[None]]) -> None:
    import trio  # noqa: PLC0415  the loop is trio's, so it is loaded

    try:
        trio.lowlevel.spawn_system_task(_quietly, work)
    except RuntimeError:  # it ends just now, and takes its connections with it
        logger.debug(TOO_LATE)


async def _quietly(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except HFClientError as error:
        logger.debug("While closing a stream that was dropped: %s", error)

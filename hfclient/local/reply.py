"""One call's answer on its way from the thread that writes it to the task that reads it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.lowlevel import current_token

from hfclient.background import Signal
from hfclient.call import Timeout
from hfclient.errors import HFClientError, TimedOutError

ChunkT = TypeVar("ChunkT")

# How many pieces a reader may be behind before nothing more is written for it.
FAR_BEHIND = 1024


class Writer(Protocol):
    """Who fills replies. `hold`, `resume` and `drop` are done in its own thread, by `order`."""

    def order(self, order: Callable[[], None]) -> None: ...

    def hold(self, ids: frozenset[int]) -> None: ...

    def resume(self, ids: frozenset[int]) -> None: ...

    def drop(self, ids: frozenset[int]) -> None: ...


class Reply(Generic[ChunkT]):
    """Filled by the worker through the reader's event loop, emptied by the reader."""

    def __init__(self, worker: Writer, ids: frozenset[int], timeout: Timeout) -> None:
        self.loop = current_token()
        self.ids = ids
        self.done = False
        self._worker = worker
        self._limit, self._idle = timeout.read, timeout.idle
        self._chunks: list[ChunkT] = []
        self._arrived = Signal()
        self._error: HFClientError | None = None
        self._held = False

    async def begun(self) -> None:
        """Wait until there is something to read, be it the end."""
        while not self._chunks and not self.done:
            await self._wait()
        if self._error is not None and not self._chunks:
            raise self._error

    async def next_batch(self) -> list[ChunkT]:
        """What has arrived, at least one piece; an empty list is the end."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.done:
                return []
            await self._wait()
        self._limit = self._idle
        batch, self._chunks = self._chunks, []
        if self._held:
            self._held = False
            self._worker.order(partial(self._worker.resume, self.ids))
        return batch

    async def _wait(self) -> None:
        with anyio.move_on_after(self._limit) as waiting:
            await self._arrived.wait()
        if waiting.cancelled_caught:
            self.leave()
            raise TimedOutError(
                f"The model has written nothing for {self._limit:g} s.",
                advice="Raise timeout=…, shorten the prompt, or let fewer calls run at once.",
            )

    def arrive(self, chunks: list[ChunkT], error: HFClientError | None, *, last: bool) -> None:
        """Take what a step brought; called in the reader's event loop."""
        self._chunks += chunks
        self._error, self.done = error, last
        self._arrived.give()
        if len(self._chunks) > FAR_BEHIND and not (self._held or last):
            self._held = True
            self._worker.order(partial(self._worker.hold, self.ids))

    def leave(self) -> None:
        """Nobody reads on."""
        if not self.done:
            self._worker.order(partial(self._worker.drop, self.ids))

    def clean(self, error: HFClientError) -> None:
        """There is no key in what a model on this machine is told."""

    async def aclose(self) -> None:
        self.leave()

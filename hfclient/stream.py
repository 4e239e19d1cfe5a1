"""A stream, as its reader sees it: iterate, leave when you like, ask for the whole at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from hfclient.background import run_soon
from hfclient.errors import (
    ConnectionLostError,
    HFClientError,
    ResponseError,
    StreamClosedError,
    TimedOutError,
    TruncatedStreamError,
)
from hfclient.reading import Readable
from hfclient.types.base import with_meta

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.dispatch import Dispatcher
    from hfclient.trip import Trip
    from hfclient.types.meta import Meta


class Piece(Protocol):
    """A chunk of anything that is made of text."""

    @property
    def text(self) -> str: ...


ChunkT = TypeVar("ChunkT", bound=Piece)
ChunkT_co = TypeVar("ChunkT_co", covariant=True)
ChunkT_contra = TypeVar("ChunkT_contra", contravariant=True)
FinalT = TypeVar("FinalT")
FinalT_co = TypeVar("FinalT_co", covariant=True)


class Chunks(Protocol[ChunkT_co]):
    """Where the chunks come from, the network or an engine. `done` says that the source announced its end."""

    done: bool

    async def next_batch(self) -> list[Any]:
        """The chunks that have arrived, at least one; an empty list is the end."""
        ...

    def clean(self, error: HFClientError) -> None:
        """Mask the keys of this call in an error that carries what had arrived."""
        ...

    async def aclose(self) -> None: ...


class Assembly(Protocol[ChunkT_contra, FinalT_co]):
    """Puts chunks together. `whole` says whether they make a finished answer, `result` gives what there is."""

    def add(self, chunk: ChunkT_contra) -> None: ...

    def whole(self) -> bool: ...

    def result(self) -> FinalT_co | None: ...


class Stream(Readable[ChunkT], Generic[ChunkT, FinalT]):
    """A streamed answer. Nothing is sent before its first use, and its connection is free as soon as you stop reading.

    >>> async with client.chat.stream("Count to five") as stream:
    ...     async for chunk in stream:
    ...         print(chunk.text, end="")
    >>> final = await stream.final()
    """

    def __init__(self, dispatcher: Dispatcher, call: Call, assembly: Assembly[ChunkT, FinalT]) -> None:
        super().__init__()
        self._dispatcher = dispatcher
        self._call = call
        self._assembly = assembly
        self._ready: deque[ChunkT] = deque()
        self._source: Chunks[ChunkT] | None = None
        self._loop: EventLoopToken | None = None
        self._trip: Trip | None = None
        self._error: HFClientError | None = None
        self._final: FinalT | None = None
        self._meta: Meta | None = None

    @property
    def meta(self) -> Meta:
        """Where the stream comes from; its `seconds` are final once the stream has ended."""
        if self._meta is not None:
            return self._meta
        if self._trip is None:
            msg = "the stream has not been opened yet, so it has no .meta"
            raise AttributeError(msg)
        return self._trip.meta()

    async def open(self) -> Self:
        """Send the request and wait for the answer to begin; reading does this by itself."""
        await self._turns.wait()
        self._turns.taken = True
        try:
            if self._state == "new":
                await self._send()
        finally:
            self._turns.pass_on()
        return self

    async def _send(self) -> None:
        self._trip = self._dispatcher.trip(self._call)
        self._loop = current_token()
        try:
            self._source = await self._dispatcher.open(self._call, self._trip)
        except HFClientError as error:
            self._state, self._error = "failed", error
            raise
        self._state = "open"

    async def aclose(self) -> None:
        """Leave the stream; its connection is free again, and an engine in this process stops."""
        if self._state == "open" and self._source is not None:
            self._leave()
            await self._source.aclose()

    async def final(self) -> FinalT:
        """Everything put together: text, tool calls, log probabilities, usage. Reads what has not been read yet."""
        while self._state != "ended":
            self._ready.clear()
            await self._read()
        return cast("FinalT", self._final)

    def text(self) -> AsyncIterator[str]:
        """The stream's text alone, piece by piece."""
        return _Text(aiter(self))

    async def __anext__(self) -> ChunkT:
        while not self._ready:
            if not await self._read():
                raise StopAsyncIteration
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def _read(self) -> bool:
        """Wait for the next chunks; False at the end of the stream."""
        if self._turns.taken:
            await self._turns.wait()
        self._turns.taken = True
        try:
            if self._ready:  # another task has read
                return True
            if self._state == "new":
                await self._send()
            return await self._receive() if self._state == "open" else self._over()
        finally:
            self._turns.pass_on()

    def _over(self) -> bool:
        match self._state:
            case "failed":
                raise cast("HFClientError", self._error)
            case "left":
                raise self._closed()
            case _:
                return False

    async def _receive(self) -> bool:
        source, trip = cast("Chunks[ChunkT]", self._source), cast("Trip", self._trip)
        try:
            if self._call.deadline is None:
                batch = await source.next_batch()
            else:
                batch = []
                with trip.within_deadline():
                    batch = await source.next_batch()
            if not batch:
                self._end(source, trip)
        except (ConnectionLostError, TimedOutError) as error:
            if self._state == "left":  # by another task, while this one waited
                raise self._closed() from None
            if not self._assembly.whole():
                cut = error if isinstance(error, TimedOutError) else self._truncated(error.message)
                await self._failed(cut, source, trip)
                raise cut from (error if cut is not error else error.__cause__)
            self._end(source, trip)  # all of the answer was here; only the farewell was lost
            batch = []
        except BaseException as error:
            await self._failed(error, source, trip)
            raise
        if not batch:
            await source.aclose()
            return False
        add, arrived = self._assembly.add, trip.observation.chunk
        for chunk in batch:
            arrived()
            add(chunk)
        self._ready.extend(batch)
        return True

    def _end(self, source: Chunks[ChunkT], trip: Trip) -> None:
        if not source.done and not self._assembly.whole():
            raise self._truncated("The body ended.")
        result = self._assembly.result()
        if result is None:
            raise ResponseError("The stream ended without holding anything.")
        self._meta = trip.meta()
        self._final = with_meta(result, self._meta)
        self._state = "ended"
        trip.observation.succeeded(self._final, self._meta)

    async def _failed(self, error: BaseException, source: Chunks[ChunkT], trip: Trip) -> None:
        """Close, and tell the error what had arrived; a cancelled read leaves the stream."""
        self._state = "left"
        self._dispatcher.tell(trip, error, self._assembly.result())
        if isinstance(error, HFClientError):
            source.clean(error)
            self._state, self._error = "failed", error
        with anyio.CancelScope(shield=True):
            await source.aclose()

    def _closed(self) -> StreamClosedError:
        error = StreamClosedError(
            "The stream was left before its end.",
            partial=self._assembly.result(),
            advice="Read it to its end, or use what had arrived: error.partial.",
        )
        if self._source is not None:
            self._source.clean(error)
        return error

    def _truncated(self, how: str) -> TruncatedStreamError:
        return TruncatedStreamError(
            f"The stream was cut off before a finish reason or [DONE] came: {how}",
            advice="What had arrived is in error.partial. A stream is never retried by itself: ask again if need be.",
        )

    def _leave(self) -> None:
        """The reader goes: with a whole answer that is an end like any other, else only what had arrived remains."""
        self._ready.clear()
        source, trip = cast("Chunks[ChunkT]", self._source), cast("Trip", self._trip)
        if self._assembly.whole():
            self._end(source, trip)
            return
        self._state = "left"
        trip.observation.succeeded(self._assembly.result(), trip.meta())

    def _abandon(self) -> None:
        self._leave()
        if self._source is not None and self._loop is not None:
            run_soon(self._loop, self._source.aclose)


class _Text:
    def __init__(self, chunks: AsyncIterator[Piece]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            if text := (await anext(self._chunks)).text:
                return text

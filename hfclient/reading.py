"""Reading with `async for`: several readers in turns, and an end to the work behind it when the last one has gone."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import Generic, Literal, Self, TypeAlias, TypeVar

from hfclient.background import Signal

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

State: TypeAlias = Literal["new", "open", "ended", "left", "failed"]


class Readable(ABC, Generic[T_co]):
    """What is read with `async for` and can be left at any time; once open, something must be closed behind it.

    A bare async generator would not do: it stays open after `break` for as long as somebody holds on to it.
    """

    def __init__(self) -> None:
        self._state: State = "new"
        self._turns = Turns()
        self._readers = 0

    def __aiter__(self) -> AsyncIterator[T_co]:
        self._readers += 1
        return _Reader(self)

    @abstractmethod
    async def __anext__(self) -> T_co: ...

    @abstractmethod
    async def aclose(self) -> None:
        """Leave: close what is open and wait until it is closed."""

    @abstractmethod
    def _abandon(self) -> None:
        """Nobody can read on: close what is open, from wherever this was noticed."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._state == "open" and not sys.is_finalizing():  # then nothing can be told any more, nor need be
            self._abandon()

    def _reader_left(self) -> None:
        self._readers -= 1
        if self._readers == 0 and self._state == "open" and not sys.is_finalizing():
            self._abandon()


class _Reader(Generic[T]):
    """What `async for` holds on to. When the loop is left, this is dropped, and the last to go closes what it read."""

    def __init__(self, source: Readable[T]) -> None:
        self._source = source

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T]:
        return self._source.__anext__()

    async def aclose(self) -> None:
        await self._source.aclose()

    def __del__(self) -> None:
        self._source._reader_left()  # pyright: ignore[reportPrivateUsage]  the two are one mechanism


class Turns:
    """One task reads at a time. Where no other does, nothing is awaited: that costs a token less, and a cancellation
    then comes in the reading itself, which leaves what is read."""

    def __init__(self) -> None:
        self.taken = False
        self._passed_on = Signal()

    async def wait(self) -> None:
        while self.taken:
            await self._passed_on.wait()

    def pass_on(self) -> None:
        self.taken = False
        self._passed_on.give()

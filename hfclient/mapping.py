"""An async function over many items: a few calls at a time, and their results in the order of the items."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

import anyio
from anyio.lowlevel import EventLoopToken, checkpoint_if_cancelled, current_token

from hfclient.background import Running, Signal, run_soon, start
from hfclient.call import whole
from hfclient.errors import InputError
from hfclient.reading import Readable

ItemT = TypeVar("ItemT")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

OnError: TypeAlias = Literal["raise", "return"]

ADVICE = "Pass an async function of one item, and the items: client.map(lambda path: describe(path), paths)."


class Mapped(Readable[T_co]):
    """The results of `client.map`, in the order of the items. Nothing runs before the first is asked for.

    >>> questions = ["Why is the sky blue?", "Count to five."]
    >>> async with client.map(client.chat, questions) as replies:
    ...     async for reply in replies:
    ...         print(replies.done, "of", len(questions), reply.text)

    Leaving the loop ends what still runs; leaving `async with` waits for that end too. Tasks that read at once share
    the results: each goes to one of them.
    """

    def __init__(
        self,
        function: Callable[[ItemT], Awaitable[T_co]],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        *,
        concurrency: int,
        on_error: OnError,
    ) -> None:
        super().__init__()
        _check(function, items, on_error)
        places = whole("concurrency", concurrency)
        self._work = _Work(function, items, places, errors_are_results=on_error == "return")
        self._loop: EventLoopToken | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> int:
        """How many results there are so far, those included that have been read."""
        return self._work.done

    async def aclose(self) -> None:
        """Cancel what runs, and wait for its end."""
        if self._state in {"new", "open"}:
            self._state = "left"
        await self._work.stop()

    async def __anext__(self) -> T_co:
        if self._turns.taken:
            await self._turns.wait()
        self._turns.taken = True
        try:
            return await self._read()
        finally:
            self._turns.pass_on()

    async def _read(self) -> T_co:
        work = self._work
        if self._state == "new":
            await checkpoint_if_cancelled()  # nothing is begun for a reader that has to go
            self._state, self._loop = "open", current_token()
            work.start()
        try:
            while self._state == "open" and not work.next.ended:
                await work.changed.wait()
        except GeneratorExit:  # nothing can be awaited any more
            if self._state == "open":
                self._abandon()
            raise
        except BaseException:
            await self.aclose()
            raise
        if self._state != "open":
            raise self._over()
        call = work.take()
        if call is None or call.error is not None:
            raise await self._end(work.next.error if call is None else call.error)
        return cast("T_co", call.value)

    async def _end(self, error: BaseException | None) -> BaseException:
        if isinstance(error, StopAsyncIteration):  # raised as it is, it would pass for the end
            unlike_the_end = RuntimeError("The function of one item raised StopAsyncIteration.")
            unlike_the_end.__cause__ = error
            error = unlike_the_end
        self._state, self._error = "failed" if error else "ended", error
        await self._work.stop()
        return self._over()

    def _over(self) -> BaseException:
        """What is raised to those who read on."""
        if self._state == "left":
            return InputError("These results were left before their end.", advice="Call map again for what is missing.")
        return self._error or StopAsyncIteration()

    def _abandon(self) -> None:
        self._state = "left"
        if self._loop is not None:
            run_soon(self._loop, self._work.stop)


class _Work(Generic[ItemT, T]):
    """The calls that run, and the results nobody has read. Its tasks hold on to this and not to `Mapped`, so that it is
    noticed when that is dropped."""

    def __init__(
        self,
        function: Callable[[ItemT], Awaitable[T]],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        concurrency: int,
        *,
        errors_are_results: bool,
    ) -> None:
        self._function = function
        self._items = items
        self._concurrency = concurrency
        self._errors_are_results = errors_are_results
        self._wanted = True
        self._read = Signal()
        self._drawing: Running[None] | None = None
        self._unread: deque[Running[T | Exception]] = deque()
        self.changed = Signal()
        self.done = 0

    def start(self) -> None:
        self._drawing = start(self._draw, self.changed)

    @property
    def next(self) -> Running[Any]:
        """What the reader waits for: the first call whose result was not read, or else the drawing of items."""
        return self._unread[0] if self._unread else cast("Running[None]", self._drawing)

    def take(self) -> Running[T | Exception] | None:
        """The next call, which makes room for one more item; None when there are no more."""
        if not self._unread:
            return None
        self._read.give()
        return self._unread.popleft()

    async def stop(self) -> None:
        """Cancel all that runs, and wait for its end."""
        self._wanted = False
        running: list[Running[Any]] = list(self._unread)
        if self._drawing is not None:
            running.append(self._drawing)
        for each in running:
            each.cancel()
        for each in running:
            await each.stop()
        self._unread.clear()

    async def _draw(self) -> None:
        items, self._items = self._items, ()  # the source is let go at the end of this task
        if isinstance(items, AsyncIterable):
            await self._draw_from(items)
            return
        for item in items:
            if not await self._begin(item):
                break

    async def _draw_from(self, items: AsyncIterable[ItemT]) -> None:
        source = aiter(items)
        try:
            async for item in source:
                if not await self._begin(item):
                    break
        finally:
            # A generator is done with, and so is what was made here; anything else, a channel for one, is its owner's.
            if source is not items or isinstance(source, AsyncGenerator):
                await _close(source)

    async def _begin(self, item: ItemT) -> bool:
        """Begin one call, and wait for the room for another; say whether it is wanted."""
        if self._wanted:
            self._unread.append(start(partial(self._call, item), self.changed))
            while len(self._unread) >= self._concurrency:
                await self._read.wait()
        return self._wanted

    async def _call(self, item: ItemT) -> T | Exception:
        try:
            result: T | Exception = await _awaitable(self._function(item))
        except BaseException as error:
            if not self._errors_are_results or not isinstance(error, Exception):
                self._wanted = False  # its reader will come no further
                raise
            result = error
        self.done += 1
        return result


async def _close(source: Any) -> None:
    if hasattr(source, "aclose"):
        with anyio.CancelScope(shield=True):
            await source.aclose()


def _awaitable(value: Awaitable[T]) -> Awaitable[T]:
    if not inspect.isawaitable(value):
        raise InputError(f"What the function returned is {_kind(value)}, which cannot be awaited.", advice=ADVICE)
    return value


def _check(function: Any, items: Any, on_error: Any) -> None:
    if not callable(function):
        raise InputError(f"The function is {_kind(function)}, which cannot be called.", advice=ADVICE)
    if isinstance(items, str | bytes | bytearray):
        raise InputError(
            f"The items are {_kind(items)}, of which each character would be one.",
            advice="Pass a list, [text], or call the function itself.",
        )
    if not isinstance(items, Iterable | AsyncIterable):
        raise InputError(f"The items are {_kind(items)}, which cannot be iterated over.", advice=ADVICE)
    if on_error not in ("raise", "return"):
        raise InputError(f"on_error={on_error!r} is neither 'raise' nor 'return'.")


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"

"""A function over many items: their order, how many at once, errors, and that nothing is left running."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfclient import Client, Mapped
from hfclient.errors import HFClientError, InputError, RateLimitError
from tests.cancelling import CancelAt

pytestmark = pytest.mark.anyio

T = TypeVar("T")


def mapped(function: Any, items: Any, **options: Any) -> Mapped[Any]:
    return Client("hf_fake_0123456789abcdef").map(function, items, **options)


class Calls:
    """An async function of one item that answers when it is told to, and knows what runs."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.ended: list[Any] = []
        self._gates: dict[Any, anyio.Event] = {}
        self._outcomes: dict[Any, BaseException] = {}

    async def __call__(self, item: Any) -> str:
        self.begun.append(item)
        self._gates[item] = anyio.Event()
        try:
            await self._gates[item].wait()
            if item in self._outcomes:
                raise self._outcomes[item]
            return f"<{item}>"
        finally:
            self.ended.append(item)

    @property
    def running(self) -> list[Any]:
        """In order, since trio begins tasks in none."""
        return sorted(set(self.begun) - set(self.ended))

    async def answer(self, *items: Any) -> None:
        """Let these answer, and wait until nothing more happens by itself."""
        for item in items:
            self._gates[item].set()
            await settled()

    async def fail(self, item: Any, error: BaseException) -> None:
        self._outcomes[item] = error
        await self.answer(item)


class Items:
    """A source that counts what is taken from it, endless unless told otherwise."""

    def __init__(self, count: int | None = None, *, fails_with: BaseException | None = None) -> None:
        self.taken = 0
        self._count = count
        self._fails_with = fails_with

    def __iter__(self) -> Iterator[int]:
        for item in itertools.count():
            if item == self._count:
                if self._fails_with:
                    raise self._fails_with
                return
            self.taken += 1
            yield item


class AsyncItems(Items):
    """The same, with a wait before each item; it knows whether it was closed."""

    def __init__(self, count: int | None = None, *, fails_with: BaseException | None = None) -> None:
        super().__init__(count, fails_with=fails_with)
        self.closed = False

    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for item in Items.__iter__(self):
                await anyio.lowlevel.checkpoint()
                yield item
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.closed = True


both_sources = pytest.mark.parametrize("source", [Items, AsyncItems])


async def settled() -> None:
    """Let everything that happens by itself happen; anyio's own wait for that takes a tenth of a second on asyncio."""
    for _ in range(30):
        await anyio.lowlevel.checkpoint()


def task_ids() -> set[int]:
    return {task.id for task in anyio.get_running_tasks()}


@pytest.fixture
async def no_task_stays() -> AsyncIterator[None]:
    """At the end of the test there run as many tasks as at its beginning."""
    before = len(task_ids())
    yield
    await settled()
    assert len(task_ids()) == before


nothing_stays = pytest.mark.usefixtures("no_task_stays")


async def double(item: int) -> int:
    return 2 * item


async def doubled_later(item: int) -> int:
    await anyio.lowlevel.checkpoint()
    return 2 * item


class Reading:
    """A task that reads, and what it got."""

    def __init__(self, results: Mapped[Any]) -> None:
        self.results = results
        self.got: list[Any] = []
        self.error: BaseException | None = None
        self.at_end = False

    async def __call__(self) -> None:
        try:
            async for result in self.results:
                self.got.append(result)
        except Exception as error:  # noqa: BLE001  whatever it is, it is looked at later
            self.error = error
        self.at_end = True


# Order and bounds


@nothing_stays
@both_sources
@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(0, 12),
    concurrency=st.integers(1, 6),
    picks=st.lists(st.integers(0, 99), min_size=12, max_size=12),
)
async def test_whatever_ends_first_the_order_is_that_of_the_items(
    source: type[Items], count: int, concurrency: int, picks: list[int]
) -> None:
    """Results come in the items' order, each once, and neither calls nor items in hand are more than allowed."""
    items, calls = source(count), Calls()
    reading = Reading(mapped(calls, items, concurrency=concurrency))
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        for left in range(count, 0, -1):
            await settled()
            assert items.taken - len(reading.got) == min(concurrency, count - len(reading.got))
            assert 0 < len(calls.running) <= concurrency
            await calls.answer(calls.running[picks[left - 1] % len(calls.running)])
    assert reading.got == [f"<{item}>" for item in range(count)]
    assert (reading.error, reading.at_end, reading.results.done) == (None, True, count)


@nothing_stays
@both_sources
async def test_a_slow_head_bounds_what_is_taken(source: type[Items]) -> None:
    """Of an endless source no more is taken than may be in hand, however many calls behind the first are done."""
    items, calls = source(), Calls()
    async with mapped(calls, items, concurrency=4) as results, anyio.create_task_group() as group:
        reading = Reading(results)
        group.start_soon(reading)
        await settled()
        await calls.answer(1, 2, 3)
        assert (items.taken, calls.running, reading.got, results.done) == (4, [0], [], 3)
        await calls.answer(0)
        assert (items.taken, calls.running, len(reading.got), results.done) == (8, [4, 5, 6, 7], 4, 4)
        group.cancel_scope.cancel()


@nothing_stays
@both_sources
async def test_what_has_not_been_read_is_in_hand_too(source: type[Items]) -> None:
    """While its reader is busy nothing is taken beyond the bound; each result that is read makes room for one item."""
    items = source()
    async with mapped(double, items, concurrency=3) as results:
        for number in range(5):
            assert await anext(results) == 2 * number
            await settled()
            assert (items.taken, results.done) == (number + 4, number + 4)


@nothing_stays
async def test_calls_go_on_while_the_reader_is_busy() -> None:
    """All places are taken while a result is worked on, the one just freed too."""
    calls = Calls()
    async with mapped(calls, Items(), concurrency=2) as results, anyio.create_task_group() as group:
        group.start_soon(Reading(results))
        await settled()
        group.cancel_scope.cancel()
    calls = Calls()
    async with mapped(calls, Items(), concurrency=2) as results:
        async with anyio.create_task_group() as group:
            group.start_soon(anext, results)
            await settled()
            await calls.answer(0)
        await settled()
        assert calls.running == [1, 2]


@nothing_stays
@pytest.mark.parametrize("concurrency", [1, 1000])
async def test_one_at_a_time_or_all_at_once(concurrency: int) -> None:
    """Concurrency may be one, and may be more than there are items."""
    results = mapped(doubled_later, range(50), concurrency=concurrency)
    assert [result async for result in results] == list(range(0, 100, 2))


@nothing_stays
@both_sources
async def test_no_items_are_no_results(source: type[Items]) -> None:
    """An empty source ends at once, and nothing is called."""
    calls = Calls()
    assert [result async for result in mapped(calls, source(0))] == []
    assert calls.begun == []


@nothing_stays
async def test_nothing_runs_before_the_first_read() -> None:
    """Neither making nor entering it takes an item or begins a call; eight run at once if nothing else is said."""
    items, calls = Items(), Calls()
    async with mapped(calls, items) as results:
        await settled()
        assert (items.taken, calls.begun) == (0, [])
        async with anyio.create_task_group() as group:
            group.start_soon(anext, results)
            await settled()
            assert calls.running == list(range(8))
            await calls.answer(0)


@nothing_stays
async def test_results_may_be_anything() -> None:
    """None, False, an exception that was returned and a function's own objects are results like any other."""
    values = [None, False, 0, ValueError("not raised"), [], object()]

    async def same(item: Any) -> Any:
        return item

    assert [each async for each in mapped(same, values, concurrency=2)] == values


@nothing_stays
@pytest.mark.parametrize("outer_is_full", [True, False])
async def test_a_map_of_a_map(outer_is_full: bool) -> None:
    """Results can be the items of another, and leaving the outer one ends both, whichever the outer one waits for."""
    inner_calls, outer_calls = Calls(), Calls()
    inner = mapped(inner_calls, Items(), concurrency=2)
    async with mapped(outer_calls, inner, concurrency=2) as outer, anyio.create_task_group() as group:
        reading = Reading(outer)
        group.start_soon(reading)
        await settled()
        await inner_calls.answer(0, 1)
        assert (inner_calls.running, outer_calls.running) == ([2, 3], ["<0>", "<1>"])
        if not outer_is_full:
            await outer_calls.answer("<0>")
            assert reading.got == ["<<0>>"]
        group.cancel_scope.cancel()
    assert (inner_calls.running, outer_calls.running) == ([], [])


# Errors


@nothing_stays
@both_sources
async def test_the_first_failure_in_order_is_raised(source: type[Items]) -> None:
    """The results before it are given, the failures after it are not heard of, and nothing runs when it is raised."""
    items, calls = source(), Calls()
    running: list[Any] = []

    class Watching(Reading):
        async def __call__(self) -> None:
            await super().__call__()
            running.append(calls.running)

    reading = Watching(mapped(calls, items, concurrency=4))
    first, second = RateLimitError("first in order"), ValueError("first in time")
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        await settled()
        await calls.fail(2, second)
        await calls.fail(1, first)
        assert (reading.at_end, calls.running) == (False, [0, 3])
        await calls.answer(0)
    assert (reading.got, reading.error, running) == (["<0>"], first, [[]])
    assert first.__cause__ is None
    assert calls.ended == [2, 1, 0, 3]


@nothing_stays
@both_sources
async def test_after_a_failure_nothing_new_is_begun(source: type[Items]) -> None:
    """Once a failure is known its reader will come to it, so no item is taken whose result nobody would see."""
    items, calls = source(), Calls()
    reading = Reading(mapped(calls, items, concurrency=3))
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        await settled()
        await calls.fail(2, ValueError("x"))
        await calls.answer(0)
        assert (reading.got, sorted(calls.begun)) == (["<0>"], [0, 1, 2])
        await calls.answer(1)
    assert (reading.got, type(reading.error), reading.results.done) == (["<0>", "<1>"], ValueError, 2)


@nothing_stays
async def test_after_a_failure_an_item_on_its_way_is_not_called() -> None:
    """An item that a slow source gives when a failure is known already is not worth a call either."""
    calls, more = Calls(), anyio.Event()

    async def slow() -> AsyncIterator[int]:
        yield 0
        yield 1
        await more.wait()
        yield 2

    reading = Reading(mapped(calls, slow(), concurrency=3))
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        await settled()
        await calls.fail(1, ValueError("x"))
        more.set()
        await settled()
        await calls.answer(0)
    assert (reading.got, sorted(calls.begun), type(reading.error)) == (["<0>"], [0, 1], ValueError)


@nothing_stays
async def test_a_failure_is_raised_to_whoever_reads_on() -> None:
    """It stays the answer, so that no later loop takes the results for whole."""
    results = mapped(lambda _: fail(ValueError("x")), [1, 2])
    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            await anext(results)
    await results.aclose()
    with pytest.raises(ValueError, match="x"):
        await anext(results)


async def fail(error: BaseException) -> None:
    raise error


@nothing_stays
async def test_failures_may_be_results() -> None:
    """With on_error="return" the exception stands in its item's place, and the work goes on."""
    calls = Calls()
    reading = Reading(mapped(calls, range(4), concurrency=2, on_error="return"))
    errors = [RateLimitError("busy"), KeyError("mine")]
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        await settled()
        await calls.fail(1, errors[1])
        await calls.fail(0, errors[0])
        await calls.answer(3, 2)
    assert reading.got == [*errors, "<2>", "<3>"]
    assert (reading.error, reading.results.done) == (None, 4)


@nothing_stays
@pytest.mark.parametrize("error", [StopAsyncIteration(1), StopIteration(1)])
async def test_a_failure_that_looks_like_the_end_is_none(error: Exception) -> None:
    """A function that raises what loops end with has failed, and its results are not taken for whole."""

    def failing(item: int) -> Awaitable[int]:
        if item == 1:
            raise error
        return double(item)

    results = mapped(failing, range(3), concurrency=1)
    assert await anext(results) == 0
    with pytest.raises(RuntimeError) as caught:
        await anext(results)
    assert caught.value.__cause__ is error


@nothing_stays
@both_sources
@pytest.mark.parametrize("on_error", ["raise", "return"])
async def test_a_failing_source_ends_after_what_it_gave(source: type[Items], on_error: str) -> None:
    """The results of the items before are all given, then the source's own error is raised, whatever `on_error` is."""
    lost, calls = OSError("the disk is gone"), Calls()
    reading = Reading(mapped(calls, source(2, fails_with=lost), concurrency=4, on_error=on_error))
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        await settled()
        await calls.answer(1, 0)
    assert (reading.got, reading.error) == (["<0>", "<1>"], lost)


@nothing_stays
@both_sources
async def test_a_failure_comes_before_that_of_the_source(source: type[Items]) -> None:
    """Errors are in order too: a source that broke after an item does not hide that the item failed."""
    results = mapped(lambda item: fail(ValueError(item)), source(1, fails_with=OSError()), concurrency=4)
    with pytest.raises(ValueError, match="0"):
        await anext(results)


@nothing_stays
async def test_a_source_that_cannot_be_begun_is_a_failing_source() -> None:
    """An error of `__iter__` is raised to the reader as it is."""

    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        await anext(mapped(double, Broken()))


class Abort(BaseException):
    """No failure of an item, but an order to stop, such as SystemExit is."""


@nothing_stays
@pytest.mark.parametrize("on_error", ["raise", "return"])
async def test_an_order_to_stop_is_no_result(on_error: str) -> None:
    """What is no `Exception` is raised in its turn whatever `on_error` is, and nothing new is begun before."""
    calls, abort = Calls(), Abort()
    results = mapped(calls, Items(), concurrency=3, on_error=on_error)
    caught: list[BaseException] = []

    async def read() -> None:
        try:
            await everything(results, [])
        except Abort as error:
            caught.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await settled()
        await calls.fail(1, abort)
        assert calls.running == [0, 2]
        await calls.answer(0)
    assert (caught, calls.running, calls.ended) == ([abort], [], [1, 0, 2])


@nothing_stays
@both_sources
async def test_a_source_may_order_to_stop(source: type[Items]) -> None:
    """The same holds for what a source raises."""
    abort, got = Abort(), list[Any]()
    with pytest.raises(Abort) as caught:
        await everything(mapped(double, source(2, fails_with=abort)), got)
    assert (caught.value, got) == (abort, [0, 2])


@nothing_stays
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("on_error", ["raise", "return"])
async def test_a_cancellation_from_elsewhere_is_no_result(on_error: str) -> None:
    """A function that waits for a task which somebody cancelled passes that on, as if it had been awaited directly."""
    other, calls = asyncio.create_task(asyncio.sleep(3600)), Calls()

    async def waits(item: int) -> object:
        return await (other if item == 0 else calls(item))

    results = mapped(waits, range(3), on_error=on_error)
    asyncio.get_running_loop().call_soon(other.cancel)
    with pytest.raises(asyncio.CancelledError):
        await anext(results)
    assert calls.running == []


@nothing_stays
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("passes", range(1, 8))
async def test_tasks_cancelled_by_hand_are_no_end(passes: int) -> None:
    """Who cancels all tasks of a loop, whether or not they have begun, gets an error and no shortened results."""
    others = asyncio.all_tasks()
    reader = asyncio.create_task(everything(mapped(Calls(), Items(), concurrency=3), got := []))
    for _ in range(passes):
        await asyncio.sleep(0)
    ours = asyncio.all_tasks() - others - {reader}
    for task in ours:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert (len(ours), got) == (1 if passes == 1 else 4, [])


# Leaving


async def by_break(results: Mapped[Any]) -> None:
    async for _ in results:
        break


async def by_exception(results: Mapped[Any]) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the loop is what is tested
        async for _ in results:
            _ = 1 / 0


async def by_return(results: Mapped[Any]) -> None:
    async def first() -> Any:
        async for result in results:
            return result
        return None

    await first()


async def by_closing(results: Mapped[Any]) -> None:
    await anext(results)
    await results.aclose()
    await results.aclose()


async def by_leaving(results: Mapped[Any]) -> None:
    async with results:
        await anext(results)


async def by_cancellation(results: Mapped[Any]) -> None:
    with anyio.CancelScope() as scope:
        async for _ in results:
            scope.cancel()
            await anyio.sleep_forever()


ways_out = pytest.mark.parametrize(
    "leave", [by_break, by_exception, by_return, by_closing, by_leaving, by_cancellation], ids=lambda way: way.__name__
)


def first_answers(calls: Calls) -> Callable[[int], Awaitable[Any]]:
    """The first item is answered at once, the others never."""

    async def function(item: int) -> Any:
        return item if item == 0 else await calls(item)

    return function


@nothing_stays
@both_sources
@ways_out
async def test_leaving_ends_the_work(source: type[Items], leave: Callable[[Mapped[Any]], Awaitable[None]]) -> None:
    """However the loop is left, all calls end, no more items are taken, and reading on says that it was left."""
    items, calls = source(), Calls()
    results = mapped(first_answers(calls), items, concurrency=3)
    await leave(results)
    await settled()
    taken = items.taken
    assert (calls.running, set(calls.begun) - {1, 2, 3}) == ([], set())
    for _ in range(2):
        with pytest.raises(InputError, match="left before their end"):
            await anext(results)
    assert items.taken == taken <= 4
    assert getattr(items, "closed", True)


@nothing_stays
@pytest.mark.parametrize("leave", [by_closing, by_leaving], ids=lambda way: way.__name__)
async def test_closing_waits_for_the_end(leave: Callable[[Mapped[Any]], Awaitable[None]]) -> None:
    """After `aclose` and after `async with` what was cancelled has ended, its cleaning up included."""
    cleaned: list[int] = []

    async def function(item: int) -> int:
        if item == 0:
            return item
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
            cleaned.append(item)
        raise AssertionError

    await leave(mapped(function, Items(), concurrency=3))
    assert sorted(cleaned) in ([1, 2], [1, 2, 3])


@nothing_stays
async def test_a_cancelled_reader_waits_for_the_end() -> None:
    """A read that is cancelled cancels the calls, and comes back when they have cleaned up."""
    calls, cleaned = Calls(), anyio.Event()

    async def function(item: int) -> None:
        try:
            await calls(item)
        finally:
            with anyio.CancelScope(shield=True):
                await cleaned.wait()

    results, back = mapped(function, Items(), concurrency=2), anyio.Event()

    async def read(scope: anyio.CancelScope) -> None:
        with scope:
            await anext(results)
        back.set()

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(read, scope)
        await settled()
        scope.cancel()
        await settled()
        assert (calls.running, back.is_set()) == ([], False)
        cleaned.set()
        await back.wait()
    assert scope.cancelled_caught


@nothing_stays
async def test_a_reader_cancelled_beforehand_begins_nothing() -> None:
    """Where the reading task is cancelled already, no item is taken and nothing is called."""
    items, calls = Items(), Calls()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anext(mapped(calls, items))
    assert (items.taken, calls.begun) == (0, [])


async def everything(results: Mapped[Any], got: list[Any]) -> None:
    async for result in results:
        got.append(result)
        await anyio.lowlevel.checkpoint()


async def in_a_block(results: Mapped[Any], got: list[Any]) -> None:
    async with results:
        await everything(results, got)


@nothing_stays
@both_sources
@pytest.mark.parametrize("read", [everything, in_a_block])
async def test_cancelling_the_reader_wherever_it_waits(
    source: type[Items], read: Callable[[Mapped[Any], list[Any]], Awaitable[None]]
) -> None:
    """At whichever of its awaits a reader is cancelled, what it got is in order and nothing stays behind."""
    before, waits, nth = task_ids(), 0, 0
    while nth <= waits:
        nth += 1
        got: list[Any] = []
        results = mapped(doubled_later, source(6), concurrency=2)
        with anyio.CancelScope() as scope:
            cancelling = CancelAt(read(results, got), scope, nth)
            await cancelling
        waits = cancelling.waits
        await settled()
        assert task_ids() == before, nth
        assert got == list(range(0, 12, 2))[: len(got)]
        assert scope.cancelled_caught or (nth > waits - 2 and len(got) == 6), nth
    assert waits > 8


@nothing_stays
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@both_sources
async def test_cancelling_the_task_wherever_it_waits(source: type[Items]) -> None:
    """The same holds for asyncio's own `Task.cancel`, with which wait_for and many frameworks cancel."""
    before, waits, nth = task_ids(), 0, 0

    async def run(nth: int, got: list[Any]) -> None:
        nonlocal waits
        task = asyncio.current_task()
        assert task
        cancelling = CancelAt(in_a_block(mapped(doubled_later, source(6), concurrency=2), got), task, nth)
        try:
            await cancelling
        finally:
            waits = cancelling.waits

    while nth <= waits:
        nth += 1
        got: list[Any] = []
        task = asyncio.create_task(run(nth, got))
        await asyncio.wait([task])
        await settled()
        assert task_ids() == before, nth
        assert task.cancelled() or (nth > waits - 2 and len(got) == 6), nth
    assert waits > 8


@nothing_stays
@pytest.mark.parametrize("where", ["function", "source"])
async def test_cancelling_the_reader_wherever_the_work_waits(where: str) -> None:
    """At whichever await of a call or of the source the reader is cancelled, nothing stays behind."""
    before, points, nth = task_ids(), 0, 0
    while nth <= points:
        nth += 1
        points, scope = 0, anyio.CancelScope()

        async def point(here: str, nth: int = nth, scope: anyio.CancelScope = scope) -> None:
            nonlocal points
            points += here == where
            if here == where and points == nth:
                scope.cancel()
            await anyio.lowlevel.checkpoint()

        async def function(item: int, point: Callable[[str], Awaitable[None]] = point) -> int:
            await point("function")
            await point("function")
            return item

        async def items(point: Callable[[str], Awaitable[None]] = point) -> AsyncIterator[int]:
            for item in range(5):
                await point("source")
                yield item
            await point("source")

        got: list[Any] = []
        with scope:
            await everything(mapped(function, items(), concurrency=2), got)
        await settled()
        assert task_ids() == before, nth
        assert got == list(range(len(got)))
        assert scope.cancelled_caught or (nth > points and len(got) == 5)
    assert points >= 6


@nothing_stays
async def test_dropping_it_ends_the_work() -> None:
    """Results that nobody holds any more stop, and so do those found by the garbage collector in another thread."""
    for in_thread in (False, True):
        calls = Calls()
        held = [mapped(first_answers(calls), Items(), concurrency=3)]
        await anext(held[0])
        await settled()
        assert calls.running == [1, 2, 3]
        await anyio.to_thread.run_sync(held.clear) if in_thread else held.clear()
        await settled()
        assert calls.running == []


@nothing_stays
async def test_dropping_a_cycle_ends_the_work() -> None:
    """What is only reachable from itself is found by the garbage collector."""
    calls = Calls()
    results = mapped(first_answers(calls), Items(), concurrency=3)
    await anext(results)
    results.me = results  # type: ignore[attr-defined]
    del results
    await settled()
    assert calls.running == [1, 2, 3]
    gc.collect()
    await settled()
    assert calls.running == []


@nothing_stays
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio knows no task that waits without its knowing
async def test_a_read_that_is_closed_by_hand() -> None:
    """A reading coroutine that is closed, and so cannot wait for anything, ends the work all the same."""
    calls = Calls()
    results = mapped(calls, Items(), concurrency=3)
    read = results.__anext__()
    waiting: Any = read.__await__()
    next(waiting)
    await settled()
    assert calls.running == [0, 1, 2]
    waiting.close()
    await settled()
    assert calls.running == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("passes", range(4))
@both_sources
def test_a_loop_that_ends_meanwhile(source: type[Items], backend: str, passes: int) -> None:
    """A program whose last deed is to leave the results ends without a word, even where calls had not begun yet."""

    async def main() -> None:
        await by_break(mapped(double, source(), concurrency=4))
        for _ in range(passes):
            await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)
    gc.collect()  # warnings are errors here, those of coroutines never awaited too


@nothing_stays
async def test_the_function_may_close_it() -> None:
    """A call that has seen enough can end the work it is part of, and does not wait for itself."""
    results: list[Mapped[Any]] = []

    async def function(item: int) -> int:
        if item == 2:
            await results[0].aclose()
            await anyio.sleep_forever()
        return item

    results.append(mapped(function, Items(), concurrency=1))
    with pytest.raises(InputError, match="left before their end"):
        await everything(results[0], got := [])
    assert got == [0, 1]
    results.clear()


@nothing_stays
@both_sources
async def test_after_the_end_it_stays_at_its_end(source: type[Items]) -> None:
    """Read to its end it is over, also for another loop and after closing; its source is not begun again."""
    items = source(3)
    results = mapped(double, items)
    assert [each async for each in results] == [0, 2, 4]
    assert [each async for each in results] == []
    await results.aclose()
    assert [each async for each in results] == []
    assert (items.taken, results.done) == (3, 3)


@nothing_stays
async def test_closed_before_it_began() -> None:
    """Closing what was never read calls nothing, then or later."""
    calls = Calls()
    results = mapped(calls, Items())
    await results.aclose()
    with pytest.raises(InputError, match="left before their end"):
        await anext(results)
    assert calls.begun == []


# Several readers


@nothing_stays
async def test_readers_share_the_results() -> None:
    """Each result goes to one of the tasks that read at once, in order, and all of them come to the end."""
    calls = Calls()
    results = mapped(calls, range(6), concurrency=3)
    readings = [Reading(results) for _ in range(3)]
    async with anyio.create_task_group() as group:
        for reading in readings:
            group.start_soon(reading)
        await settled()
        await calls.answer(2, 1, 0, 5, 4, 3)
    assert sorted(result for reading in readings for result in reading.got) == [f"<{item}>" for item in range(6)]
    assert all(reading.got == sorted(reading.got) for reading in readings)
    assert [reading.error for reading in readings] == [None] * 3


@nothing_stays
async def test_readers_share_the_failure() -> None:
    """No reader takes what it got for the whole: the failure is raised in each."""
    calls, error = Calls(), ValueError("x")
    readings = [Reading(results := mapped(calls, range(6), concurrency=3)), Reading(results)]
    async with anyio.create_task_group() as group:
        for reading in readings:
            group.start_soon(reading)
        await settled()
        await calls.fail(0, error)
    assert [reading.error for reading in readings] == [error, error]


@nothing_stays
async def test_a_reader_that_waits_for_its_turn_can_go() -> None:
    """Cancelling the second reader takes nothing from the first."""
    calls = Calls()
    first, second = Reading(results := mapped(calls, range(2))), Reading(results)
    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await settled()
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(second)
            await settled()
            impatient.cancel_scope.cancel()
        await calls.answer(1, 0)
    assert (first.got, first.error, second.got) == (["<0>", "<1>"], None, [])


@nothing_stays
async def test_closing_while_another_task_reads() -> None:
    """A reader that waits when somebody else closes is told that the rest was left."""
    calls = Calls()
    reading = Reading(mapped(calls, Items(), concurrency=2))
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        await settled()
        await reading.results.aclose()
        assert calls.running == []
    assert isinstance(reading.error, InputError)


# What the function sees


@nothing_stays
@both_sources
async def test_the_callers_context_is_seen(source: type[Items]) -> None:
    """Context variables, the current span for one, are those of the reader; what one call sets, no other call sees."""
    current: ContextVar[str] = ContextVar("current", default="nothing")

    async def function(item: int) -> str:
        seen = current.get()
        current.set(f"set by {item}")
        await anyio.lowlevel.checkpoint()
        return seen

    current.set("the span")
    assert [each async for each in mapped(function, source(5), concurrency=2)] == ["the span"] * 5
    assert current.get() == "the span"


@nothing_stays
async def test_an_async_generator_is_closed() -> None:
    """It is closed before the failure is raised, and before `async with` is left; its cleaning up may wait."""
    closed: list[str] = []

    async def rows() -> AsyncIterator[int]:
        try:
            for item in range(100):
                yield item
        finally:
            await anyio.lowlevel.checkpoint()
            closed.append("rows")

    with pytest.raises(ValueError, match="x"):
        await anext(mapped(lambda _: fail(ValueError("x")), rows()))
    assert closed == ["rows"]
    async with mapped(double, rows()) as results:
        await anext(results)
        await settled()
    assert closed == ["rows"] * 2


@nothing_stays
async def test_nothing_is_held_on_to_once_it_was_left() -> None:
    """A generator ends with the work, and results that nobody read are let go, though the object itself is kept."""
    closed: list[str] = []
    made: list[weakref.ref[Any]] = []

    def rows() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append("rows")

    class Picture:
        def __init__(self) -> None:
            made.append(weakref.ref(self))

    async def draw(_: int) -> Picture:
        return Picture()

    async with mapped(draw, rows(), concurrency=3) as results:
        await anext(results)
        await settled()
    await settled()
    gc.collect()
    assert closed == ["rows"]
    assert [each() for each in made] == [None] * 4


@nothing_stays
async def test_an_async_source_that_cannot_be_closed() -> None:
    """An async iterator need not have `aclose`."""

    class Bare:
        def __init__(self) -> None:
            self._items = iter(range(3))

        def __aiter__(self) -> Bare:
            return self

        async def __anext__(self) -> int:
            try:
                return next(self._items)
            except StopIteration:
                raise StopAsyncIteration from None

    assert [each async for each in mapped(double, Bare())] == [0, 2, 4]


@nothing_stays
async def test_a_stream_can_be_the_source() -> None:
    """What gives items while it is read is asked for the next one when there is room, and not before."""
    send, receive = anyio.create_memory_object_stream[int](0)
    calls = Calls()
    reading = Reading(mapped(calls, receive, concurrency=2))
    async with anyio.create_task_group() as group:
        group.start_soon(reading)
        for item in range(2):
            await send.send(item)
        await settled()
        with pytest.raises(anyio.WouldBlock):
            send.send_nowait(2)
        await calls.answer(0)
        send.send_nowait(2)
        send.close()
        await settled()
        await calls.answer(2, 1)
    assert reading.got == ["<0>", "<1>", "<2>"]
    receive.close()


@nothing_stays
async def test_a_source_that_belongs_to_others_stays_open() -> None:
    """Leaving the results does not close a channel from which others may go on to read."""
    send, receive = anyio.create_memory_object_stream[int](10)
    with send, receive:
        for item in range(3):
            send.send_nowait(item)
        async with mapped(double, receive, concurrency=1) as results:
            assert await anext(results) == 0
        assert await receive.receive() == 1


# Wrong arguments


@pytest.mark.parametrize(
    ("function", "items", "options", "said"),
    [
        (None, [1], {}, "The function is of type NoneType"),
        ([1, 2], double, {}, "The function is of type list"),
        (double, 5, {}, "The items are of type int, which cannot be iterated over"),
        (double, None, {}, "The items are of type NoneType"),
        (double, "text", {}, "The items are of type str, of which each character"),
        (double, b"text", {}, "The items are of type bytes"),
        (double, bytearray(3), {}, "The items are of type bytearray"),
        (double, [1], {"concurrency": 0}, "concurrency=0 is not a whole number above 0"),
        (double, [1], {"concurrency": -1}, "concurrency=-1"),
        (double, [1], {"concurrency": 1.5}, "concurrency=1.5"),
        (double, [1], {"concurrency": True}, "concurrency=True"),
        (double, [1], {"concurrency": None}, "concurrency=None"),
        (double, [1], {"on_error": "ignore"}, "on_error='ignore' is neither 'raise' nor 'return'"),
        (double, [1], {"on_error": None}, "on_error=None"),
    ],
)
def test_wrong_arguments_are_told_at_once(function: Any, items: Any, options: dict[str, Any], said: str) -> None:
    """An argument that cannot be right is an InputError of the call itself, before anything runs."""
    with pytest.raises(InputError) as caught:
        mapped(function, items, **options)
    assert said in caught.value.message


@nothing_stays
@pytest.mark.parametrize("function", [lambda item: item, range, print])
async def test_a_function_that_is_not_async_is_told(function: Callable[[int], object]) -> None:
    """What cannot be awaited is the caller's slip, and the error says so."""
    with pytest.raises(InputError, match="cannot be awaited") as caught:
        await anext(mapped(function, [1]))
    assert "async function" in caught.value.advice
    assert isinstance(caught.value, HFClientError)

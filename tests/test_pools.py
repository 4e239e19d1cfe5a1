"""Connections: who gets which, who waits, and that nothing is left over."""

from __future__ import annotations

import asyncio
import gc
import math
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
import trio

from hfclient import clock
from hfclient.connections import KEEP_ALIVE_SECONDS
from hfclient.errors import InputError
from hfclient.pools import Pools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hfclient.pools import Lease

pytestmark = pytest.mark.anyio

RUN: dict[str, Callable[[Callable[[], Awaitable[object]]], object]] = {
    "asyncio": lambda work: asyncio.run(work()),  # type: ignore[arg-type]
    "trio": trio.run,
}


class Carrier:
    """Stands for a connection; knows whether it was closed."""

    closed = False

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared

    async def send(self, request: object) -> object:
        raise AssertionError(request)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()  # a real one waits too
        assert not self.closed
        self.closed = True


class Maker:
    """Makes carriers and remembers them, and where they lead."""

    def __init__(self, *, shared: bool = False) -> None:
        self.made: list[Carrier] = []
        self.keys: list[str] = []
        self._shared = shared

    def __call__(self, key: str) -> Carrier:
        self.keys.append(key)
        self.made.append(Carrier(shared=self._shared))
        return self.made[-1]

    def pools(self, *, max_connections: int = 100) -> Pools:
        return Pools(self, max_connections=max_connections)  # type: ignore[arg-type]

    def places(self, *leases: Lease) -> list[int]:
        """Which of the carriers each lease has."""
        return [self.made.index(lease.carrier) for lease in leases]  # type: ignore[arg-type]

    @property
    def open(self) -> int:
        return sum(not carrier.closed for carrier in self.made)


async def borrowed(pools: Pools, number: int = 1, key: str = "a") -> list[Lease]:
    return [await pools.lease(key, 1) for _ in range(number)]


async def test_each_request_has_a_connection_to_itself() -> None:
    """As many connections are made as requests are in flight, and no more."""
    make = Maker()
    pools = make.pools()
    leases = await borrowed(pools, 3)
    assert make.places(*leases) == [0, 1, 2]
    for lease in leases:
        lease.release()
    assert sorted(make.places(*await borrowed(pools, 3))) == [0, 1, 2]
    await pools.close()


async def test_the_connection_used_last_is_used_next() -> None:
    """So that those which are not needed sink to the bottom and expire."""
    make = Maker()
    pools = make.pools()
    leases = await borrowed(pools, 3)
    for number in (1, 0, 2):
        leases[number].release()
    assert make.places(*await borrowed(pools, 3)) == [2, 0, 1]
    await pools.close()


async def test_a_connection_is_used_for_where_it_leads_only() -> None:
    """One host's connection is never lent for another's."""
    make = Maker()
    pools = make.pools()
    for key in ("a", "b", "a", "b"):
        (await pools.lease(key, 1)).release()
    assert make.keys == ["a", "b"]
    await pools.close()
    assert make.open == 0


async def test_what_can_be_shared_is_shared() -> None:
    """One carrier that sends many requests at a time is made once for each place."""
    make = Maker(shared=True)
    pools = make.pools()
    leases = [*await borrowed(pools, 50), *await borrowed(pools, 2, "b")]
    assert set(make.places(*leases[:50])) == {0}
    assert set(make.places(*leases[50:])) == {1}
    for lease in leases:
        lease.release()
    await pools.close()
    assert make.open == 0


async def test_what_was_not_used_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of calls does not leave its connections open for ever, whichever host they led to."""
    now = [1000.0]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    make = Maker()
    pools = make.pools()
    burst = [*await borrowed(pools, 3), *await borrowed(pools, 2, "b")]
    for lease in burst:
        lease.release()
    for _ in range(4):
        now[0] += KEEP_ALIVE_SECONDS / 3
        (await pools.lease("a", 1)).release()
    assert [carrier.closed for carrier in make.made] == [True, True, False, True, True]
    await pools.close()
    assert make.open == 0


async def test_closing_what_is_stale_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are lent and given back while others are being closed are not forgotten."""
    now = [1000.0]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    make = Maker()
    pools = make.pools()
    for lease in await borrowed(pools, 3):
        lease.release()
    now[0] += KEEP_ALIVE_SECONDS + 1

    async def borrow() -> None:
        for _ in range(3):
            lease = await pools.lease("a", 1)
            await anyio.lowlevel.checkpoint()
            lease.release()

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(borrow)
    assert [carrier.closed for carrier in make.made[:3]] == [True] * 3
    await pools.close()
    assert make.open == 0


async def test_no_more_than_max_connections_are_lent() -> None:
    """Who comes when all places are taken waits, and goes on in turn when one is given back."""
    pools = Maker().pools(max_connections=2)
    held = await borrowed(pools, 2)
    order: list[int] = []

    async def borrow(number: int) -> None:
        lease = await pools.lease("a", math.inf)
        order.append(number)
        lease.release()

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(borrow, number)
            await anyio.wait_all_tasks_blocked()
        assert order == []
        held[0].release()
        await anyio.wait_all_tasks_blocked()
        assert order == [0, 1, 2]
    held[1].release()
    await pools.close()


async def test_patience_ends_the_wait_and_takes_no_place() -> None:
    """A wait that ran out leaves the places as they were."""
    pools = Maker().pools(max_connections=1)
    (held,) = await borrowed(pools)
    with pytest.raises(TimeoutError):
        await pools.lease("a", 0)
    held.release()
    (await pools.lease("a", 0)).release()
    await pools.close()


async def test_a_cancelled_wait_takes_no_place() -> None:
    """Who is cancelled while waiting does not keep the place that was just then given back."""
    pools = Maker().pools(max_connections=1)
    (held,) = await borrowed(pools)
    scope = anyio.CancelScope()

    async def wait() -> None:
        with scope:
            (
                await pools.lease("a", math.inf)
            ).release()  # both may have happened: the place is his, and he is cancelled

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        held.release()
        scope.cancel()
    (lease,) = await borrowed(pools)
    lease.release()
    await pools.close()


async def test_giving_back_twice_gives_back_once() -> None:
    """A lease that is released again invents no place and lends no connection twice."""
    make = Maker()
    pools = make.pools(max_connections=2)
    (lease,) = await borrowed(pools)
    lease.release()
    lease.release()
    held = await borrowed(pools, 2)
    assert sorted(make.places(*held)) == [0, 1]
    with pytest.raises(TimeoutError):
        await pools.lease("a", 0)
    await pools.close()


async def test_a_connection_that_cannot_be_made_costs_no_place() -> None:
    """Whatever goes wrong while making connections, the place is free again."""

    class Broken(Maker):
        def __call__(self, key: str) -> Carrier:
            if not self.keys:
                self.keys.append(key)
                raise OSError("no such certificate")
            return super().__call__(key)

    pools = Broken().pools(max_connections=1)
    with pytest.raises(OSError, match="certificate"):
        await pools.lease("a", 1)
    (await pools.lease("a", 0)).release()
    await pools.close()


@pytest.mark.parametrize("shared", [False, True])
async def test_closing_closes_everything_and_may_be_done_twice(*, shared: bool) -> None:
    """After closing nothing is open, whether it was in use or not, and nothing is lent."""
    make = Maker(shared=shared)
    pools = make.pools()
    leases = await borrowed(pools, 5)
    leases[0].release()
    await pools.close()
    assert make.open == 0
    await pools.close()
    for lease in leases:
        lease.release()
    with pytest.raises(InputError, match="closed"):
        await pools.lease("a", 1)
    await pools.close()
    assert make.open == 0


async def test_closing_before_the_first_use_closes_too() -> None:
    """A client that was never used is closed all the same."""
    make = Maker()
    pools = make.pools()
    await pools.close()
    with pytest.raises(InputError, match="closed"):
        await pools.lease("a", 1)
    assert make.made == []


async def test_closing_finishes_although_cancelled() -> None:
    """Cancellation does not leave connections half closed."""
    make = Maker()
    pools = make.pools()
    await borrowed(pools, 3)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await pools.close()
    assert make.open == 0


async def test_who_waits_while_it_is_closed_gets_no_connection() -> None:
    """A place that becomes free after closing is not filled with a connection that nobody would ever close."""
    make = Maker()
    pools = make.pools(max_connections=1)
    (held,) = await borrowed(pools)
    told: list[InputError] = []

    async def wait() -> None:
        with pytest.raises(InputError, match="closed") as caught:
            await pools.lease("a", math.inf)
        told.append(caught.value)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await pools.close()
        held.release()
    assert len(told) == 2
    assert (len(make.made), make.open) == (1, 0)


@pytest.mark.parametrize("backend", RUN)
def test_each_event_loop_has_connections_of_its_own(backend: str) -> None:
    """Connections never move between loops; closing one loop's leaves the next loop free to begin anew."""
    make = Maker()
    pools = make.pools()

    async def use() -> None:
        (await pools.lease("a", 1)).release()
        await pools.close()

    RUN[backend](use)
    RUN[backend](use)
    assert (len(make.made), make.open) == (2, 0)


@pytest.mark.parametrize("backend", RUN)
def test_the_end_of_the_loop_closes_what_nobody_closed(backend: str) -> None:
    """A client that is used without `async with` leaves nothing open behind its loop, not even what was in use."""
    make = Maker()
    pools = make.pools()

    async def use() -> None:
        leases = await borrowed(pools, 3)
        leases[0].release()

    for _ in range(2):
        RUN[backend](use)
    gc.collect()
    assert (len(make.made), make.open) == (6, 0)


@pytest.mark.parametrize("backend", RUN)
def test_a_loop_that_is_over_is_forgotten(backend: str) -> None:
    """Pools keep no loop alive, whether they were closed or the loop just ended."""
    pools = Maker().pools()

    async def use(*, close: bool) -> None:
        (await pools.lease("a", 1)).release()
        if close:
            await pools.close()

    for close in (True, False):
        RUN[backend](lambda close=close: use(close=close))  # type: ignore[misc]
    gc.collect()
    assert len(pools._by_loop) == 0


async def test_pools_that_are_dropped_close_their_connections() -> None:
    """Dropping an unclosed client frees its connections while the loop goes on, without a warning."""
    make = Maker()
    pools = make.pools()
    leases = await borrowed(pools, 2)
    leases[0].release()
    del pools
    gc.collect()
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert make.open == 0


@pytest.mark.parametrize("backend", RUN)
def test_pools_that_outlive_their_loop_are_dropped_in_silence(backend: str) -> None:
    """Once the loop is over there is nothing left to close."""
    make = Maker()
    RUN[backend](partial(borrowed, make.pools()))
    gc.collect()
    assert make.open == 0


async def test_a_crowd_of_first_calls_finds_one_set_of_connections() -> None:
    """Calls that arrive together before there is anything do not each open their own."""
    make = Maker(shared=True)
    pools = make.pools()
    leases: list[Lease] = []

    async def borrow() -> None:
        leases.append(await pools.lease("a", 1))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(borrow)
    assert len(make.made) == 1
    for lease in leases:
        lease.release()
    await pools.close()
    assert make.open == 0

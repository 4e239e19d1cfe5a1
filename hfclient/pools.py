"""Connections: a carrier for each request in flight, kept for the next one, and kept apart for each event loop.

httpx's pool looks through all its connections at every request, so its cost per call grows with the calls in flight.
Here each connection has a pool to itself, and finding a free one is taking the top of a stack; the ones at its bottom,
unused for long, are closed. Each event loop has connections of its own, since they cannot move between loops, and they
close when their loop shuts down, also where nobody closed the client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from hfclient import clock
from hfclient.background import run_soon
from hfclient.connections import KEEP_ALIVE_SECONDS, Carrier
from hfclient.errors import InputError

MAX_CONNECTIONS = 1000

MakeCarrier: TypeAlias = Callable[[str], Carrier]


@dataclass(slots=True, eq=False)
class Lease:
    """A carrier, for one request; give it back with `release`."""

    carrier: Carrier
    _key: str
    _pools: LoopPools
    _released: bool = False

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._pools.take_back(self._key, self.carrier)


class LoopPools:
    """The connections of one event loop, by where they lead; what can be shared is shared by all requests at once."""

    def __init__(self, make: MakeCarrier, max_connections: int) -> None:
        self._make = make
        self._places = anyio.Semaphore(max_connections, fast_acquire=True)
        self._idle: dict[str, deque[tuple[float, Carrier]]] = {}
        self._shared: dict[str, Carrier] = {}
        self._lent: set[Carrier] = set()
        self._guard: AsyncGenerator[None, None] | None = None
        self._loop: EventLoopToken | None = current_token()
        self.closed = False

    async def watch_loop(self) -> None:
        """Close with the event loop: it finishes, as it shuts down, the asynchronous generators begun in it."""
        self._guard = self._until_loop_ends()
        await anext(self._guard)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._close_all()

    async def lease(self, key: str, patience: float) -> Lease:
        """A carrier to itself for each request; waits only while `max_connections` are in use."""
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.fail_after(patience):
                await self._places.acquire()
        try:
            await self._close_stale()
            self.check_open()  # it may have been closed while this waited
            carrier = self._shared.get(key) or self._idle_or_new(key)
        except BaseException:
            self._places.release()
            raise
        if not carrier.shared:
            self._lent.add(carrier)
        return Lease(carrier, key, self)

    def check_open(self) -> None:
        if self.closed:
            raise InputError(
                "This client is closed.", advice="Make a new one, or call it before its `async with` ends."
            )

    def take_back(self, key: str, carrier: Carrier) -> None:
        self._places.release()
        if carrier in self._lent:  # it is not where all were closed meanwhile
            self._lent.remove(carrier)
            self._idle.setdefault(key, deque()).append((clock.now(), carrier))

    def _idle_or_new(self, key: str) -> Carrier:
        idle = self._idle.get(key)
        carrier = idle.pop()[1] if idle else self._make(key)
        if carrier.shared:
            self._shared[key] = carrier
        return carrier

    async def _close_stale(self) -> None:
        """The top of each stack is used again and again; what has sunk to the bottom is not needed any more."""
        limit = clock.now() - KEEP_ALIVE_SECONDS
        stale: list[Carrier] = []
        for key, idle in list(self._idle.items()):
            while idle and idle[0][0] < limit:
                stale.append(idle.popleft()[1])
            if not idle:
                del self._idle[key]
        # Only now: others lend and give back while this waits.
        for carrier in stale:
            await _close(carrier)

    async def close(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()
        await self._close_all()

    def close_soon(self) -> None:
        """Close from outside any await, for a client that was dropped."""
        if self._loop is not None:
            run_soon(self._loop, self.close)

    async def _close_all(self) -> None:
        self.closed = True
        self._guard = self._loop = None  # both hold on to the loop
        idle = [carrier for stack in self._idle.values() for _, carrier in stack]
        carriers = [*idle, *self._shared.values(), *self._lent]
        self._idle.clear()
        self._shared.clear()
        self._lent.clear()
        for carrier in carriers:
            await _close(carrier)


class Pools:
    """The connections of whichever event loop is running."""

    def __init__(self, make: MakeCarrier, *, max_connections: int) -> None:
        self._make = make
        self._max_connections = max_connections
        self._by_loop: WeakKeyDictionary[object, LoopPools] = WeakKeyDictionary()

    async def lease(self, key: str, patience: float) -> Lease:
        pools = self._here()
        if pools is None:
            pools = self._open()
            await pools.watch_loop()
        pools.check_open()
        return await pools.lease(key, patience)

    async def close(self) -> None:
        """Close the connections of the running loop; the client cannot be used in it again."""
        await (self._here() or self._open()).close()

    def __del__(self) -> None:
        for pools in self._by_loop.values():
            pools.close_soon()

    def _here(self) -> LoopPools | None:
        return self._by_loop.get(current_token().native_token)

    def _open(self) -> LoopPools:
        pools = LoopPools(self._make, self._max_connections)
        self._by_loop[current_token().native_token] = pools
        return pools


async def _close(carrier: Carrier) -> None:
    with anyio.CancelScope(shield=True):
        await carrier.aclose()

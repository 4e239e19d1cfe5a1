"""Connections: several small pools, kept apart for each event loop.

httpx's pool looks through all its connections at every request, so its cost per call grows with the calls in flight.
Small pools, filled one after another, keep that search short. Each event loop has pools of its own, since connections
cannot move between loops, and they close when their loop shuts down, also where nobody closed the client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import anyio
import httpx
from anyio.lowlevel import current_token

from hfclient.errors import InputError

POOL_SIZE = 10
MAX_CONNECTIONS = 1000
KEEP_ALIVE_SECONDS = 30.0

MakeClient: TypeAlias = Callable[[], httpx.AsyncClient]


@dataclass(slots=True, eq=False)
class Lease:
    """A place in a pool, for one request; give it back with `release`."""

    client: httpx.AsyncClient
    _pool: _Pool
    _places: anyio.Semaphore | None
    released: bool = False

    def release(self) -> None:
        if not self.released:
            self.released = True
            self._pool.in_flight -= 1
            if self._places:
                self._places.release()


@dataclass(slots=True, eq=False)
class _Pool:
    client: httpx.AsyncClient
    in_flight: int = 0


class LoopPools:
    """The pools of one event loop."""

    def __init__(self, make: MakeClient, pool_size: int | None, max_connections: int, *, owned: bool) -> None:
        self._make = make
        self._pool_size = pool_size
        self._owned = owned
        self._pools: list[_Pool] = []
        self._places = anyio.Semaphore(max_connections, fast_acquire=True)
        self._guard: AsyncGenerator[None, None] | None = None
        self.closed = False

    async def watch_loop(self) -> None:
        """Close with the event loop: it finishes, as it shuts down, the asynchronous generators begun in it."""
        self._guard = self._until_loop_ends()
        await anext(self._guard)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._close_pools()

    async def lease(self, patience: float) -> Lease:
        """A place in the first pool that has one; waits only while `max_connections` are in use."""
        with anyio.fail_after(patience):
            await self._places.acquire()
        try:
            pool = self._with_room()
        except BaseException:
            self._places.release()
            raise
        pool.in_flight += 1
        return Lease(pool.client, pool, self._places)

    def _with_room(self) -> _Pool:
        for pool in self._pools:
            if self._pool_size is None or pool.in_flight < self._pool_size:
                return pool
        pool = _Pool(self._make())
        self._pools.append(pool)
        return pool

    async def close(self) -> None:
        # The generator knows its loop; letting go of it lets go of the loop.
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()
        await self._close_pools()

    async def _close_pools(self) -> None:
        self.closed = True
        self._guard = None
        with anyio.CancelScope(shield=True):
            while self._pools:
                pool = self._pools.pop()
                if self._owned:
                    await pool.client.aclose()


class Pools:
    """The pools of whichever event loop is running; clients that are not `owned` are never closed."""

    def __init__(self, make: MakeClient, *, pool_size: int | None, max_connections: int, owned: bool = True) -> None:
        self._make = make
        self._pool_size = pool_size
        self._max_connections = max_connections
        self._owned = owned
        self._by_loop: WeakKeyDictionary[object, LoopPools] = WeakKeyDictionary()

    async def lease(self, patience: float) -> Lease:
        pools = self._here()
        if pools is None:
            pools = self._open()
            await pools.watch_loop()
        if pools.closed:
            raise InputError(
                "This client is closed.", advice="Make a new one, or call it before its `async with` ends."
            )
        return await pools.lease(patience)

    async def close(self) -> None:
        """Close the connections of the running loop; the client cannot be used in it again."""
        await (self._here() or self._open()).close()

    def _here(self) -> LoopPools | None:
        return self._by_loop.get(current_token().native_token)

    def _open(self) -> LoopPools:
        pools = LoopPools(self._make, self._pool_size, self._max_connections, owned=self._owned)
        self._by_loop[current_token().native_token] = pools
        return pools

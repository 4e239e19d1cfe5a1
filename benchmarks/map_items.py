"""CPU per item of `client.map`, beside the semaphore and gather that one would write by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from side_by_side import KEY, show, take_turns

from hfclient import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from side_by_side import Contender

ITEMS = 10_000
CONCURRENCY = 8
ROUNDS = 9
BASELINE = "semaphore + gather"
BOUNDS = {"client.map": 4.0}


async def at_once(item: int) -> int:
    return item


async def after_a_switch(item: int) -> int:
    await asyncio.sleep(0)
    return item


def by_hand(function: Callable[[int], Awaitable[int]]) -> Contender:
    async def run() -> None:
        room = asyncio.Semaphore(CONCURRENCY)

        async def bounded(item: int) -> int:
            async with room:
                return await function(item)

        assert len(await asyncio.gather(*map(bounded, range(ITEMS)))) == ITEMS

    return run


def mapped(client: Client, function: Callable[[int], Awaitable[int]]) -> Contender:
    async def run() -> None:
        results = [each async for each in client.map(function, range(ITEMS), concurrency=CONCURRENCY)]
        assert len(results) == ITEMS

    return run


async def main() -> None:
    async with Client(KEY) as client:
        for function in (at_once, after_a_switch):
            contenders = {BASELINE: by_hand(function), "client.map": mapped(client, function)}
            costs = await take_turns(contenders, rounds=ROUNDS, units=ITEMS)
            title = f"one of {ITEMS} items, {function.__name__.replace('_', ' ')}, {CONCURRENCY} at a time"
            show(title, costs, against=BASELINE, bounds=BOUNDS)


if __name__ == "__main__":
    asyncio.run(main())

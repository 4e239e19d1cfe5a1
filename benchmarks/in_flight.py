"""CPU per call with 200 calls in flight, against a server that takes 0.3 s to answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import httpx2
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from side_by_side import AUTHORIZATION, KEY, MESSAGES, QUESTION, serving, show, take_turns

from hfclient import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from side_by_side import Contender

IN_FLIGHT = 200
ROUNDS = 5
WAVES = 2
BASELINE = "huggingface_hub"
BOUNDS = {"hfclient": 1.0, "hfclient, aiohttp": 1 / 3}


def wave(call: Callable[[], Awaitable[object]]) -> Contender:
    async def run() -> None:
        for _ in range(WAVES):
            await asyncio.gather(*(call() for _ in range(IN_FLIGHT)))

    return run


def httpx_call(client: httpx.AsyncClient, url: str) -> Contender:
    async def call() -> None:
        reply = await client.post(f"{url}/v1/chat/completions", json=QUESTION, headers=AUTHORIZATION)
        assert reply.json()["choices"]

    return wave(call)


def hub_call(client: AsyncInferenceClient) -> Contender:
    async def call() -> None:
        assert (await client.chat_completion(messages=MESSAGES, model="m")).choices

    return wave(call)


def our_call(client: Client) -> Contender:
    async def call() -> None:
        assert (await client.chat("hi")).choices

    return wave(call)


async def wide_hub_client(url: str) -> AsyncInferenceClient:
    """A hub client that may open a connection for each call, though without hub's hooks; as it comes it opens 100."""
    limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    set_async_client_factory(lambda: httpx2.AsyncClient(limits=limits, timeout=None, follow_redirects=True))
    client = AsyncInferenceClient(base_url=f"{url}/v1", api_key=KEY)
    await client.chat_completion(messages=MESSAGES, model="m")
    return client


async def compare(url: str) -> None:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with (
        httpx.AsyncClient(timeout=10) as bare,
        httpx.AsyncClient(timeout=10, limits=limits) as wide,
        AsyncInferenceClient(base_url=f"{url}/v1", api_key=KEY) as hub,
        Client(KEY, base_url=f"{url}/v1", model="m") as ours,
        Client(KEY, base_url=f"{url}/v1", model="m", transport="aiohttp") as ours_on_aiohttp,
    ):
        await hub.chat_completion(messages=MESSAGES, model="m")
        async with await wide_hub_client(url) as wide_hub:
            contenders = {
                BASELINE: hub_call(hub),
                "huggingface_hub, 200 connections": hub_call(wide_hub),
                "httpx": httpx_call(bare, url),
                "httpx, 200 connections": httpx_call(wide, url),
                "hfclient": our_call(ours),
                "hfclient, aiohttp": our_call(ours_on_aiohttp),
            }
            costs = await take_turns(contenders, rounds=ROUNDS, units=WAVES * IN_FLIGHT)
    title = f"one of {IN_FLIGHT} chat calls in flight, answered after 0.3 s ({WAVES} waves a round)"
    show(title, costs, against=BASELINE, bounds=BOUNDS)


def main() -> None:
    with serving("--delay", "0.3") as url:
        asyncio.run(compare(url))


if __name__ == "__main__":
    main()

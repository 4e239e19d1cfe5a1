"""CPU and time of one chat call on a connection that is already open."""

from __future__ import annotations

import asyncio

import httpx
from huggingface_hub import AsyncInferenceClient
from side_by_side import AUTHORIZATION, KEY, MESSAGES, QUESTION, serving, show, take_turns

from hfclient import Client

CALLS = 200
ROUNDS = 15
BOUNDS = {"hfclient": 1.25}


async def compare(url: str) -> None:
    async with (
        httpx.AsyncClient() as bare,
        AsyncInferenceClient(base_url=f"{url}/v1", api_key=KEY) as hub,
        Client(KEY, base_url=f"{url}/v1", model="m") as ours,
        Client(KEY, base_url=f"{url}/v1", model="m", transport="aiohttp") as ours_on_aiohttp,
    ):

        async def httpx_post() -> None:
            for _ in range(CALLS):
                reply = await bare.post(f"{url}/v1/chat/completions", json=QUESTION, headers=AUTHORIZATION)
                assert reply.json()["choices"]

        async def hfclient() -> None:
            for _ in range(CALLS):
                assert (await ours.chat("hi")).choices

        async def hfclient_on_aiohttp() -> None:
            for _ in range(CALLS):
                assert (await ours_on_aiohttp.chat("hi")).choices

        async def huggingface_hub() -> None:
            for _ in range(CALLS):
                assert (await hub.chat_completion(messages=MESSAGES, model="m")).choices

        contenders = {
            "httpx post + json": httpx_post,
            "hfclient": hfclient,
            "hfclient, aiohttp": hfclient_on_aiohttp,
            "huggingface_hub": huggingface_hub,
        }
        costs = await take_turns(contenders, rounds=ROUNDS, units=CALLS)
    show(f"one warm chat call (mean of {CALLS})", costs, against="httpx post + json", bounds=BOUNDS)


def main() -> None:
    with serving() as url:
        asyncio.run(compare(url))


if __name__ == "__main__":
    main()

"""CPU per streamed chunk: hfclient beside what httpx needs for the bytes plus what pydantic needs for the values."""

from __future__ import annotations

import asyncio

import httpx
from huggingface_hub import AsyncInferenceClient
from side_by_side import AUTHORIZATION, KEY, MESSAGES, QUESTION, added, serving, show, take_turns

from hfclient import Client
from hfclient.types import ChatCompletionChunk

WORDS = 2000
ROUNDS = 9
BASELINE = "httpx aiter_raw + pydantic"
BOUNDS = {"hfclient": 1.3}
SHAPES = {
    "one event in a chunk, one chunk in a read": ["--pause", "0.0005"],
    "one event in a chunk, 40 chunks in a write": ["--pause", "0.001", "--chunks-per-write", "40"],
    "40 events in a chunk, one chunk in a write": ["--pause", "0.001", "--events-per-chunk", "40"],
}


async def compare(title: str, url: str) -> None:
    async with (
        httpx.AsyncClient() as bare,
        AsyncInferenceClient(base_url=f"{url}/v1", api_key=KEY) as hub,
        Client(KEY, base_url=f"{url}/v1", model="m") as ours,
    ):
        question = {**QUESTION, "stream": True}

        async def raw() -> bytes:
            pieces: list[bytes] = []
            target = f"{url}/v1/chat/completions"
            async with bare.stream("POST", target, json=question, headers=AUTHORIZATION) as reply:
                async for piece in reply.aiter_raw():
                    pieces.append(piece)
            return b"".join(pieces)

        frames = (await raw()).split(b"\n\n")
        payloads = [frame.removeprefix(b"data: ") for frame in frames if frame.startswith(b"data: {")]

        async def validate() -> None:
            for payload in payloads:
                ChatCompletionChunk.model_validate_json(payload)

        async def hfclient() -> None:
            async with ours.chat.stream("hi") as stream:
                seen = [chunk.text async for chunk in stream]
            assert len(seen) == len(payloads)

        async def huggingface_hub() -> None:
            answer = await hub.chat_completion(messages=MESSAGES, model="m", stream=True)
            seen = [chunk.choices[0].delta.content async for chunk in answer]
            assert len(seen) == len(payloads)

        contenders = {
            "httpx aiter_raw": raw,
            "pydantic": validate,
            "hfclient": hfclient,
            "huggingface_hub": huggingface_hub,
        }
        costs = await take_turns(contenders, rounds=ROUNDS, units=len(payloads))
    costs = {BASELINE: added(costs["httpx aiter_raw"], costs["pydantic"]), **costs}
    size = sum(map(len, payloads)) // len(payloads)
    show(f"{title} ({len(payloads)} chunks of {size} bytes)", costs, against=BASELINE, bounds=BOUNDS)


def main() -> None:
    for title, options in SHAPES.items():
        with serving("--words", str(WORDS), *options) as url:
            asyncio.run(compare(title, url))


if __name__ == "__main__":
    main()

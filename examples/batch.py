"""Ask many questions, a few at a time, and show how far along it is; one that fails does not stop the others."""

import asyncio

from hfclient import Client
from hfclient.errors import HFClientError

QUESTIONS = [f"Name a capital that begins with {letter}." for letter in "ABCDEFGHIJKL"]


async def main() -> None:
    async with Client(model="Qwen/Qwen3-32B") as client:
        replies = client.map(client.chat, QUESTIONS, concurrency=4, on_error="return")
        async for reply in replies:
            failed = isinstance(reply, HFClientError)
            print(f"{replies.done:2} of {len(QUESTIONS)}  {reply.message if failed else reply.text}")


asyncio.run(main())

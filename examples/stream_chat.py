"""Print an answer as it is written, then what it cost and who gave it."""

import asyncio

from hfclient import Client


async def main() -> None:
    async with Client(model="Qwen/Qwen3-32B") as client:
        async with client.chat.stream("Why is the sky blue?", max_tokens=500) as stream:
            async for text in stream.text():
                print(text, end="", flush=True)
        reply = await stream.final()
        print(f"\n\n{reply.usage.total_tokens} tokens from {reply.meta.provider}, request {reply.meta.request_id}")


asyncio.run(main())

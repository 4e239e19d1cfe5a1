"""Print an answer as it is written, then who gave it, and what it cost where that is told."""

import asyncio
import sys

from hfclient import Client
from hfclient.errors import MissingKeyError


async def main() -> None:
    async with Client(model="Qwen/Qwen3-32B") as client:
        async with client.chat.stream("Why is the sky blue?", max_tokens=500) as stream:
            async for text in stream.text():
                print(text, end="", flush=True)
        reply = await stream.final()
        print(f"\n\nfrom {reply.meta.provider}, request {reply.meta.request_id}")
        if reply.usage:  # not every server counts
            print(reply.usage.total_tokens, "tokens")


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))

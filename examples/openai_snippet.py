"""A snippet written for the OpenAI SDK: only the line that makes the client differs."""

import asyncio
import sys

from hfclient import Client
from hfclient.errors import MissingKeyError

client = Client()


async def main() -> None:
    completion = await client.chat.completions.create(
        model="Qwen/Qwen3-32B:fastest",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
    )
    print(completion.choices[0].message.content)

    stream = await client.chat.completions.create(
        model="Qwen/Qwen3-32B:fastest",
        messages=[{"role": "user", "content": "Count to five."}],
        stream=True,
    )
    async for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))

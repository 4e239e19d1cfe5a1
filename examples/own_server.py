"""Talk to a server of your own (vLLM, llama.cpp, TGI, an Inference Endpoint …) that speaks OpenAI's protocol."""

import asyncio
import os

from hfclient import Client
from hfclient.errors import ConnectionFailedError

URL = os.environ.get("MY_SERVER", "http://localhost:8080/v1")


async def main() -> None:
    # A token found on this machine does not go to such an address; one that belongs there is passed along with it:
    # Client.endpoint(URL, "its-own-key")
    async with Client.endpoint(URL, timeout=60) as client:
        try:
            reply = await client.chat("Why is the sky blue?", model="the-model-it-serves")
        except ConnectionFailedError as error:
            print(error)
        else:
            print(reply.text)


asyncio.run(main())

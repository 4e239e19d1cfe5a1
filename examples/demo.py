"""What hfclient does, in a few seconds: no token, no network, a scripted model answers on 127.0.0.1."""

import asyncio
import sys

from offline import pretend_hugging_face

from hfclient import Client
from hfclient.errors import TruncatedStreamError


async def show(client: Client) -> None:
    print("1. A streamed chat\n   you:   Why is the sky blue?\n   model: ", end="")
    async with client.chat.stream("Why is the sky blue?") as stream:
        async for text in stream.text():
            print(text, end="", flush=True)
    reply = await stream.final()
    print(f"\n   Its meta: {reply.meta.provider} answered request {reply.meta.request_id} in {reply.meta.seconds:.1f} s.")

    def temperature(city: str) -> str:
        """The temperature in a city."""
        return f"21.5 °C in {city}"

    print("\n2. A Python function as a tool\n   you:   How warm is it in Paris?")
    reply = await client.chat("How warm is it in Paris?", tools=[temperature])
    for call in reply.tool_calls:
        print(f"   model: please run {call.function.name}({call.function.arguments})")
        print(f"   you:   {temperature(**call.function.parse())}")

    print('\n3. A provider fails, and the next one answers: provider=["groq", "together"]')
    reply = await client.chat("Name a capital.", provider=["groq", "together"])
    for attempt in reply.meta.attempts:
        print(f"   {attempt.provider:8} {attempt.status}  {attempt.error or reply.text}")

    print("\n4. A stream breaks off, and that is an error, which keeps what had arrived")
    try:
        await client.chat.stream("Tell me a story.").final()
    except TruncatedStreamError as error:
        print(f"   {type(error).__name__}: {str(error).replace(chr(10), chr(10) + '   ')}")
        print(f"   error.partial.text: {error.partial.text!r}")


with pretend_hugging_face(pause=0.05 if sys.stdout.isatty() else 0):
    asyncio.run(show(Client(model="Qwen/Qwen3-32B")))

"""What hfclient does, in a few seconds: no token, no network, everything is answered by the sandbox in this process."""

import asyncio
import sys
import textwrap

from hfclient import Client, errors
from hfclient.sandbox import Sandbox

sandbox = Sandbox(token_latency=0.05 if sys.stdout.isatty() else 0)  # at the speed of a person's reading


def temperature(city: str) -> str:
    """Give the temperature in a city."""
    return f"21.5 °C in {city}"


async def main(client: Client) -> None:
    print("1. A streamed chat\n   you:   Why is the sky blue?", end="\n   model: ")
    async for text in (stream := client.chat.stream("Why is the sky blue?")).text():
        print(text, end="", flush=True)
    print(f"\n   (from {stream.meta.provider}, request {stream.meta.request_id}, {stream.meta.seconds:.1f} s)")
    print("\n2. A Python function as a tool\n   you:   How warm is it in Paris?")
    for call in (await client.chat("How warm is it in Paris?", tools=[temperature])).tool_calls:
        print(f"   model: please run {call.function.name}({call.function.arguments})", end="\n   you:   ")
        print(temperature(**call.function.parse()))
    print('\n3. A provider fails, and the next one answers: provider=["groq", "together"]')
    sandbox.fail(429, at="groq")
    for attempt in (await client.chat("Name a capital.", provider=["groq", "together"])).meta.attempts:
        print(f"   {attempt.provider:8} {attempt.status}  {attempt.error or 'answered'}")
    print("\n4. A stream breaks off: an error that says what to do, and keeps what had arrived")
    sandbox.fail("cut")
    try:
        await client.chat.stream("Tell me a story.").final()
    except errors.TruncatedStreamError as error:
        print(textwrap.indent(f"{error}\nerror.partial.text: {error.partial.text!r}", "   "))


asyncio.run(main(Client(model="Qwen/Qwen3-32B", sandbox=sandbox)))
print("\nNext: README.md, and the programs beside this one: HFCLIENT_SANDBOX=1 python examples/tools.py")

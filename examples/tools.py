"""Let a model call a Python function, run it, and send back what it gave."""

import asyncio
import sys

from hfclient import Client, tool, user
from hfclient.errors import MissingKeyError


def temperature(city: str) -> float:
    """Give the temperature in a city, in degrees Celsius.

    Args:
        city: The city's name in English.

    """
    return {"Paris": 21.5, "Oslo": 12.0}.get(city, 15.0)


TOOLS = {"temperature": temperature}


async def main() -> None:
    messages = [user("How warm is it in Paris?")]
    async with Client(model="Qwen/Qwen3-32B") as client:
        reply = await client.chat(messages, tools=list(TOOLS.values()))
        while reply.tool_calls:
            messages.append(reply.message)
            for call in reply.tool_calls:
                result = TOOLS[call.function.name](**call.function.parse())
                print(f"{call.function.name}({call.function.arguments}) gave {result}")
                messages.append(tool(call.id, f"{result} °C"))
            reply = await client.chat(messages, tools=list(TOOLS.values()))
    print(reply.text)


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))

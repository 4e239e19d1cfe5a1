"""Ask for an answer that fits a pydantic model."""

import asyncio
import sys

from pydantic import BaseModel

from hfclient import Client
from hfclient.errors import MissingKeyError, OutputParseError


class City(BaseModel):
    name: str
    country: str
    rivers: list[str]


async def main() -> None:
    async with Client(model="Qwen/Qwen3-32B") as client:
        try:
            reply = await client.chat.parse("Describe the capital of France.", response_format=City)
        except OutputParseError as error:
            print(f"{error}\nThe model wrote: {error.text}")
        else:
            city = reply.parsed
            print(f"{city.name} in {city.country}, with {len(city.rivers)} river(s)")


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))

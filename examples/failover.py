"""Try one provider, be patient with it, and move on to the next if that does not help."""

import asyncio

from hfclient import Client, Retry
from hfclient.errors import HFClientError

PATIENT = Retry(attempts=2, statuses={429, 500, 502, 503, 504}, longest_wait=5)


async def main() -> None:
    async with Client(provider=["groq", "together"], model="Qwen/Qwen3-32B", retry=PATIENT, deadline=60) as client:
        try:
            reply = await client.chat("Name a capital.")
        except HFClientError as error:
            print(f"Nobody answered: {error}")
        else:
            for attempt in reply.meta.attempts:
                outcome = attempt.error or "answered"
                print(f"{attempt.provider}: {attempt.status} {outcome}, waited {attempt.waited:.1f} s")
            print(reply.text)


asyncio.run(main())

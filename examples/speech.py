"""Have a text read aloud, and what was said written down again."""

import asyncio
import sys

from hfclient import Client
from hfclient.errors import MissingKeyError


async def main() -> None:
    async with Client(provider="fal-ai") as client:
        audio = await client.text_to_speech("The quick brown fox jumps over the lazy dog.", model="hexgrad/Kokoro-82M")
        audio.save("fox.wav")
        transcript = await client.automatic_speech_recognition("fox.wav", model="openai/whisper-large-v3")
        print(f"{len(audio.content):,} bytes of {audio.media_type} say: {transcript.text}")


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))

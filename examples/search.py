"""Find the note that is nearest in meaning to a question."""

import asyncio
import sys

from hfclient import Client
from hfclient.errors import MissingKeyError

NOTES = [
    "Bread: flour, water, salt, and a night of patience.",
    "The train to Lyon leaves at nine.",
    "Water the tomatoes before the sun is high.",
]


async def main(question: str) -> None:
    async with Client(provider="hf-inference", model="BAAI/bge-small-en-v1.5") as client:
        vectors = await client.feature_extraction([question, *NOTES])
    scores = vectors.cosine()[0][1:]
    for score, note in sorted(zip(scores, NOTES, strict=True), reverse=True):
        print(f"{score:.2f}  {note}")


try:
    asyncio.run(main(" ".join(sys.argv[1:]) or "When do I water the tomatoes?"))
except MissingKeyError as error:
    sys.exit(str(error))

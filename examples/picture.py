"""Make a picture from a text, and say how the work stands while it does."""

import asyncio
import sys

from hfclient import Client
from hfclient.errors import MissingKeyError


async def main() -> None:
    async with Client(provider="fal-ai", model="black-forest-labs/FLUX.1-dev") as client:
        image = await client.text_to_image(
            "an astronaut riding a horse",
            width=768,
            height=512,
            on_progress=lambda progress: print(progress.state),
            save_to="horse.png",
        )
        print(f"{image.path} holds {image.media_type} from {image.meta.provider}")


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))

"""Show a model two pictures, one from the disk (`python images.py photo.jpg`) and one from the web."""

import asyncio
import sys
from pathlib import Path

from hfclient import Client, user
from hfclient.errors import InputError

LOGO = {"type": "image_url", "image_url": {"url": "https://huggingface.co/front/assets/huggingface_logo.png"}}


async def main(picture: Path) -> None:
    async with Client(model="Qwen/Qwen2.5-VL-7B-Instruct") as client:
        reply = await client.chat([user("What do these two have in common?", picture, LOGO)])
        print(reply.text)


if not sys.argv[1:]:
    sys.exit(__doc__)
try:
    asyncio.run(main(Path(sys.argv[1])))
except InputError as error:  # no token, no such file
    sys.exit(str(error))

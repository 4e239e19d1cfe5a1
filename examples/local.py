"""Ask a model on this machine; or, with one word changed, the router: `python local.py auto Qwen/Qwen3-32B "Hi"`.

pip install "hfclient[torch]"     # or, on Apple silicon, "hfclient[mlx]"
"""

import asyncio
import sys

from hfclient import Client, Progress
from hfclient.errors import HFClientError


def tell(progress: Progress) -> None:
    """Say how far a download is, beside the answer; a model that is in the cache needs none."""
    if progress.fraction is not None:
        print(f"{progress.state} {progress.fraction:.0%}", end="\r", file=sys.stderr)


async def main(provider: str = "local", model: str = "tiny", question: str = "What is hfclient?") -> None:
    async with Client(provider=provider, model=model) as client:
        async with client.chat.stream(question, on_progress=tell) as stream:
            async for text in stream.text():
                print(text, end="", flush=True)
        reply = await stream.final()
    print(f"\n\nfrom {reply.meta.provider}, in {reply.meta.seconds:.1f} s")


try:
    asyncio.run(main(*sys.argv[1:4]))
except HFClientError as error:
    sys.exit(str(error))

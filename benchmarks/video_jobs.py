"""Two hundred films of one second at once: how long until all are here, and how many threads that took."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest.mock import patch

from huggingface_hub import AsyncInferenceClient, constants
from side_by_side import KEY, say, serving

from hfclient import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

JOBS = 200
SECONDS = 1.0
ROUNDS = 3
MODEL = "org/model"
SMALLEST = 64 * 1024
BOUND = "bound for hfclient: 2.00 s, no thread started"


@dataclass
class Threads:
    """The threads there were, and those that were started meanwhile."""

    before: int = field(default_factory=threading.active_count)
    most: int = 0
    after: int = 0
    started: int = 0

    @contextmanager
    def counted(self) -> Generator[None]:
        start = threading.Thread.start

        def counting(thread: threading.Thread) -> None:
            self.started += 1
            start(thread)

        with patch.object(threading.Thread, "start", counting):
            yield
        self.after = threading.active_count()

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, threading.active_count())
            await asyncio.sleep(0.02)


async def measure(name: str, film: Callable[[], Awaitable[bytes | None]]) -> None:
    """One film to open what is opened once, and then all of them at once."""
    assert len(await film() or b"") >= SMALLEST
    gc.collect()
    threads = Threads()
    watching = asyncio.create_task(threads.watch())
    with threads.counted():
        cpu, wall = time.process_time(), time.perf_counter()
        films = await asyncio.gather(*(film() for _ in range(JOBS)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    watching.cancel()
    assert all(len(each or b"") >= SMALLEST for each in films)
    counts = f"{threads.started:7}  {threads.before:6}  {threads.most:6}  {threads.after:5}"
    say(f"  {name:18}  {wall:6.2f}  {cpu:6.2f}  {counts}")


async def ours(transport: str) -> None:
    async with Client(KEY, provider="wavespeed", model=MODEL, transport=transport) as client:

        async def film() -> bytes | None:
            return (await client.text_to_video("a cat walks over the roofs")).content

        await measure("hfclient" if transport == "httpx" else f"hfclient, {transport}", film)


async def theirs() -> None:
    async with AsyncInferenceClient(api_key=KEY, provider="wavespeed") as client:

        async def film() -> bytes:
            return await client.text_to_video("a cat walks over the roofs", model=MODEL)

        await measure("huggingface_hub", film)


def main() -> None:
    with serving("--serve", "videos", "--delay", str(SECONDS)) as url:
        os.environ |= {"HF_ENDPOINT": url, "HFCLIENT_ROUTER": url}
        say(f"\n{JOBS} films at once, each ready {SECONDS:g} s after it was asked for ({BOUND})")
        say("                                        threads")
        say("                      wall s   CPU s  started  before  during  after")
        for _ in range(ROUNDS):
            asyncio.run(ours("httpx"))
            asyncio.run(ours("aiohttp"))
        with (
            patch.object(constants, "ENDPOINT", url),
            patch.object(constants, "INFERENCE_PROXY_TEMPLATE", f"{url}/{{provider}}"),
        ):
            asyncio.run(theirs())


if __name__ == "__main__":
    main()

"""A transport over each of the three carriers, and what a process holds open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from hfclient.transport import Transport

CARRIERS = ["httpx", "aiohttp", "given"]


@asynccontextmanager
async def transport(carrier: str = "httpx") -> AsyncIterator[Transport]:
    """One over httpx's own transport, over aiohttp's, or over a client that was given."""
    if carrier == "given":
        async with httpx.AsyncClient(trust_env=False) as client:
            made = Transport(http_client=client, max_connections=10)
            yield made
            await made.aclose()
        return
    kind: Any = carrier
    made = Transport(kind=kind, max_connections=10)
    try:
        yield made
    finally:
        await made.aclose()


def open_paths() -> list[str]:
    """The files that this process holds open; none where the system does not tell."""
    descriptors = Path("/proc/self/fd")
    found: list[str] = []
    for descriptor in descriptors.iterdir() if descriptors.exists() else ():
        try:
            found.append(str(descriptor.readlink()))
        except OSError:  # the one that the listing itself had open
            continue
    return found

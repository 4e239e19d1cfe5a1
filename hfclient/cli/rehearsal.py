"""A call that stops before it asks for anything: what it would have sent is what `--curl` prints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx

from hfclient.cli.asked import Asked
from hfclient.connections import Carrier, Carriers, Proxies
from hfclient.credentials import origin_of
from hfclient.errors import HFClientError
from hfclient.settings import Settings

if TYPE_CHECKING:
    from hfclient.client import Client


class Stopped(BaseException):
    """Carries the request out of the client; nothing that handles failures may take it for one."""

    def __init__(self, request: httpx.Request) -> None:
        self.request = request


class Rehearsal(httpx.AsyncBaseTransport):
    """Lets look-ups through, which only read, and stops at the first request that asks for work."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await self._inner.handle_async_request(request)
        await request.aread()
        raise Stopped(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Outside(httpx.AsyncBaseTransport):
    """The way to the network that clients have: its proxies, its certificates, its limits."""

    def __init__(self, settings: Settings) -> None:
        self._carriers = Carriers("httpx", None, Proxies.from_environment(), settings.network)
        self._used: list[Carrier] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._carriers.ready:
            await anyio.to_thread.run_sync(self._carriers.prepare)
        carrier = self._carriers.make(self._carriers.key(origin_of(str(request.url))))
        self._used.append(carrier)
        return await carrier.send(request)

    async def aclose(self) -> None:
        for carrier in self._used:
            await carrier.aclose()


def first_request(asked: Asked, call: Callable[[Client], Awaitable[Any]]) -> httpx.Request:
    """The first request for work that a call makes; the models it needs to know of are looked up."""
    settings = Settings.from_environment()

    async def rehearse() -> httpx.Request:
        inner, token = _inside() if asked.sandbox or settings.sandbox else (Outside(settings), None)
        async with httpx.AsyncClient(transport=Rehearsal(inner)) as http_client:
            client = replace(asked, sandbox=False).client(http_client=http_client, token=token)
            try:
                await call(client)
            except Stopped as stopped:
                return stopped.request
        raise HFClientError("This call asks for nothing that could be shown.")

    return anyio.run(rehearse)


def _inside() -> tuple[httpx.AsyncBaseTransport, str]:
    from hfclient.sandbox import TOKEN, Sandbox, SandboxTransport

    return SandboxTransport(Sandbox()), TOKEN

"""The sandbox in this process, as a transport of httpx: nothing is connected to, and nothing leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import anyio
import httpx

from hfclient import clock
from hfclient.sandbox.wire import Answer, Arrival

if TYPE_CHECKING:
    from hfclient.sandbox.sandbox import Sandbox


class SandboxTransport(httpx.AsyncBaseTransport):
    """Hands requests to a sandbox, and its answers back with the waits and the faults that are in them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._sandbox.answer(await arrival_of(request))
        patience = request.extensions.get("timeout", {}).get("read")
        if patience is not None and answer.before > patience:
            await clock.sleep(patience)
            raise httpx.ReadTimeout("The sandbox takes its time.", request=request)
        if answer.before:
            await clock.sleep(answer.before)
        if answer.ending == "reset" and not answer.pieces:
            raise httpx.ReadError("The sandbox hung up.", request=request)
        return httpx.Response(answer.status, headers=dict(answer.headers), stream=Pieces(answer, request))


async def arrival_of(request: httpx.Request) -> Arrival:
    """A request of httpx as the sandbox takes it."""
    return Arrival(
        request.method,
        request.url.netloc.decode("ascii"),
        request.url.path,
        dict(request.url.params),
        {name.lower(): value for name, value in request.headers.items()},
        await request.aread(),
    )


class Pieces(httpx.AsyncByteStream):
    """The body of an answer, piece by piece, and the end that it comes to."""

    def __init__(self, answer: Answer, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer, request = self._answer, self._request
        for piece in answer.pieces:
            yield piece
            if answer.between:
                await self._pause(answer.between)
        match answer.ending:
            case "cut":
                raise httpx.RemoteProtocolError("The sandbox closed before the body had ended.", request=request)
            case "reset":
                raise httpx.ReadError("The sandbox hung up.", request=request)
            case "stall":
                await self._pause(float("inf"))
            case "proper":
                pass

    async def _pause(self, seconds: float) -> None:
        patience: float | None = self._request.extensions.get("timeout", {}).get("read")
        if patience is not None and seconds > patience:
            await clock.sleep(patience)
            raise httpx.ReadTimeout("The sandbox says nothing more.", request=self._request)
        if seconds == float("inf"):
            await anyio.sleep_forever()
        await clock.sleep(seconds)

"""The sandbox over real sockets, for programs in any language: an ASGI application, and uvicorn to serve it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import anyio

from hfclient import clock
from hfclient.extras import extra
from hfclient.providers.table import PROVIDERS
from hfclient.sandbox.wire import Answer, Arrival

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from hfclient.sandbox.sandbox import Sandbox

Reset: TypeAlias = "Callable[[Request], None]"

NEEDED_BY = "The sandbox over sockets"
EXTRA = '"hfclient[sandbox]"'
EVERY_METHOD = ["GET", "POST", "PUT", "DELETE"]
WHILE_LEAVING = 1  # seconds for answers that are under way when the server is to end
AT_ONCE = struct.pack("ii", 1, 0)  # a linger of nothing makes closing a connection a TCP reset

# hf-inference has no host besides the router's.
_OWN = [provider for provider in PROVIDERS if provider.name != "hf-inference"]
_HOSTS = {provider.name: urlsplit(provider.url).netloc for provider in _OWN}
_NAMES = {url: each.name for each in _OWN for url in (each.url, *(task.url for task in each.tasks.values())) if url}


class CutOffError(ConnectionError):
    """Raised within an answer to end its connection before the answer has ended."""


def application(sandbox: Sandbox, reset: Reset | None = None) -> Starlette:
    """The sandbox as an ASGI application, all of it on one host: `/api` is the Hub, `/v1` the router, `/groq` groq.

    `reset` breaks a request's connection as a network does; without it, the connection is only closed.
    """
    applications = extra("starlette.applications", EXTRA, needed_by=NEEDED_BY)
    routing = extra("starlette.routing", EXTRA, needed_by=NEEDED_BY)

    async def serve(request: Request) -> Response:
        arrival = await _arrival(request)
        answer = sandbox.answer(arrival)
        await clock.sleep(answer.before)
        if answer.ending == "reset":
            if reset is not None:
                reset(request)
            raise CutOffError
        return _response(answer, arrival.origin)

    app: Starlette = applications.Starlette(routes=[routing.Route("/{path:path}", serve, methods=EVERY_METHOD)])
    return app


async def _arrival(request: Request) -> Arrival:
    """The request, as it would have come to the provider's own host where its path begins with a provider."""
    first, _, rest = request.url.path.lstrip("/").partition("/")
    host = _HOSTS.get(first)
    return Arrival(
        request.method,
        host or request.url.netloc,
        f"/{rest}" if host else request.url.path,
        dict(request.query_params),
        {name.lower(): value for name, value in request.headers.items()},
        await request.body(),
        origin=f"{request.url.scheme}://{request.url.netloc}",
    )


def _response(answer: Answer, origin: str) -> Response:
    responses = extra("starlette.responses", EXTRA, needed_by=NEEDED_BY)
    headers = dict(answer.headers)
    if answer.ending == "proper" and not answer.between:
        plain: Response = responses.Response(_at_home(answer, origin), answer.status, headers)
        return plain
    streamed: Response = responses.StreamingResponse(_pieces(answer), answer.status, headers)
    return streamed


def _at_home(answer: Answer, origin: str) -> bytes:
    """The body; the addresses in it at which jobs are asked about lead back here, and not into the network."""
    body = answer.body
    if answer.headers.get("content-type", "").startswith("application/json"):
        for url, name in _NAMES.items():
            body = body.replace(f"{url}/".encode(), f"{origin}/{name}/".encode())
    return body


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    for piece in answer.pieces:
        yield piece
        if answer.between:
            await clock.sleep(answer.between)
    if answer.ending == "stall":
        await anyio.sleep_forever()
    if answer.ending != "proper":
        raise CutOffError


def serve(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the address once connections are taken there. Port 0 is any free one."""
    uvicorn = extra("uvicorn", EXTRA, needed_by=NEEDED_BY)
    live: dict[Any, asyncio.Transport] = {}

    def reset(request: Request) -> None:
        transport = live[request.client]
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        transport.abort()

    config = uvicorn.Config(
        application(sandbox, reset),
        http=_protocol(live),
        ws="none",
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=WHILE_LEAVING,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=2048) as listener:
        ready(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])


def _protocol(live: dict[Any, asyncio.Transport]) -> type:
    """Uvicorn's own, which notes the connections that are open, by who is at their other end."""
    h11 = extra("uvicorn.protocols.http.h11_impl", EXTRA, needed_by=NEEDED_BY)

    class Noting(h11.H11Protocol):  # type: ignore[misc,name-defined]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)  # pyright: ignore[reportUnknownMemberType]
            live[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            live.pop(self.client, None)
            super().connection_lost(exc)  # pyright: ignore[reportUnknownMemberType]

    return Noting

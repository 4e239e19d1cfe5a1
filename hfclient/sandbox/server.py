"""The sandbox over real sockets, for programs in any language: an ASGI application, and uvicorn to serve it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import anyio

from hfclient import clock
from hfclient.extras import extra
from hfclient.sandbox.wire import Answer, Arrival

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from hfclient.sandbox.sandbox import Sandbox

NEEDED_BY = "The sandbox over sockets"
EVERY_METHOD = ["GET", "POST", "PUT", "DELETE"]


class CutOffError(ConnectionError):
    """Raised within an answer to end its connection before the answer has ended."""


def application(sandbox: Sandbox) -> Starlette:
    """The sandbox as an ASGI application, all of it on one host: `/api` is the Hub, `/v1` the router, `/groq` groq."""
    applications = extra("starlette.applications", "hfclient[sandbox]", needed_by=NEEDED_BY)
    routing = extra("starlette.routing", "hfclient[sandbox]", needed_by=NEEDED_BY)

    async def serve(request: Request) -> Response:
        answer = sandbox.answer(await _arrival(request))
        await clock.sleep(answer.before)
        return _response(answer)

    app: Starlette = applications.Starlette(routes=[routing.Route("/{path:path}", serve, methods=EVERY_METHOD)])
    return app


async def _arrival(request: Request) -> Arrival:
    return Arrival(
        request.method,
        request.url.netloc,
        request.url.path,
        dict(request.query_params),
        {name.lower(): value for name, value in request.headers.items()},
        await request.body(),
        origin=f"{request.url.scheme}://{request.url.netloc}",
    )


def _response(answer: Answer) -> Response:
    responses = extra("starlette.responses", "hfclient[sandbox]", needed_by=NEEDED_BY)
    headers = dict(answer.headers)
    if answer.ending == "proper" and not answer.between:
        plain: Response = responses.Response(answer.body, answer.status, headers)
        return plain
    streamed: Response = responses.StreamingResponse(_pieces(answer), answer.status, headers)
    return streamed


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    for piece in answer.pieces:
        yield piece
        if answer.between:
            await clock.sleep(answer.between)
    match answer.ending:
        case "cut" | "reset":
            raise CutOffError
        case "stall":
            await anyio.sleep_forever()
        case "proper":
            pass


def serve(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the address once connections are taken there. Port 0 is any free one."""
    uvicorn = extra("uvicorn", "hfclient[sandbox]", needed_by=NEEDED_BY)
    listener = socket.create_server((host, port), backlog=2048)
    config = uvicorn.Config(application(sandbox), log_level="critical", lifespan="off")
    ready(f"http://{host}:{listener.getsockname()[1]}")
    with listener:
        uvicorn.Server(config).run(sockets=[listener])

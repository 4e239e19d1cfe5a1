"""`--curl`: the exact request that would be sent, with the name of a variable where the key would stand."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import click
import httpx

from hfclient.cli.running import Asked, run
from hfclient.client import Client
from hfclient.providers.table import PROVIDERS
from hfclient.sandbox import TOKEN, Sandbox, SandboxTransport

KEY_HEADERS = {"authorization", "x-key"}
LEFT_OUT = {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
LONGEST_BODY = 100_000


class Captured(BaseException):
    """Carries the request out of the client before it is sent."""

    def __init__(self, request: httpx.Request) -> None:
        self.request = request


class Capturing(httpx.AsyncBaseTransport):
    """Lets look-ups pass, which only read, and stops at the first request that asks for work."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await self._inner.handle_async_request(request)
        await request.aread()
        raise Captured(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def show_request(asked: Asked, ask: Callable[[Client], Awaitable[Any]]) -> None:
    """Print what `ask` would send."""

    async def capture() -> httpx.Request:
        transport = Capturing(SandboxTransport(Sandbox()) if asked.sandbox else httpx.AsyncHTTPTransport())
        async with httpx.AsyncClient(transport=transport) as http_client:
            try:
                await ask(replace(asked, sandbox=False).client(http_client=http_client, **_pretended(asked)))
            except Captured as captured:
                return captured.request
        raise click.ClickException("This asks for nothing that could be shown.")

    click.echo(as_curl(run(capture)))


def _pretended(asked: Asked) -> dict[str, Any]:
    return {"token": TOKEN} if asked.sandbox else {}


def as_curl(request: httpx.Request) -> str:
    """The request as a command for a shell."""
    parts = [f"curl {shlex.quote(str(request.url))}"]
    for name, value in request.headers.items():
        if name in KEY_HEADERS:
            parts.append(f'-H "{name}: {_with_variable(value, request.url.host)}"')
        elif name not in LEFT_OUT:
            parts.append(f"-H {shlex.quote(f'{name}: {value}')}")
    body = request.content
    if body and request.headers.get("content-type", "").startswith("application/json") and len(body) < LONGEST_BODY:
        parts.append(f"-d {shlex.quote(body.decode())}")
    elif body:
        parts.append("--data-binary @FILE")
    return " \\\n  ".join(parts)


def _with_variable(value: str, host: str) -> str:
    scheme, _, key = value.rpartition(" ")
    names = ["HF_TOKEN"] if key.startswith("hf_") else _variables_for(host)
    return f"{scheme} ${names[0] if names else 'KEY'}".lstrip()


def _variables_for(host: str) -> list[str]:
    return [name for provider in PROVIDERS if host and host in provider.url for name in provider.variables]

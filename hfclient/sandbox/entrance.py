"""How a client gets into a sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from hfclient.errors import InputError
from hfclient.sandbox.sandbox import TOKEN, Sandbox, in_use
from hfclient.sandbox.transport import SandboxTransport
from hfclient.settings import HUB_URL, ROUTER_URL, Settings


def enter(
    asked: Any, settings: Settings, token: str | None, http_client: httpx.AsyncClient | None, transport: str | None
) -> tuple[Settings, str | None, httpx.AsyncClient | None]:
    """What leads every request inside: the addresses a sandbox knows, a token that opens nothing, its transport.

    `asked` is the client's own `sandbox=`; None leaves it to the one that every client goes into just now, if any.
    """
    if not isinstance(asked, bool | Sandbox | None):
        raise InputError(f"sandbox={asked!r} is no sandbox.", advice="Pass True, or Sandbox(…).")
    sandbox = asked if isinstance(asked, Sandbox) else Sandbox() if asked or settings.sandbox else None
    if asked is None:
        sandbox = in_use() or sandbox
    if sandbox is None:
        return settings, token, http_client
    if http_client or transport:
        raise InputError("A sandbox has connections of its own.", advice="Leave out http_client= and transport=.")
    settings = replace(settings, hub_url=HUB_URL, router_url=ROUTER_URL, sandbox=True)
    return settings, token or TOKEN, httpx.AsyncClient(transport=SandboxTransport(sandbox))

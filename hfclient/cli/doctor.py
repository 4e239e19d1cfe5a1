"""`hfclient doctor`: what is configured, installed and reachable here."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import dataclass

import anyio.to_thread
import httpx

from hfclient.errors import HFClientError
from hfclient.providers.table import PROVIDERS
from hfclient.settings import Settings, saved_token
from hfclient.version import __version__

PATIENCE = 5.0
EXTRAS = {
    "aiohttp": ("httpx_aiohttp", "Client(transport='aiohttp')"),
    "sandbox": ("uvicorn", "hfclient sandbox"),
    "cli": ("rich", "progress bars"),
}
BESIDE = {"numpy": "vectors and sounds as arrays", "PIL": "pictures as PIL images", "opentelemetry.sdk": "traces"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, what was found of it, and whether it is as it should be; None where either way is well."""

    what: str
    found: str
    well: bool | None = None


async def examine(*, sandbox: bool = False) -> list[Finding]:
    """Everything, in the order in which one would look."""
    findings = [Finding("hfclient", f"{__version__}, on Python {platform.python_version()}")]
    try:
        settings = Settings.from_environment()
    except HFClientError as error:
        return [*findings, Finding("environment", str(error).replace("\n", " "), well=False)]
    findings += await _keys(settings)
    if not sandbox:
        findings += [await _reached("the Hub", settings.hub_url), await _reached("the router", settings.router_url)]
    return [*findings, *_installed()]


async def _keys(settings: Settings) -> list[Finding]:
    """Which keys there are and where each would go, by the names of the variables alone."""
    try:
        token = await anyio.to_thread.run_sync(saved_token)
    except HFClientError as error:
        return [Finding("Hugging Face token", str(error).replace("\n", " "), well=False)]
    place = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the login kept on this machine"
    where = f"goes to {settings.hub_url} and {settings.router_url}"
    found = [
        Finding("Hugging Face token", f"from {place}; {where}", well=True)
        if token
        else Finding("Hugging Face token", 'none: run "hf auth login", or set HF_TOKEN', well=False)
    ]
    for provider in PROVIDERS:
        for name in provider.variables:
            if os.environ.get(name, "").strip():
                used = "not used while there is a token" if token and provider.routed else f"goes to {provider.url}"
                found.append(Finding(name, f"a key of {provider.name}; {used}"))
    return found


async def _reached(what: str, url: str) -> Finding:
    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.get(f"{url}/api/models?limit=1" if what == "the Hub" else f"{url}/v1/models")
    except httpx.HTTPError as error:
        return Finding(what, f"{url} cannot be reached: {type(error).__name__}", well=False)
    return Finding(what, f"{url} answers {answer.status_code}", well=answer.status_code < 500)  # noqa: PLR2004  5xx


def _installed() -> list[Finding]:
    found: list[Finding] = []
    for extra, (module, use) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        found.append(
            Finding(f"extra {extra}", f"installed ({use})" if there else f'pip install "hfclient[{extra}]" for {use}')
        )
    for module, use in BESIDE.items():
        top = module.partition(".")[0]
        there = importlib.util.find_spec(top) is not None and importlib.util.find_spec(module) is not None
        found.append(Finding(module, f"{'installed' if there else 'not installed'} ({use})"))
    return found

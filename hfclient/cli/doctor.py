"""`hfclient doctor`: what is set up, reachable and installed here, and which key would go where."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from hfclient.cli.asked import Asked
from hfclient.cli.wording import at_the_command_line
from hfclient.errors import HFClientError
from hfclient.local import LOCAL
from hfclient.local.checkpoint import SAFETENSORS
from hfclient.local.models import TINY, TINY_FOLDER
from hfclient.registry import Registry
from hfclient.settings import Settings, saved_token
from hfclient.version import __version__

if TYPE_CHECKING:
    from hfclient.client import Client

PATIENCE = 10.0
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
EXTRAS = {
    "aiohttp": ("httpx_aiohttp", "another carrier, for very many calls at once"),
    "cli": ("rich", "progress bars"),
    "sandbox": ("uvicorn", "hfclient sandbox"),
}
ENGINES = {"torch": ("torch", "transformers"), "mlx": ("mlx", "mlx-lm")}
BESIDE = {"numpy": "vectors and sound as arrays", "PIL": "pictures as PIL images", "opentelemetry.sdk": "traces"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, what was found of it, and whether it is as it should be; None where either way is well."""

    what: str
    found: str
    well: bool | None = None


def examine(asked: Asked) -> list[Finding]:
    """Everything, in the order in which one would look."""
    findings = [Finding("hfclient", f"{__version__}, on Python {platform.python_version()}", well=True)]
    try:
        settings = Settings.from_environment()
        findings += _keys(settings, needed=not (asked.sandbox or settings.sandbox))
    except HFClientError as error:
        return [*findings, _wrong("environment", error)]
    if asked.sandbox or settings.sandbox:
        findings.append(
            Finding("the sandbox", "answers every call here; no token is needed, nothing is sent", well=True)
        )
    else:
        findings += asked.run(lambda client: _reached(client, settings))
    return [*findings, *_installed(), *_of_this_machine()]


def _keys(settings: Settings, *, needed: bool) -> Iterator[Finding]:
    """Which keys there are, by the names of their variables, and where each would go."""
    token = saved_token()
    if token:
        place = next((name for name in TOKEN_VARIABLES if os.environ.get(name)), "the login kept on this machine")
        yield Finding("Hugging Face token", f"from {place}; goes to {settings.hub_url} and {settings.router_url}", True)
    else:
        yield Finding("Hugging Face token", 'none: run "hf auth login", or set HF_TOKEN', False if needed else None)
    registry = Registry()
    for provider in filter(None, map(registry.find, registry.names())):
        for name in provider.variables:
            if os.environ.get(name, "").strip():
                used = "rests: the token goes before it" if token and provider.routed else f"goes to {provider.url}"
                yield Finding(name, f"a key of {provider.name}; {used}")


async def _reached(client: Client, settings: Settings) -> list[Finding]:
    """Whether the Hub and the router answer, and take the token, if there is one."""
    findings: list[Finding] = []
    places = {"the Hub": (settings.hub_url, "text-to-image"), "the router": (settings.router_url, "chat")}
    for what, (url, task) in places.items():
        try:
            await client.models.list(task, limit=1)
        except HFClientError as error:
            findings.append(_wrong(what, error))
        else:
            findings.append(Finding(what, f"{url} answers", well=True))
    return findings


def _wrong(what: str, error: HFClientError) -> Finding:
    said = str(error).removesuffix(f"\n{error.advice}")
    return Finding(what, f"{said}. {at_the_command_line(error.advice)}".replace("..", "."), well=False)


def _installed() -> Iterator[Finding]:
    for extra, (module, use) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield Finding(
            f"extra {extra}", f"installed, for {use}" if there else f'pip install "hfclient[{extra}]" for {use}'
        )
    for module, use in BESIDE.items():
        yield Finding(module, f"{'installed' if _is_there(module) else 'not installed'}, for {use}")


def _of_this_machine() -> Iterator[Finding]:
    """What can run models here, and the one that is there in any case."""
    for engine, packages in ENGINES.items():
        try:
            found = " with ".join(f"{package} {version(package)}" for package in packages)
        except PackageNotFoundError:
            found = f'pip install "hfclient[{engine}]" for models on this machine'
        else:
            found += f", for models on this machine: --provider {LOCAL.name}"
        yield Finding(f"engine {engine}", found)
    weights = TINY_FOLDER / SAFETENSORS[0]
    if weights.is_file():
        yield Finding(
            TINY, f"in the box, {weights.stat().st_size / 10**6:.1f} MB: the model that {LOCAL.name} asks first"
        )
    else:
        yield Finding(TINY, f"{weights} is missing: install hfclient anew", well=False)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False

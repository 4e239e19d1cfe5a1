"""What the environment says, read in one place."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from hfclient.credentials import checked_base_url, checked_key
from hfclient.errors import InputError
from hfclient.redact import Secret

HUB_URL = "https://huggingface.co"
ROUTER_URL = "https://router.huggingface.co"

TransportKind = Literal["httpx", "aiohttp"]
Semconv = Literal["2026-10", "1.41"]
TRANSPORTS = ("httpx", "aiohttp")
Network = Literal["any", "loopback"]
SEMCONVS = ("2026-10", "1.41")
NETWORKS = ("any", "loopback")

logger = logging.getLogger("hfclient")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the Hub and the router are, and how this process wants to be served."""

    hub_url: str = HUB_URL
    router_url: str = ROUTER_URL
    transport: TransportKind = "httpx"
    semconv: Semconv = "2026-10"
    network: Network = "any"
    sandbox: bool = False

    @classmethod
    def from_environment(cls) -> Settings:
        """`HF_ENDPOINT` and the variables whose names begin with `HFCLIENT_`."""
        follow_log_variable(os.environ.get("HFCLIENT_LOG"))
        return cls(
            hub_url=checked_base_url(os.environ.get("HF_ENDPOINT") or HUB_URL, "HF_ENDPOINT").rstrip("/"),
            router_url=checked_base_url(os.environ.get("HFCLIENT_ROUTER") or ROUTER_URL, "HFCLIENT_ROUTER").rstrip("/"),
            transport=cast("TransportKind", _choice("HFCLIENT_TRANSPORT", TRANSPORTS)),
            semconv=cast("Semconv", _choice("HFCLIENT_SEMCONV", SEMCONVS)),
            network=cast("Network", _choice("HFCLIENT_NETWORK", NETWORKS)),
            sandbox=_choice("HFCLIENT_SANDBOX", ("0", "1")) == "1",
        )

    @property
    def may_reach_the_hub(self) -> bool:
        """Whether a file may be fetched from there, by other means than our connections, which know by themselves."""
        return self.network == "any" and not self.sandbox


def _choice(variable: str, choices: tuple[str, ...]) -> str:
    return one_of(variable, os.environ.get(variable), choices)


def one_of(name: str, value: str | None, choices: tuple[str, ...]) -> str:
    """The value if it is one of the choices, the first of them if there is none."""
    if value and value not in choices:
        raise InputError(f"{name}={value!r} is not one of {', '.join(map(repr, choices))}.")
    return value or choices[0]


def saved_token() -> Secret | None:
    """HF_TOKEN, or the login huggingface_hub keeps. May read files and ask the network: call it off the event loop."""
    from huggingface_hub import get_token  # noqa: PLC0415  costs an import only where no token was given

    try:
        token = get_token()
    except OSError as error:
        logger.warning("The login kept on this machine could not be read: %s", error.strerror)
        return None
    return checked_key(token, "The saved login, or HF_TOKEN,") if token else None


def key_in_environment(variables: Iterable[str]) -> Secret | None:
    """The first of these variables that holds something."""
    for name in variables:
        if value := os.environ.get(name, "").strip():
            return checked_key(value, name)
    return None


def follow_log_variable(level: str | None) -> None:
    """`HFCLIENT_LOG=debug` shows every request, without its secrets, on standard error."""
    if not level:
        return
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise InputError(f"HFCLIENT_LOG={level!r} is no log level.", advice="Use debug, info, warning or error.")
    logger.setLevel(number)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)

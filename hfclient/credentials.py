"""Keys, and the one place each of them may go.

A key belongs to origins (scheme, host and port). The transport asks `Key.covers` before every request and every
redirect; whatever the URL, a key never leaves its own origins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from hfclient.errors import InputError
from hfclient.redact import Secret

DEFAULT_PORTS = {"http": 80, "https": 443}
HUGGING_FACE_HOSTS = ("huggingface.co", "endpoints.huggingface.cloud")
_HOST = re.compile(r"[\w.:-]+")


@lru_cache(maxsize=256)
def origin_of(url: str) -> str:
    """Scheme, host and port, always spelt the same way."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port: int | None = -1
    with suppress(ValueError):
        port = parts.port or DEFAULT_PORTS.get(scheme)
    if port == -1:  # raised out here, because the ValueError holds what stands there, which may be a key
        raise InputError(f"The address has no valid port: {scheme}://{parts.hostname or ''}")
    return f"{scheme}://{(parts.hostname or '').lower()}:{port}"


def is_http(url: str) -> bool:
    """Whether this is a whole http(s) address."""
    try:
        parts = urlsplit(url if url.isprintable() else "")
    except ValueError:
        return False
    # A host that others might read differently, `evil.com\\.huggingface.co` for one, could take a key astray.
    return parts.scheme in DEFAULT_PORTS and bool(_HOST.fullmatch(parts.hostname or ""))


def checked_base_url(url: str, name: str = "base_url") -> str:
    """A `base_url` that can be called and hides no password."""
    url = url.strip()
    if not is_http(url):
        raise InputError(
            f"{name} must be a whole address.", advice='For example "http://localhost:8080/v1" or "https://host/v1".'
        )
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InputError(
            f"{name} holds a user name or password ({parts.hostname}).",
            advice="Pass the key as token=…, so that it can be kept out of logs and errors.",
        )
    origin_of(url)
    return url


def is_hugging_face(url: str) -> bool:
    """Whether this is the Hub, the router or an Inference Endpoint, over https."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return parts.scheme == "https" and (
        host == HUGGING_FACE_HOSTS[0] or host.endswith(tuple(f".{name}" for name in HUGGING_FACE_HOSTS))
    )


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, the header it travels in, and the origins it may be sent to."""

    secret: Secret
    origins: frozenset[str] = frozenset()
    hugging_face: bool = False
    scheme: str = "Bearer"
    header_name: str = "authorization"

    def covers(self, url: str) -> bool:
        return (self.hugging_face and is_hugging_face(url)) or origin_of(url) in self.origins

    def header(self) -> dict[str, str]:
        return {self.header_name: f"{self.scheme} {self.secret.reveal()}".lstrip()}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys one client was given; `paired` is the origin of the `base_url` that came with the token."""

    token: Secret | None = None
    owner: str | None = None
    paired: str | None = None
    by_provider: Mapping[str, Secret] = field(default_factory=dict[str, Secret])

    @classmethod
    def given(cls, token: str | None, *, provider: str | None, base_url: str | None, keys: Mapping[str, str]) -> Keys:
        """What `Client(...)` was told; a token that is not Hugging Face's must say whose it is."""
        paired = origin_of(base_url) if base_url else None
        by_provider = _secrets(keys)
        if token is None:
            return cls(paired=paired, by_provider=by_provider)
        secret = checked_key(token, "token")
        if secret.reveal().startswith("hf_"):
            owner = "hugging-face"
        elif paired:
            owner = None
        elif provider and provider != "auto":
            owner = provider
        else:
            raise InputError(
                "This token is not a Hugging Face token (hf_…), and nothing says which provider it belongs to.",
                advice='Name it: Client(token, provider="groq"), or Client(keys={"groq": …}).',
            )
        return cls(secret, owner, paired, by_provider)

    def changed(self, options: Mapping[str, Any], *, provider: str | None, base_url: str | None) -> Keys:
        """The keys of a copy: a new token is bound anew, an old one stays with what it was given for."""
        more = options.get("keys")
        by_provider = {**self.by_provider, **_secrets({} if more is None else more)}
        if "token" not in options:
            return replace(self, by_provider=by_provider)
        return replace(
            Keys.given(options["token"], provider=provider, base_url=base_url, keys={}), by_provider=by_provider
        )

    def secrets(self) -> list[Secret]:
        return [*([self.token] if self.token else []), *self.by_provider.values()]

    @property
    def hugging_face(self) -> Secret | None:
        return self.token if self.owner == "hugging-face" else None

    def of_provider(self, name: str) -> Secret | None:
        """The key given for this provider by hand."""
        return self.by_provider.get(name) or (self.token if self.owner == name else None)


def _secrets(keys: Mapping[str, str]) -> dict[str, Secret]:
    if not isinstance(keys, Mapping):
        raise InputError("keys must be a mapping of provider to key.", advice='For example keys={"groq": "gsk_…"}.')
    return {name: checked_key(key, f"keys[{name!r}]") for name, key in keys.items()}


def checked_key(value: object, where: str) -> Secret:
    """A key that can travel in a header; the error says where it was, never what."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where} must be a key, not {type(value).__name__} or an empty text.")
    key = value.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{where} has characters that no key has.", advice="Was more than the key pasted?")
    return Secret(key)

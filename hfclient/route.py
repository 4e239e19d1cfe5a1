"""Where one call goes: the provider, its id for the model, the address and the key for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from hfclient.credentials import Key
from hfclient.provider import Provider, Task

_VERSION = re.compile(r"v\d+[a-z]*\d*")


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one provider; `extras` is what the Hub's mapping says beyond id and status, LoRA weights for one.

    `custom` says that the caller gave the address, `routed` that it is Hugging Face's router.
    """

    provider: Provider
    task: Task
    model_id: str | None
    base_url: str = field(repr=False)  # in its query there may be a key
    key: Key | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    extras: Mapping[str, Any] = field(default_factory=dict[str, Any])
    custom: bool = False
    routed: bool = False
    ailing: bool = False

    def url_of(self, path: str) -> str:
        """The whole address of a path; where the caller gave `base_url`, in whichever form it was given."""
        return joined(self.base_url, path) if self.custom else self.base_url + path


def names_a_version(base_url: str) -> bool:
    """Whether the address leads to a versioned API, as `http://localhost:8080/v1` does."""
    return any(_VERSION.fullmatch(segment) for segment in urlsplit(base_url).path.split("/"))


def joined(base_url: str, path: str) -> str:
    """A path put under an address that may already hold its beginning, or all of it.

    `https://host`, `https://host/v1/` and `https://host/v1/chat/completions` all lead to the same place, and a query
    string stays at the end.
    """
    parts = urlsplit(base_url)
    there = [segment for segment in parts.path.split("/") if segment]
    wanted = [segment for segment in path.split("/") if segment]
    return urlunsplit((parts.scheme, parts.netloc, "/" + "/".join(_merged(there, wanted)), parts.query, ""))


def _merged(there: list[str], wanted: list[str]) -> list[str]:
    for shared in range(min(len(there), len(wanted)), 0, -1):
        if there[-shared:] == wanted[:shared]:
            return there + wanted[shared:]
    version = next((place for place, segment in enumerate(wanted) if _VERSION.fullmatch(segment)), None)
    if version is None:
        return there + wanted
    rest = wanted[version + 1 :]
    if rest and there[-len(rest) :] == rest:
        return there
    return there + (rest if any(map(_VERSION.fullmatch, there)) else wanted)

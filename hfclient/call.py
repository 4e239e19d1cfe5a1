"""One inference request as data: what is asked, and how."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from typing_extensions import TypedDict

from hfclient.errors import InputError
from hfclient.errors import function_for as function_for  # noqa: PLC0414  likewise
from hfclient.errors import spoken as spoken  # noqa: PLC0414  whoever speaks of a call finds it here
from hfclient.retry import Retry

if TYPE_CHECKING:
    import httpx

    from hfclient.flow import Progress

MAX_DOWNLOAD_BYTES = 512 * 2**20

ProviderChoice: TypeAlias = str | Sequence[str]
TimeoutChoice: TypeAlias = "float | Timeout | httpx.Timeout | None"


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long to wait, in seconds, for each part of a request; `math.inf` waits for ever.

    `read` is the longest silence while waiting for an answer, `idle` the longest silence within a stream, `pool` the
    longest wait for a free connection once `max_connections` are in use.
    """

    connect: float = 10.0
    read: float = 120.0
    write: float = 120.0
    pool: float = 120.0
    idle: float = 120.0

    def __post_init__(self) -> None:
        for part in fields(self):
            _checked_seconds(f"Timeout.{part.name}", getattr(self, part.name))

    @classmethod
    def of(cls, value: TimeoutChoice) -> Timeout:
        """A bare number bounds every silence; it can shorten the wait for a connection but not lengthen it."""
        if value is None:
            return DEFAULT_TIMEOUT
        if isinstance(value, Timeout):
            return value
        if all(hasattr(value, part) for part in _HTTPX_PARTS):  # httpx's own, in which None means no limit
            parts = {part: getattr(value, part) for part in _HTTPX_PARTS}
            limits = {part: math.inf if seconds is None else seconds for part, seconds in parts.items()}
            return cls(**limits, idle=limits["read"])
        seconds = _checked_seconds("timeout", value)
        return cls(min(DEFAULT_TIMEOUT.connect, seconds), seconds, seconds, seconds, seconds)


_HTTPX_PARTS = ("connect", "read", "write", "pool")


def _checked_seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value <= 0:
        raise InputError(
            f"{name}={value!r} is not a number of seconds above 0.",
            advice="Pass seconds, or Timeout(connect=…, read=…, idle=…); math.inf waits for ever.",
        )
    return float(value)


DEFAULT_TIMEOUT = Timeout()


class Options(TypedDict, total=False):
    """What every call takes, whatever its task. A value given here wins over the client's default."""

    provider: ProviderChoice | None
    bill_to: str | None
    base_url: str | None
    timeout: TimeoutChoice
    deadline: float | None
    retry: bool | int | Retry | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, str | float] | None
    extra_body: Mapping[str, Any] | None
    on_progress: Callable[[Progress], None] | None


class FileOptions(Options, total=False):
    """What a call takes besides whose result is a file: where to put it, and how large it may be."""

    save_to: str | os.PathLike[str] | None
    max_download_bytes: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """One inference request: the task, what goes in, and the options, the client's defaults already applied.

    `raw` asks for the task in the provider's own words: there is no function for it here.
    """

    task: str
    inputs: Any
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stream: bool = False
    providers: tuple[str, ...] = ("auto",)
    bill_to: str | None = None
    base_url: str | None = field(default=None, repr=False)  # in its query there may be a key, as in headers and query
    timeout: Timeout = DEFAULT_TIMEOUT
    deadline: float | None = None
    retry: Retry = Retry()  # noqa: RUF009  frozen
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on_progress: Callable[[Progress], None] | None = None
    save_to: Path | None = None
    max_download_bytes: int = MAX_DOWNLOAD_BYTES
    raw: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters with `extra_body` over them: all that the provider is told besides the inputs."""
        return merged(self.parameters, self.body)


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra_body` over the body, objects merged key by key, everything else replaced."""
    result = dict(body)
    for name, value in extra.items():
        before = result.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = merged(cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", value))  # noqa: PLW2901
        result[name] = value
    return result


# What other libraries call our options.
_ALIASES = {
    **dict.fromkeys(("api_key", "key", "hf_token", "access_token", "auth_token", "bearer_token"), "token"),
    **dict.fromkeys(("max_retries", "retries", "num_retries", "retry_attempts"), "retry"),
    **dict.fromkeys(("request_timeout", "read_timeout", "timeout_s", "timeout_seconds"), "timeout"),
    **dict.fromkeys(("api_base", "url", "endpoint", "endpoint_url", "host"), "base_url"),
    **dict.fromkeys(("organization", "org", "organisation"), "bill_to"),
    **dict.fromkeys(("default_headers", "extra_headers"), "headers"),
    "headers": "extra_headers",
    "model_id": "model",
    "providers": "provider",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "response_model": "response_format",
}

_NEAR = 0.6


def whole(name: str, value: Any) -> int:
    """The value, which has to be a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}={value!r} is not a whole number above 0.")
    return value


def unknown_option(
    name: str, known: Iterable[str], *, where: str, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> InputError:
    """The error for an option nobody knows, with the nearest one, or with the place where it belongs."""
    names = sorted(known)
    meant = name if name in elsewhere else _ALIASES.get(name, name)
    if meant not in names and meant not in elsewhere:
        meant = next(iter(difflib.get_close_matches(name, [*names, *elsewhere], n=1, cutoff=_NEAR)), meant)
    advice = elsewhere.get(meant) or nearest(meant, names, "It takes")
    return InputError(f"{where} takes no option {name!r}.", advice=advice)


def unknown_provider(name: str, known: Iterable[str]) -> InputError:
    return InputError(f"There is no provider {name!r}.", advice=nearest(name, known, "There are"))


def task_named(word: str) -> str:
    """The Hub's name of a task, however it was written: `chat` is `conversational`, `text_to_image` has hyphens."""
    return "conversational" if word == "chat" else word.replace("_", "-")


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """What may have been meant, or what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
    return f"Did you mean {near[0]!r}?" if near else f"{otherwise}: {', '.join(names)}."

"""One inference request as data: what is asked, and how."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import TypedDict

from hfclient.errors import InputError
from hfclient.retry import Retry

if TYPE_CHECKING:
    from hfclient.flow import Progress

ProviderChoice: TypeAlias = str | Sequence[str]


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
    def of(cls, value: float | Timeout | None) -> Timeout:
        """A bare number bounds every silence; it can shorten the wait for a connection but not lengthen it."""
        if value is None:
            return DEFAULT_TIMEOUT
        if isinstance(value, Timeout):
            return value
        seconds = _checked_seconds("timeout", value)
        return cls(min(DEFAULT_TIMEOUT.connect, seconds), seconds, seconds, seconds, seconds)


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
    timeout: float | Timeout | None
    deadline: float | None
    retry: bool | int | Retry | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Call:
    """One inference request: the task, what goes in, and the options, the client's defaults already applied."""

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


def unknown_option(name: str, known: Iterable[str], *, where: str) -> InputError:
    """The error for an option nobody knows, with the nearest one somebody does."""
    return InputError(f"{where} takes no option {name!r}.", advice=nearest(name, known, "It takes"))


def unknown_provider(name: str, known: Iterable[str]) -> InputError:
    return InputError(f"There is no provider {name!r}.", advice=nearest(name, known, "There are"))


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """What may have been meant, or what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"{otherwise}: {', '.join(names)}."


def spoken(task: str) -> str:
    """A task as people call it: the Hub's word for chat is `conversational`."""
    return "chat" if task == "conversational" else task

"""What a provider may ask for: plain values that say what to do, and never do it.

A flow is a generator. It yields a step, gets the step's outcome sent back, and returns the typed result:

    def embeddings(call: Call, route: Route) -> Flow[Embeddings]:
        reply = yield post("/v1/embeddings", json={"model": route.model_id, "input": call.inputs})
        return Embeddings.from_openai(reply.json())

The dispatcher performs the steps. When a request fails, its error is raised at the flow's own `yield`. A test drives
a flow by hand, with `next(flow)` and `flow.send(Response(...))`.
"""

from __future__ import annotations

import json as _json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from hfclient.errors import ResponseError

if TYPE_CHECKING:
    from pathlib import Path

    from hfclient.media import Media
    from hfclient.sse import Event

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

JSON: TypeAlias = Any
# By field: a name, what is in it, and its type. Where that is left empty, it is the media's own, and the name ends in
# what goes with it.
Files: TypeAlias = "Mapping[str, tuple[str, bytes | Media, str]]"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, described.

    A path that begins with `/` is taken under the route's own address and carries its credentials. An absolute `url`
    is somebody else's, such as a result file: it carries none, wherever it points.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str = ""
    url: str | None = None
    json: JSON = None
    content: bytes | Media | None = None
    files: Files | None = None
    data: Mapping[str, JSON] | None = None
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def repeatable(self) -> bool:
        """Asking again does no work twice and costs nothing: polls, look-ups and downloads."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Load:
    """Turn media into bytes: read off the event loop, or fetched without credentials. Answered with `Loaded`."""

    media: Media


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch a result file from whichever host it lies on: without credentials, checked, and no larger than the call
    allows. Answered with `Fetched`."""

    url: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """A result file: its bytes, or None where the call wanted it saved, and then `path` is where it lies."""

    content: bytes | None = field(repr=False)
    media_type: str
    url: str
    path: Path | None
    size: int


@dataclass(frozen=True, slots=True)
class Several:
    """Requests that may travel at the same time. Answered with their responses, in the order of the requests."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Undo:
    """What to send should the call be given up from here on: cancelled, or out of time. Answered with None."""

    request: Request | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so many seconds pass. Answered with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell the caller how a job stands: "queued", "running", "done", "failed", "cancelled" or "downloading".

    `position` is its place in the queue, `fraction` how much of it is done, `reason` why it failed; each is None where
    the provider does not say. Answered with the same, as it may be shown: without keys.
    """

    state: str
    position: int | None = None
    fraction: float | None = None
    logs: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A successful answer, read to its end."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes = b""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> JSON:
        try:
            return _json.loads(self.content)
        except (ValueError, RecursionError):
            said = f"not JSON ({self.media_type or 'no media type'})" if self.content.strip() else "empty"
            raise ResponseError(
                f"The answer is {said}.",
                status=self.status,
                body=self.text(),
                advice="Is base_url right, where one is given? If so, try again: the fault is the service's.",
            ) from None


def json_or_none(content: bytes) -> JSON:
    """What a text says in JSON, None where it is none."""
    try:
        return _json.loads(content)
    except (ValueError, RecursionError):
        return None


Step: TypeAlias = Request | Several | Load | Fetch | Undo | Wait | Progress
Flow: TypeAlias = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class StreamPlan(Generic[T_co]):
    """A stream is a request and a pure function from its events to chunks; None passes an event over."""

    request: Request
    decode: Callable[[Event], T_co | None]


def get(path: str, **what: Any) -> Request:
    return Request("GET", path, **what)


def post(path: str, **what: Any) -> Request:
    return Request("POST", path, **what)


def delete(path: str, **what: Any) -> Request:
    return Request("DELETE", path, **what)


def download(url: str, **what: Any) -> Request:
    """A file on somebody else's host: no credentials go with it."""
    return Request("GET", url=url, **what)

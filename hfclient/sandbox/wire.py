"""What arrives at the sandbox and what it answers: plain values, whichever way they travel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import unquote

JSON: TypeAlias = Any
Ending: TypeAlias = Literal["proper", "cut", "reset", "stall"]

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request; header names are in lower case. `provider` is set where the path or the host says whose it is."""

    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    origin: str = ""
    provider: str = ""

    def json(self) -> dict[str, Any]:
        """The body as JSON; an empty object where it is no object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def form(self) -> dict[str, bytes]:
        """The fields of a multipart body."""
        head = f"content-type: {self.headers.get('content-type', '')}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + self.body)
        return {
            str(part.get_param("name", header="content-disposition")): _payload(part) for part in parts.iter_parts()
        }

    @property
    def segments(self) -> list[str]:
        return [unquote(segment) for segment in self.path.split("/") if segment]


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, in pieces: `before` seconds pass until it begins, `between` seconds between its pieces."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    pieces: tuple[bytes, ...] = ()
    before: float = 0.0
    between: float = 0.0
    ending: Ending = "proper"

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def within(body: JSON, name: str) -> dict[str, Any]:
    """An object within a body, an empty one where there is none."""
    found: Any = body.get(name) if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    return dict(found) if isinstance(found, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]


def answered(payload: JSON, status: int = 200, headers: Mapping[str, str] = NONE) -> Answer:
    """An answer in JSON."""
    body = json.dumps(payload, ensure_ascii=False).encode()
    return Answer(status, {"content-type": "application/json", **headers}, (body,))


def refused(status: int, message: str, headers: Mapping[str, str] = NONE) -> Answer:
    """An error as the router words it."""
    return answered({"error": message}, status, headers)


def file(content: bytes, media_type: str) -> Answer:
    return Answer(200, {"content-type": media_type}, (content,))


def events(payloads: Iterable[JSON], *, done: bool = True, headers: Mapping[str, str] = NONE) -> Answer:
    """A stream of server-sent events."""
    frames = [f"data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode() for payload in payloads]
    pieces = (*frames, *([b"data: [DONE]\n\n"] if done else []))
    return Answer(200, {"content-type": "text/event-stream", **headers}, pieces)

"""What can be made to go wrong in the sandbox: once, so many times, every nth time, or for a share of the calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, TypeAlias, get_args

from hfclient.errors import InputError
from hfclient.sandbox.wire import Answer, answered, refused

Kind: TypeAlias = Literal["html", "reset", "cut", "stall", "drip", "malformed", "error-event", "failed-job"]

KINDS: tuple[str, ...] = get_args(Kind)
DRIP_PIECES = 16
ERROR_STATUSES = range(400, 600)
WORDS: Mapping[int, str] = {
    401: "Invalid username or password.",
    402: "You have depleted your monthly included credits. Purchase pre-paid credits to continue.",
    403: "This authentication method does not have sufficient permissions to call Inference Providers.",
    404: "Model not found",
    429: "Too many requests at once.",
    503: "The model is currently loading",
    504: "Gateway time-out",
}
PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, and when. `at` narrows it to a place ("hub", "router", "files", a provider's name) or
    to a part of a path; without it, it befalls calls for inference and nothing else."""

    kind: int | Kind
    times: int | None = None
    every: int | None = None
    share: float | None = None
    at: str | None = None
    retry_after: float | None = None
    estimated_time: float | None = None
    after: int | None = None
    pause: float = 0.05
    _met: int = field(default=0, init=False)
    _dice: Random = field(default_factory=lambda: Random(7), init=False)  # noqa: S311  the same calls each time

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not (type(self.kind) is int and self.kind in ERROR_STATUSES):
            known = ", ".join(repr(kind) for kind in KINDS)
            raise InputError(
                f"The sandbox cannot fail with {self.kind!r}.", advice=f"Pass a status, or one of {known}."
            )
        if self.every == 0 or self.times == 0 or not 0 < (1 if self.share is None else self.share) <= 1:
            raise InputError("So it would never happen.", advice="Pass times= or every= from 1, or share= up to 1.")
        if self.times is self.every is self.share is None:
            self.times = 1

    def befalls(self, place: str, path: str, *, inference: bool) -> bool:
        """Whether this request is one of those that go wrong; being asked counts."""
        if not (inference if self.at is None else self.at == place or self.at in path):
            return False
        self._met += 1
        if self.every is not None and self._met % self.every:
            return False
        if self.share is not None and self._dice.random() >= self.share:
            return False
        if self.times is not None:
            if self.times < 1:
                return False
            self.times -= 1
        return True

    @property
    def over(self) -> bool:
        return self.times == 0

    def spoil(self, answer: Answer) -> Answer:
        """The answer as this fault leaves it."""
        match self.kind:
            case int(status):
                return self._refusal(status)
            case "html":
                return Answer(502, {"content-type": "text/html"}, (PAGE,))
            case "reset":
                return Answer(ending="reset")
            case "cut" | "stall":
                kept = answer.body[: self._half(answer)]
                return replace(answer, pieces=(kept,), ending=self.kind)
            case "drip":
                body, size = answer.body, max(1, len(answer.body) // DRIP_PIECES)
                pieces = tuple(body[start : start + size] for start in range(0, len(body), size))
                return replace(answer, pieces=pieces, between=self.pause)
            case "malformed":
                return replace(answer, pieces=(b'{"choices": [{"message": {"content": "Hel',))
            case "error-event":
                return _with_error_event(answer)
            case "failed-job":
                return answer  # the jobs are told beforehand

    def _half(self, answer: Answer) -> int:
        return len(answer.body) // 2 if self.after is None else self.after

    def _refusal(self, status: int) -> Answer:
        headers = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        if self.estimated_time is None:
            return refused(status, WORDS.get(status, f"Something went wrong ({status})."), headers)
        said = {"error": WORDS.get(status, "Not now."), "estimated_time": self.estimated_time}
        return answered(said, status, headers)


def _with_error_event(answer: Answer) -> Answer:
    """The beginning of the stream, and then an error in the middle of it."""
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        return refused(500, "Something went wrong (500).")
    event = {"error": {"message": "The model is overloaded.", "type": "overloaded", "code": 503}}
    beginning = answer.pieces[: max(1, len(answer.pieces) // 2)]
    return replace(answer, pieces=(*beginning, b"data: " + json.dumps(event).encode() + b"\n\n"))

"""Every host a client may call, played by respx: the Hub, the router and whoever else.

with Internet() as internet:
    internet.serves("org/model", groq=live("llama-groq"))
    internet.at("router/groq", 429, 200)
    ...
    assert internet.asked == ["hub", "router/groq", "router/groq"]
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import httpx
import respx

MODEL = "org/model"
HF = "hf_fake_argument_0001"
HF_SAVED = "hf_fake_saved_0002"
GSK = "gsk_fake_groq_0003"

Answer = int | httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Internet:
    """Answers every request and remembers it; whatever is not told otherwise succeeds."""

    def __init__(self, hub_host: str = "huggingface.co", router_host: str = "router.huggingface.co") -> None:
        self._hosts = {hub_host: "hub", router_host: "router"}
        self._mappings: dict[str, Any] = {}
        self._scripts: dict[str, deque[Answer]] = {}
        self._router = respx.mock(assert_all_called=False)
        self._tls = patch.object(httpx, "create_ssl_context", certificates)
        self.requests: list[tuple[str, httpx.Request]] = []
        self.pause: Callable[[], Awaitable[None]] | None = None

    def __enter__(self) -> Self:
        self._router.start()
        self._tls.start()
        self._router.route().mock(side_effect=self._answer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._tls.stop()
        self._router.stop(quiet=True)

    def serves(self, model: str, rows: Any = None, /, **by_provider: Mapping[str, Any]) -> None:
        """What the Hub says of a model: an object by provider, or the list that listings have."""
        self._mappings[model] = by_provider if rows is None else rows

    def at(self, place: str, *answers: Answer) -> None:
        """What a place answers, one after the other; the last one stays."""
        self._scripts[place] = deque(answers)

    @property
    def asked(self) -> list[str]:
        return [place for place, _ in self.requests]

    def sent(self, place: str) -> httpx.Request:
        """The only request that went there."""
        (request,) = [request for name, request in self.requests if name == place]
        return request

    def body(self, place: str) -> Any:
        return json.loads(self.sent(place).content)

    def key(self, place: str) -> str | None:
        return self.sent(place).headers.get("authorization")

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        place = self._place(request)
        self.requests.append((place, request))
        if self.pause is not None:
            await self.pause()
        script = self._scripts.get(place)
        if not script:
            return self.hub_says(request) if place == "hub" else completion(request)
        answer = script.popleft() if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return completion(request) if answer == 200 else httpx.Response(answer, json={"error": "not today"})
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def _place(self, request: httpx.Request) -> str:
        name = self._hosts.get(request.url.host, request.url.host)
        if name == "hub" and not request.url.path.startswith("/api/models/"):
            return request.url.host
        first = request.url.path.strip("/").partition("/")[0]
        return f"router/{first}" if name == "router" and first != "v1" else name

    def hub_says(self, request: httpx.Request) -> httpx.Response:
        model = request.url.path.removeprefix("/api/models/")
        if model not in self._mappings:
            return httpx.Response(404, headers={"x-error-code": "RepoNotFound"}, json={"error": "Repository not found"})
        return httpx.Response(200, json={"id": model, "inferenceProviderMapping": self._mappings[model]})


@cache
def certificates() -> ssl.SSLContext:
    """Nobody is spoken to, so nobody's certificate is checked, and reading them once for all tests will do."""
    return ssl.create_default_context()


def completion(request: httpx.Request) -> httpx.Response:
    """The answer to a chat, streamed if it was asked for so."""
    body = json.loads(request.content or b"{}")
    if body.get("stream"):
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=EVENTS)
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": str(body.get("model")),
        "choices": [choice],
    }
    return httpx.Response(200, headers={"x-request-id": "req-1"}, json=answer)


EVENTS = (
    b"".join(
        b"data: %b\n\n"
        % json.dumps(
            {"id": "1", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]}
        ).encode()
        for text in ("h", "i")
    )
    + b"data: [DONE]\n\n"
)


def live(provider_id: str, task: str = "conversational", **extras: Any) -> dict[str, Any]:
    """A row of the Hub's mapping."""
    return {"status": "live", "providerId": provider_id, "task": task, **extras}

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
        self._sold: dict[str, list[dict[str, Any]]] = {}
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

    def sells(self, model: str, /, **by_provider: Mapping[str, Any]) -> None:
        """What the router says of a chat model: figures by provider, whose name may be written with underscores."""
        self._sold[model] = [
            {"provider": name.replace("_", "-"), "status": "live", **row} for name, row in by_provider.items()
        ]

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
            return SAID.get(place, lambda _, request: completion(request))(self, request)
        answer = script.popleft() if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return completion(request) if answer == 200 else httpx.Response(answer, json={"error": "not today"})
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def _place(self, request: httpx.Request) -> str:
        name = self._hosts.get(request.url.host, request.url.host)
        path = request.url.path
        if name == "hub" and not path.startswith("/api/models/"):
            return "hub/list" if path == "/api/models" else request.url.host
        if name == "router" and f"{path}/".startswith("/v1/models/"):
            return "router/models"
        first = request.url.path.strip("/").partition("/")[0]
        return f"router/{first}" if name == "router" and first != "v1" else name

    def hub_says(self, request: httpx.Request) -> httpx.Response:
        model = request.url.path.removeprefix("/api/models/")
        if model not in self._mappings:
            return httpx.Response(404, headers={"x-error-code": "RepoNotFound"}, json={"error": "Repository not found"})
        return httpx.Response(200, json={"id": model, "inferenceProviderMapping": self._mappings[model]})

    def hub_lists(self, request: httpx.Request) -> httpx.Response:
        """The Hub's list, page after page, with a link to the next."""
        asked = dict(request.url.params)
        rows = [
            {"id": model, "pipeline_tag": rows[0]["task"] if rows else None, "inferenceProviderMapping": rows}
            for model, mapping in self._mappings.items()
            if (rows := _as_rows(mapping)) and _is_asked_for(rows, asked)
        ]
        start, size = int(asked.get("cursor", 0)), int(asked["limit"])
        following = request.url.copy_set_param("cursor", str(start + size))
        headers = {"link": f'<{following}>; rel="next"'} if start + size < len(rows) else {}
        return httpx.Response(200, headers=headers, json=rows[start : start + size])

    def router_lists(self, request: httpx.Request) -> httpx.Response:
        """The router's list of chat models, or one of them."""
        name = request.url.path.removeprefix("/v1/models").strip("/")
        models = {model: sold(model, rows) for model, rows in self._sold.items()}
        if not name:
            return httpx.Response(200, json={"object": "list", "data": [*models.values()]})
        if name not in models:
            return httpx.Response(404, json={"error": {"message": f"The model {name} does not exist"}})
        return httpx.Response(200, json=models[name])


SAID: dict[str, Callable[[Internet, httpx.Request], httpx.Response]] = {
    "hub": Internet.hub_says,
    "hub/list": Internet.hub_lists,
    "router/models": Internet.router_lists,
}


def _as_rows(mapping: Any) -> list[dict[str, Any]]:
    """Listings have a list of rows where a model's own page has an object."""
    return [{**row, "provider": name} for name, row in mapping.items()] if isinstance(mapping, dict) else list(mapping)


def _is_asked_for(rows: list[dict[str, Any]], asked: Mapping[str, str]) -> bool:
    wanted = asked["inference_provider"].split(",")
    served = wanted == ["all"] or any(row["provider"] in wanted for row in rows)
    return served and asked.get("pipeline_tag") in (None, *(row["task"] for row in rows))


def sold(model: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A model as the router lists it."""
    shape = {"input_modalities": ["text"], "output_modalities": ["text"]}
    about = {"object": "model", "created": 1700000000, "owned_by": model.partition("/")[0], "architecture": shape}
    return {"id": model, **about, "providers": rows}


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

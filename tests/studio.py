"""A provider that makes films as jobs, as `tests/thirdparty/hfclient_film` describes it, and all hosts around it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx

from hfclient import Client
from tests.internet import HF, live

MODEL = "org/film"
OWN = "film_fake_own_0123456789"
ASK = "A cat walks over the roofs."
MP4 = b"\0\0\0\x18ftypmp42" + bytes(2000)
HOSTS = {"huggingface.co": "hub", "router.huggingface.co": "router", "api.film.example": "own"}

WAITING = {"state": "waiting", "position": 2}
WORKING = {"state": "working", "done": 0.5, "logs": ["frame 7", "frame 8"]}
READY = {"state": "ready", "film": "https://files.example/film.mp4?signature=hf_fake_signed_0123"}
FAILED = {"state": "failed", "reason": "The prompt is not safe."}
STOPPED = {"state": "stopped"}

Answer = dict[str, Any] | int | httpx.Response | Exception


class Studio:
    """Answers every host; `states` are what the job's polls are answered with, the last of them for ever.

    `accepts` is the answer to what begins a job. `before` runs before each answer, and may cancel or wait.
    """

    def __init__(self, *states: Answer, accepts: Answer | None = None) -> None:
        self.states: deque[Answer] = deque(states or (READY,))
        self.accepts: deque[Answer] = deque([accepts or {"id": "f1", "state": "waiting"}])
        self.cancels: deque[Answer] = deque([{}])
        self.files: deque[Answer] = deque([httpx.Response(200, content=MP4, headers={"content-type": "video/mp4"})])
        self.providers: Iterable[str] = ("film",)
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.requests: list[tuple[str, httpx.Request]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        said = self._said(request)
        self.requests.append((said, request))
        if self.before is not None:
            await self.before(said)
        return self._answer(said)

    def _said(self, request: httpx.Request) -> str:
        host = HOSTS.get(request.url.host, request.url.host)
        if host == "hub":
            return "hub"
        return f"{request.method} {host}{request.url.path}"

    def _answer(self, said: str) -> httpx.Response:
        if said == "hub":
            mapping = {name: live(f"{name}-id", "text-to-video") for name in self.providers}
            return httpx.Response(200, json={"id": MODEL, "inferenceProviderMapping": mapping})
        method, _, place = said.partition(" ")
        kind = (
            "files" if place.startswith("files.") else {"POST": "accepts", "GET": "states", "DELETE": "cancels"}[method]
        )
        script: deque[Answer] = getattr(self, kind)
        answer = script.popleft() if len(script) > 1 else script[0]
        match answer:
            case Exception():
                raise answer
            case int():
                return httpx.Response(answer, json={"error": "not today"})
            case httpx.Response():
                return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
            case payload:
                return httpx.Response(200, json=payload)

    @property
    def asked(self) -> list[str]:
        """All that was asked for, but for the Hub."""
        return [said for said, _ in self.requests if said != "hub"]

    def keys(self, start: str = "") -> set[str | None]:
        """The keys that came with requests that begin so."""
        chosen = [request for said, request in self.requests if said.startswith(start) and said != "hub"]
        return {request.headers.get("authorization") or request.headers.get("x-api-key") for request in chosen}

    def body(self, start: str) -> Any:
        (request,) = [request for said, request in self.requests if said.startswith(start)]
        return json.loads(request.content)

    def client(self, token: str | None = HF, **options: Any) -> Client:
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Client(token, **{"model": MODEL, "http_client": http_client, **options})

"""The Hub, the router and every provider in one object: a request in, an answer out, and no network."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from hfclient.errors import InputError
from hfclient.providers.table import PROVIDERS
from hfclient.redact import MASK, Redactor, safe_headers
from hfclient.sandbox import catalogue, chat, hugging_face, openai
from hfclient.sandbox.faults import Fault, Kind
from hfclient.sandbox.jobs import Jobs
from hfclient.sandbox.wire import Answer, Arrival, answered, refused
from hfclient.sniff import media_type_of, suffix_of

TOKEN = "hf_sandbox"  # noqa: S105  opens nothing
HUB_HOST, ROUTER_HOST, FILES_HOST = "huggingface.co", "router.huggingface.co", "files.sandbox.invalid"
POLICIES = {"auto", "fastest", "cheapest", "preferred"}
CHOSEN = "cerebras"
MOST_KEPT = 1000

_HOSTS = {
    urlsplit(url).netloc: provider.name
    for provider in PROVIDERS
    for url in (provider.url, *(task.url for task in provider.tasks.values()))
    if url and provider.url != f"https://{ROUTER_HOST}/hf-inference"
}
_NAMES = {provider.name for provider in PROVIDERS}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived, its keys masked."""

    method: str
    place: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return Arrival(self.method, "", self.path, body=self.body).json()


class Sandbox:
    """Everything a client may call, offline and always the same.

    >>> client = Client(sandbox=Sandbox(chat=lambda messages: "Hello there."))
    >>> (await client.chat("Hi")).text
    'Hello there.'

    `chat` gives the answer to a list of messages: a text, a message as a dict (with `tool_calls`, `reasoning_content`,
    `finish_reason` or `usage` where wanted), or a list of them for several choices. `answers` are recorded ones, by a
    part of the path they belong to: bytes, or what JSON can hold. `models` says what models of your own are for, and
    hosts that serve a single one. `latency` is how many seconds an answer takes, `token_latency` how many pass between
    the pieces of a stream. What arrived is in `requests`; `fail` makes things go wrong.
    """

    def __init__(
        self,
        *,
        chat: chat.Script = chat.by_default,
        models: Mapping[str, str] | None = None,
        answers: Mapping[str, Any] | None = None,
        latency: float = 0.0,
        token_latency: float = 0.0,
    ) -> None:
        if not callable(chat):
            raise InputError("chat= is not a function.", advice='For example Sandbox(chat=lambda messages: "Hello.").')
        self._script = chat
        self._models = dict(models or {})
        self._answers = dict(answers or {})
        self._latency = latency
        self._token_latency = token_latency
        self._faults: list[Fault] = []
        self._files: dict[str, tuple[bytes, str]] = {}
        self._origin = f"https://{FILES_HOST}"
        self._jobs = Jobs(self._keep, self._models)
        self.requests: list[Seen] = []

    def fail(
        self,
        kind: int | Kind,
        *,
        times: int | None = None,
        every: int | None = None,
        share: float | None = None,
        at: str | None = None,
        retry_after: float | None = None,
        estimated_time: float | None = None,
        after: int | None = None,
        pause: float = 0.05,
    ) -> None:
        """Make the next call go wrong: with an error status, or "html", "reset", "cut", "stall", "drip", "malformed",
        "error-event" or "failed-job".

        >>> sandbox.fail(503, estimated_time=2)
        >>> sandbox.fail(429, retry_after=1, at="groq", times=2)
        >>> sandbox.fail("cut", every=3)
        """
        self._faults.append(Fault(kind, times, every, share, at, retry_after, estimated_time, after, pause))

    def answer(self, arrival: Arrival) -> Answer:
        """What comes of one request."""
        place, arrival = self._placed(arrival)
        self._note(place, arrival)
        inference = arrival.method == "POST" and place not in {"hub", "files"}
        fault = next((each for each in self._faults if each.befalls(place, arrival.path, inference=inference)), None)
        self._faults = [each for each in self._faults if not each.over]
        if fault and fault.kind == "failed-job":
            self._jobs.fail_next += 1
        made = self._recorded(arrival) or self._made(place, arrival)
        if inference:
            streamed = made.headers.get("content-type") == "text/event-stream"
            made = replace(made, before=self._latency, between=self._token_latency if streamed else 0.0)
        return fault.spoil(made) if fault else made

    def _placed(self, arrival: Arrival) -> tuple[str, Arrival]:
        """Whose this is: by the host, or where one host plays them all, by the path."""
        self._origin = f"{arrival.origin}/files" if arrival.origin else f"https://{FILES_HOST}"
        first, _, rest = arrival.path.lstrip("/").partition("/")
        if name := _HOSTS.get(arrival.host):
            return name, replace(arrival, provider=name)
        if arrival.host == FILES_HOST or (arrival.origin and first == "files"):
            return "files", arrival
        if arrival.host == HUB_HOST or first == "api":
            return "hub", arrival
        if arrival.host == ROUTER_HOST or arrival.origin:
            if first in _NAMES:
                return first, replace(arrival, provider=first, path=f"/{rest}")
            return "router", arrival
        return "endpoint", arrival

    def _note(self, place: str, arrival: Arrival) -> None:
        keys = [arrival.headers.get(name, "").rpartition(" ")[2] for name in ("authorization", "x-key")]
        redact = Redactor(keys)
        query, headers = (
            {redact(name): redact(value) for name, value in safe_headers(given).items()}
            for given in (arrival.query, arrival.headers)
        )
        body = arrival.body
        for key in filter(None, keys):
            body = body.replace(key.encode(), MASK.encode())
        self.requests.append(Seen(arrival.method, place, redact(arrival.path), query, headers, body))
        del self.requests[:-MOST_KEPT]

    def _made(self, place: str, arrival: Arrival) -> Answer:
        match place:
            case "hub":
                return self._hub(arrival)
            case "files":
                return self._file(arrival)
            case _ if not _has_a_key(arrival) and place != "endpoint":
                return refused(401, "Invalid username or password.")
            case "router":
                return self._router(arrival)
            case "hf-inference" | "endpoint":
                return self._hugging_face(arrival)
            case _:
                return self._jobs.answer(arrival) or self._spoken_in_openai_terms(arrival)

    def _recorded(self, arrival: Arrival) -> Answer | None:
        for part, payload in self._answers.items():
            if part in arrival.path:
                if isinstance(payload, bytes):
                    return Answer(200, {"content-type": media_type_of(payload)}, (payload,))
                return answered(payload)
        return None

    def _hub(self, arrival: Arrival) -> Answer:
        match arrival.segments:
            case ["api", "models"]:
                return self._listing(arrival)
            case ["api", "models", *name] if not name[0].startswith("missing"):
                return answered(catalogue.model_info("/".join(name), self._models))
            case ["api", "tasks"]:
                return answered(catalogue.tasks())
            case _:
                return refused(404, "Repository not found", {"x-error-code": "RepoNotFound"})

    def _listing(self, arrival: Arrival) -> Answer:
        wanted = arrival.query.get("pipeline_tag")
        providers = set(arrival.query.get("inference_provider", "all").split(","))
        infos = [catalogue.model_info(name, self._models) for name in {**catalogue.KNOWN, **self._models}]
        found = [
            {**info, "inferenceProviderMapping": _as_rows(info["inferenceProviderMapping"])}
            for info in infos
            if wanted in {None, info["pipeline_tag"]}
            and ("all" in providers or providers & {*info["inferenceProviderMapping"]})
        ]
        return answered(found[: int(arrival.query.get("limit", 1000))])

    def _file(self, arrival: Arrival) -> Answer:
        content, media_type = self._files.get(arrival.segments[-1] if arrival.segments else "", (b"", ""))
        if not content:
            return refused(404, "There is no such file.")
        return Answer(200, {"content-type": media_type, "content-length": str(len(content))}, (content,))

    def _keep(self, content: bytes, media_type: str) -> str:
        """Put a file where it can be fetched, which is on another host than the provider's."""
        name = f"{len(self._files) + 1:04d}{suffix_of(media_type)}"
        self._files[name] = (content, media_type)
        return f"{self._origin}/{name}"

    def _router(self, arrival: Arrival) -> Answer:
        match arrival.segments:
            case ["v1", "models"]:
                names = [name for name, task in catalogue.KNOWN.items() if task == catalogue.CHAT]
                return answered({"object": "list", "data": [catalogue.router_entry(name) for name in names]})
            case ["v1", "models", *name]:
                return answered(catalogue.router_entry("/".join(name)))
            case _:
                return self._spoken_in_openai_terms(arrival)

    def _hugging_face(self, arrival: Arrival) -> Answer:
        model, task = arrival.host, None
        match arrival.segments:
            case ["models", owner, name, "pipeline", str(asked)]:
                model, task = f"{owner}/{name}", asked
            case ["models", owner, name]:
                model = f"{owner}/{name}"
            case segments if segments and (segments[-1] in _OPENAI or segments[-2:] == ["chat", "completions"]):
                return self._spoken_in_openai_terms(arrival)
            case _:
                pass
        return hugging_face.pipeline(arrival, task or catalogue.task_of(model, self._models))

    def _spoken_in_openai_terms(self, arrival: Arrival) -> Answer:
        if arrival.path.endswith("/chat/completions"):
            asked = arrival.json()
            if not asked.get("messages"):
                return refused(422, "Input validation error: `messages` cannot be empty")
            provider = arrival.provider or _chosen(str(asked.get("model")))
            return chat.chat(asked, self._script, provider)
        if arrival.path.endswith("/completions"):
            return openai.completion(arrival)
        if arrival.path.endswith("/embeddings"):
            return openai.embeddings(arrival)
        if arrival.path.endswith("/images/generations"):
            return openai.image(arrival, self._keep)
        if arrival.path.endswith("/audio/transcriptions"):
            return openai.transcription(arrival)
        if arrival.path.endswith("/audio/speech"):
            return openai.speech(arrival)
        return refused(404, f"There is nothing at {arrival.path} in the sandbox.")


_OPENAI = {"completions", "embeddings", "generations", "transcriptions", "speech"}


def _has_a_key(arrival: Arrival) -> bool:
    given = arrival.headers.get("authorization") or arrival.headers.get("x-key") or ""
    return bool(given) and "invalid" not in given


def _chosen(model: str) -> str:
    """Whom the router takes for a model: the one that its suffix names, or always the same."""
    suffix = model.rpartition(":")[2] if ":" in model else "auto"
    return CHOSEN if suffix in POLICIES else suffix


def _as_rows(mapping: Any) -> Any:
    """A mapping as listings have it."""
    if isinstance(mapping, list):
        return mapping  # pyright: ignore[reportUnknownVariableType]
    return [{"provider": name, **row} for name, row in mapping.items()]


_in_use: list[Sandbox] = []


@contextmanager
def everywhere(sandbox: Sandbox) -> Generator[Sandbox]:
    """Every client that is made within, wherever in the program, goes into this sandbox."""
    _in_use.append(sandbox)
    try:
        yield sandbox
    finally:
        _in_use.remove(sandbox)


def in_use() -> Sandbox | None:
    """The sandbox that every client goes into just now, if there is one."""
    return _in_use[-1] if _in_use else None

"""The same chat call through huggingface_hub and through hfclient puts the same request on the wire.

Where ours differs, it does so on purpose, and INTENDED says why. An entry that makes no difference any more fails.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import httpx
import pytest

from hfclient import Client
from hfclient.providers import table
from tests import theirs
from tests.theirs import HEADERS, HF, MODEL, OWN

Access = Literal["routed", "own key", "auto", "endpoint"]

ENDPOINT = "https://endpoint.invalid"
PROVIDERS = [name for name, tasks in theirs.PROVIDERS.items() if "conversational" in tasks]

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "default": None}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
HELLO = {"role": "user", "content": "Hello"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://host.invalid/cat.png"}}

# Sets of parameters, by what they are about.
ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "sampling": {
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 100,
        "seed": 42,
        "n": 2,
        "stop": ["END"],
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": [0.5],
        "logprobs": True,
        "top_logprobs": 2,
    },
    "schema": {"response_format": FORMAT},
    "json": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [TOOL], "tool_choice": "auto", "tool_prompt": "Use them."},
    "nulls": {"messages": [HELLO, {"role": "assistant", "content": None, "tool_calls": [CALL]}, HELLO]},
    "picture": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look:"}, PICTURE]}]},
    "usage": {"stream_options": {"include_usage": True}},
    "store": {"store": True},
    "extra": {"extra_body": {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}}},
    "headers": {"headers": {"X-Mine": "1"}},
    "billed": {"bill_to": "my-org"},
}
# What huggingface_hub has no name for goes into its extra_body.
UNNAMED = {"store"}
# What is said to the client, not to the call.
TOLD_CLIENT = {"headers", "bill_to"}


@dataclass(frozen=True)
class Case:
    asked: str
    access: Access
    provider: str = "auto"
    stream: bool = False
    model: str | None = MODEL
    base_url: str | None = None

    def __str__(self) -> str:
        where = self.base_url or self.provider
        return f"{where}-{self.access}-{'stream' if self.stream else 'whole'}-{self.asked}-{self.model}"

    @property
    def token(self) -> str:
        return OWN if self.access in ("own key", "endpoint") else HF


@dataclass(frozen=True)
class Sent:
    """One request, as far as it is compared."""

    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, Any]

    @classmethod
    def of(cls, request: Any) -> Sent:
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        address = f"{request.url.scheme}://{request.url.host}{request.url.raw_path.decode()}"
        return cls(request.method, address, headers, json.loads(request.content))


def differences(ours: Sent, other: Sent) -> set[str]:
    found = {name for name in ("method", "url") if getattr(ours, name) != getattr(other, name)}
    for part in ("headers", "body"):
        mine, hers = getattr(ours, part), getattr(other, part)
        found |= {f"{part}.{name}" for name in mine.keys() | hers.keys() if mine.get(name, ...) != hers.get(name, ...)}
    return found


@dataclass(frozen=True)
class Intended:
    """Where we differ, in which cases, and why."""

    where: str
    when: Callable[[Case], bool]
    why: str


INTENDED = [
    Intended("body.stream", lambda case: not case.stream, "what nobody asked for is not said: no stream: false"),
    Intended(
        "body.stream_options",
        lambda case: case.stream and case.asked != "usage",
        "most providers count the tokens of a stream only when asked",
    ),
    Intended(
        "body.messages",
        lambda case: case.asked == "nulls" and case.provider != "hf-inference" and not case.base_url,
        "nulls in messages are the caller's: some servers insist on content: null beside tool calls",
    ),
    Intended("body.tools", lambda case: case.asked == "tools", "nulls in a schema are the caller's: default: null"),
    Intended(
        "body.response_format",
        lambda case: case.asked == "schema" and case.provider == "fireworks-ai",
        "Fireworks documents OpenAI's json_schema; json_object with a schema is at best of the past there",
    ),
    Intended(
        "body.response_format",
        lambda case: case.asked == "schema" and (case.provider == "hf-inference" or bool(case.base_url)),
        "current servers take OpenAI's json_schema; json_object with a value is TGI's alone",
    ),
    Intended(
        "body.store",
        lambda case: case.asked == "store" and case.provider == "cerebras",
        "Cerebras answers store with 400 wrong_api_format",
    ),
    Intended(
        "body.model",
        lambda case: case.provider == "openai" and str(case.model).startswith("openai/"),
        "api.openai.com knows no openai/… ids, and the other official client demands the prefix",
    ),
    Intended("body.model", lambda case: case.model is None, "no filler stands in for a model nobody named"),
    Intended(
        "headers.x-hf-bill-to",
        lambda case: case.asked == "billed" and case.token == OWN,
        "whom Hugging Face shall bill is nobody else's business, and a key of somebody else's bills nobody there",
    ),
]


def cases() -> Iterator[Case]:
    for provider, stream, asked in product(PROVIDERS, (False, True), ASKED):
        if asked == "usage" and not stream:
            continue
        if provider != "openai":
            yield Case(asked, "routed", provider, stream)
        yield Case(asked, "own key", provider, stream, model="gpt-x" if provider == "openai" else MODEL)
    for stream, asked in product((False, True), ASKED):
        if asked == "usage" and not stream:
            continue
        yield Case(asked, "auto", stream=stream)
        yield Case(asked, "endpoint", stream=stream, base_url=ENDPOINT)
    yield Case("plain", "own key", "openai", model="openai/gpt-x")
    for suffix in ("fastest", "cheapest", "preferred", "groq"):
        yield Case("plain", "auto", model=f"{MODEL}:{suffix}")
    for form in ("", "/", "/v1", "/v1/", "/v1/chat/completions", "/some/place", "/some/place/v1", "?api-version=1"):
        yield Case("plain", "endpoint", base_url=ENDPOINT + form)
        yield Case("plain", "endpoint", base_url=ENDPOINT + form, model=None, stream=True)


CASES = list(cases())

COMPLETION = {
    "id": "1",
    "created": 1,
    "model": "m",
    "object": "chat.completion",
    "system_fingerprint": "",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
CHUNK = {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
EVENTS = f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n".encode()


def hub_page(path: str) -> dict[str, Any]:
    mapping = {
        name: {
            "status": "live",
            "providerId": MODEL if name == "hf-inference" else f"{name}-id",
            "task": "conversational",
        }
        for name in PROVIDERS
    }
    tags = ["conversational", "text-generation"]
    about = {"id": path.removeprefix("/api/models/"), "pipeline_tag": "text-generation", "tags": tags}
    return {**about, "inferenceProviderMapping": mapping}


def answering(httpx_module: Any, seen: list[Any]) -> Any:
    """A mock network for either generation of httpx: the Hub's pages, and everywhere else a chat model."""

    def handle(request: Any) -> Any:
        if request.url.path.startswith("/api/models/"):
            return httpx_module.Response(200, json=hub_page(request.url.path))
        seen.append(request)
        if json.loads(request.content).get("stream"):
            return httpx_module.Response(200, headers={"content-type": "text/event-stream"}, content=EVENTS)
        return httpx_module.Response(200, json=COMPLETION)

    return handle


async def sent_by_them(case: Case) -> Sent:
    seen: list[Any] = []
    asked = dict(ASKED[case.asked])
    told = {name: asked.pop(name) for name in TOLD_CLIENT & asked.keys()}
    unnamed = {name: asked.pop(name) for name in UNNAMED & asked.keys()}
    if extra := {**asked.pop("extra_body", {}), **unnamed}:
        asked["extra_body"] = extra
    where = {"base_url": case.base_url} if case.base_url else {"provider": case.provider}
    with theirs.their_network(answering(theirs.their_httpx, seen)):
        client = theirs.AsyncInferenceClient(token=case.token, **where, **told)
        answer = await client.chat_completion(
            asked.pop("messages", [HELLO]), model=case.model, stream=case.stream, **asked
        )
        if case.stream:
            assert [chunk async for chunk in answer]
        await client.close()
    (request,) = seen
    return Sent.of(request)


async def sent_by_us(case: Case) -> Sent:
    seen: list[Any] = []
    asked = dict(ASKED[case.asked])
    told = {name: asked.pop(name) for name in TOLD_CLIENT & asked.keys()}
    http_client = httpx.AsyncClient(transport=httpx.MockTransport(answering(httpx, seen)))
    if case.access == "own key":
        told |= {"provider": case.provider, "keys": {case.provider: OWN}}
    elif case.access == "endpoint":
        told |= {"base_url": case.base_url, "token": OWN}
    else:
        told |= {"provider": case.provider, "token": HF}
    async with Client(http_client=http_client, **told) as client:
        messages = asked.pop("messages", [HELLO])
        if case.stream:
            await client.chat.stream(messages, model=case.model, **asked).final()
        else:
            await client.chat(messages, model=case.model, **asked)
    (request,) = seen
    return Sent.of(request)


async def both(case: Case) -> tuple[Sent, Sent]:
    return await sent_by_us(case), await sent_by_them(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_request_is_the_same_or_differs_as_intended(case: Case) -> None:
    """Method, address, headers and body agree, but for what INTENDED says, and what it says must be so."""
    ours, other = asyncio.run(both(case))
    assert differences(ours, other) == {entry.where for entry in INTENDED if entry.when(case)}


@pytest.mark.parametrize("entry", INTENDED, ids=lambda entry: entry.why)
def test_every_intention_has_its_case(entry: Intended) -> None:
    """An entry that no case is about says nothing."""
    assert any(entry.when(case) for case in CASES)
    assert entry.why


def test_every_one_of_their_providers_is_ours() -> None:
    """A provider that huggingface_hub learns to chat with fails here until we know it too."""
    known = {provider.name for provider in table.PROVIDERS if "conversational" in provider.tasks}
    assert set(PROVIDERS) <= known
    assert len(PROVIDERS) >= 15


def test_the_comparison_notices() -> None:
    """A request that differs in any part is seen to differ."""
    ours = Sent("POST", "https://a.invalid", {"accept": "*/*"}, {"a": None})
    assert differences(ours, ours) == set()
    other = Sent("GET", "https://b.invalid", {}, {"b": 1})
    assert differences(ours, other) == {"method", "url", "headers.accept", "body.a", "body.b"}

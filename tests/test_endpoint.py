"""An address of one's own says by its form which protocol it speaks, for every task that both protocols know."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from hfclient import Client
from hfclient.providers.endpoint import endpoint_tasks
from hfclient.providers.hf_inference import further_tasks, hf_tasks
from tests.flows import COMPLETION

pytestmark = pytest.mark.anyio

KEY = "own_fake_0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(32)
PACKED = base64.b64encode(PNG).decode()


@dataclass(frozen=True)
class Case:
    """A task asked, and how each protocol asks and answers it."""

    ask: Callable[[Client], Awaitable[Any]]
    openai: tuple[str, Any, Any]  # path, body, answer
    hugging_face: tuple[Any, Any]  # body, answer
    seen: Callable[[Any], object]
    result: object


CASES = {
    "text-generation": Case(
        lambda client: client.text_generation("Once", max_new_tokens=5),
        (
            "/v1/completions",
            {"model": "m", "prompt": "Once", "max_tokens": 5},
            {"choices": [{"text": " upon", "finish_reason": "stop"}]},
        ),
        ({"inputs": "Once", "parameters": {"max_new_tokens": 5}}, [{"generated_text": " upon"}]),
        lambda text: text.text,
        " upon",
    ),
    "feature-extraction": Case(
        lambda client: client.feature_extraction(["a", "b"]),
        (
            "/v1/embeddings",
            {"model": "m", "input": ["a", "b"]},
            {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}]},
        ),
        ({"inputs": ["a", "b"]}, [[1.0], [2.0]]),
        lambda vectors: vectors.tolist(),
        [[1.0], [2.0]],
    ),
    "text-to-image": Case(
        lambda client: client.text_to_image("a cat", width=64, height=32, seed=1),
        (
            "/v1/images/generations",
            {"model": "m", "prompt": "a cat", "seed": 1, "size": "64x32"},
            {"data": [{"b64_json": PACKED}]},
        ),
        ({"inputs": "a cat", "parameters": {"width": 64, "height": 32, "seed": 1}}, PNG),
        lambda image: image.content,
        PNG,
    ),
    "text-to-speech": Case(
        lambda client: client.text_to_speech("Hello.", extra_body={"voice": "alloy"}),
        ("/v1/audio/speech", {"model": "m", "input": "Hello.", "voice": "alloy"}, WAV),
        ({"inputs": "Hello.", "parameters": {"voice": "alloy"}}, WAV),
        lambda audio: (audio.content, audio.media_type),
        (WAV, "audio/wav"),
    ),
    "automatic-speech-recognition": Case(
        lambda client: client.automatic_speech_recognition(WAV),
        ("/v1/audio/transcriptions", None, {"text": "Hello."}),
        (WAV, {"text": "Hello."}),
        lambda transcript: transcript.text,
        "Hello.",
    ),
    "conversational": Case(
        lambda client: client.chat("Hello"),
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}, COMPLETION),
        ({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}, COMPLETION),
        lambda reply: reply.text,
        "Hi!",
    ),
}
every_task = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def client_at(address: str, answer: Any, seen: list[httpx.Request]) -> Client:
    async def handle(request: httpx.Request) -> httpx.Response:
        await request.aread()
        seen.append(request)
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    http_client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return Client.endpoint(address, KEY, model="m", http_client=http_client, retry=False)


def body_of(request: httpx.Request) -> Any:
    kind = request.headers["content-type"]
    return json.loads(request.content) if kind == "application/json" else request.content


@every_task
@pytest.mark.parametrize("form", ["/v1", "/v1/", "/some/place/v1", "{path}", "/v1?api-version=1"])
async def test_an_address_with_a_version_speaks_openais_api(case: Case, form: str) -> None:
    """Whether it ends there or holds the whole path: the task's own route, body and answer."""
    path, body, answer = case.openai
    seen: list[httpx.Request] = []
    async with client_at("https://mine.invalid" + form.replace("{path}", path), answer, seen) as client:
        result = await case.ask(client)
    (request,) = seen
    assert request.url.path == ("/some/place" if form.startswith("/some") else "") + path
    assert request.url.query == (b"api-version=1" if "?" in form else b"")
    if body is None:
        assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert all(part in request.content for part in (b'name="model"\r\n\r\nm', b'filename="audio.wav"', WAV))
    else:
        assert body_of(request) == body
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert case.seen(result) == case.result
    assert result.meta.provider == "endpoint"


@every_task
@pytest.mark.parametrize("form", ["", "/", "/some/place"])
async def test_any_other_address_speaks_hugging_faces_protocol(case: Case, form: str) -> None:
    """One address, one model: inputs and parameters go there and nowhere below it, except for chat."""
    body, answer = case.hugging_face
    seen: list[httpx.Request] = []
    async with client_at("https://mine.invalid" + form, answer, seen) as client:
        result = await case.ask(client)
    (request,) = seen
    chats = case is CASES["conversational"]
    assert request.url.path.rstrip("/") == form.rstrip("/") + ("/v1/chat/completions" if chats else "")
    assert body_of(request) == body
    assert case.seen(result) == case.result


def test_every_task_that_both_know_has_a_case() -> None:
    """What an address serves in Hugging Face's protocol alone is the same at any address."""
    tasks = endpoint_tasks()
    plain = {**hf_tasks(""), **further_tasks("")}
    assert tasks.keys() == {*plain, "conversational", "text-generation"}
    by_address = {name for name, task in tasks.items() if task.run.__qualname__.startswith("_by_address")}
    assert by_address | {"conversational"} == set(CASES)


async def test_what_openais_api_does_not_know_stays_with_hugging_faces() -> None:
    """A version in the address does not take the other tasks away."""
    seen: list[httpx.Request] = []
    async with client_at("https://mine.invalid/v1", [{"label": "good", "score": 0.9}], seen) as client:
        labels = await client.text_classification("I like you.")
    assert (seen[0].url.path, body_of(seen[0])) == ("/v1", {"inputs": "I like you."})
    assert labels[0].label == "good"


@pytest.mark.parametrize(
    ("address", "path", "event"),
    [
        ("https://mine.invalid/v1", "/v1/completions", {"choices": [{"text": "upon", "finish_reason": "stop"}]}),
        ("https://mine.invalid", "/", {"token": {"text": "upon"}, "generated_text": "upon"}),
    ],
)
async def test_texts_are_streamed_in_both_protocols(address: str, path: str, event: object) -> None:
    """The address says in which."""
    seen: list[httpx.Request] = []
    events = b"data: %b\n\n" % json.dumps(event).encode()
    async with client_at(address, events, seen) as client:
        final = await client.text_generation_stream("Once").final()
    assert (seen[0].url.path, body_of(seen[0])["stream"], final.text) == (path, True, "upon")


async def test_a_picture_at_an_address_is_fetched_without_the_key(tmp_path: Any) -> None:
    """Servers of one's own often answer with a link to themselves; `save_to` puts the file where it is wanted."""
    seen: list[httpx.Request] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.method == "GET":
            return httpx.Response(200, content=PNG, headers={"content-type": "image/png"})
        return httpx.Response(200, json={"data": [{"url": "https://mine.invalid/files/1.png"}]})

    http_client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    async with Client.endpoint("https://mine.invalid/v1", KEY, http_client=http_client) as client:
        image = await client.text_to_image("a cat", save_to=tmp_path / "cat.png")
    assert [request.headers.get("authorization") for request in seen] == [f"Bearer {KEY}", None]
    assert (image.path, image.content) == (tmp_path / "cat.png", PNG)

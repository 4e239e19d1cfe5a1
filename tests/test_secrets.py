"""Keys planted in every place where a caller may put them, servers that send them back, and a search of all output."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from hfclient import Client, Retry, recording
from hfclient.call import Call
from hfclient.credentials import Key, Keys
from hfclient.destination import Destination
from hfclient.errors import HFClientError, InputError
from hfclient.redact import Redactor, Secret
from hfclient.route import Route
from hfclient.settings import TransportKind
from hfclient.transport import Transport
from tests.loopback import (
    Close,
    HoldUntilClosed,
    Loopback,
    Received,
    Reset,
    Send,
    Step,
    answer,
    by_path,
    chat,
    chat_chunks,
    chat_completion,
    frame,
    head,
    hub,
    json_answer,
    sse_answer,
)

pytestmark = pytest.mark.anyio

EVENTS = chat_chunks("One two three.")
MODEL = "org/model"

# Made up here, and for the most part unlike any known kind of key: only who knows them can find them.
TOKEN = "hf_fake_" + "argument0a1b2c3d"
PLAIN = "-".join(["plain", "fake", "4e5f6071", "zq"])
HEADER = "-".join(["header", "fake", "82930415", "xw"])
QUERY = "-".join(["query", "fake", "5a6b7c8d", "vu"])
OWN_QUERY = "-".join(["ownquery", "fake", "9e0f1a2b", "ts"])
PROVIDER = "-".join(["provider", "fake", "3c4d5e6f", "rq"])
ODD = "odd/fake+" + "70819203==&x"

ALL = (TOKEN, PLAIN, HEADER, QUERY, OWN_QUERY, PROVIDER, ODD)


def spellings(secret: str) -> set[str]:
    """How a secret may be written and still be one."""
    return {secret, quote(secret, ""), quote(secret, "").lower(), json.dumps(secret)[1:-1], secret.replace("/", r"\/")}


def found_in(text: str) -> list[str]:
    return [secret for secret in ALL if any(form in text for form in spellings(secret))]


def unfold(value: object, seen: set[int]) -> Iterator[str]:
    """Every text that can be reached from a value: what it holds, what caused it, and how it shows itself."""
    if id(value) in seen or value is None or isinstance(value, int | float | type | Callable):  # type: ignore[arg-type]
        return
    seen.add(id(value))
    if isinstance(value, str):
        yield value
        return
    if isinstance(value, bytes | bytearray | memoryview):
        yield bytes(value).decode("latin-1")
        return
    yield from (str(value), repr(value), f"{value}")
    for held in held_by(value):
        yield from unfold(held, seen)


def held_by(value: object) -> Iterator[object]:
    if isinstance(value, BaseException):
        yield from (value.args, value.__cause__, value.__context__, "".join(traceback.format_exception(value)))
        yield getattr(value, "object", None)
    if isinstance(value, BaseExceptionGroup):
        yield from value.exceptions
    if isinstance(value, BaseModel):
        yield from (value.model_dump_json(), value.__pydantic_private__)
    if isinstance(value, Mapping):
        yield from (*value.keys(), *value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    if is_dataclass(value):
        yield from (getattr(value, each.name) for each in fields(value))
    yield from vars(value).values() if hasattr(value, "__dict__") else ()


def searched(value: object) -> list[str]:
    """The secrets in a value, in whatever it holds, and in its pickle."""
    pickled = [pickle.dumps(value), base64.b64encode(pickle.dumps(value))]
    return sorted({each for text in [*unfold(value, set()), *unfold(pickled, set())] for each in found_in(text)})


@dataclass
class Evidence:
    """What came out of a few calls."""

    results: list[object] = field(default_factory=list)
    errors: list[HFClientError] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    async def of(self, client: Client, **options: Any) -> None:
        """Call and stream, and keep what came of it."""
        stream = client.chat.stream("hi", **options)
        for call in (client.chat("hi", **options), stream.final()):
            try:
                result = await call
                self.results += [result.meta, result.model_dump()]
            except HFClientError as error:
                self.errors += [error, copy.copy(error)]
        parts = (client, client._keys, client.chat, stream, client._shared, client.dispatcher)
        self.shown += [form(part) for part in parts for form in (repr, str, format)]


@dataclass
class Watch:
    """Sees logs, spans and metrics."""

    spans: InMemorySpanExporter
    reader: InMemoryMetricReader
    logs: pytest.LogCaptureFixture

    def everything(self) -> Iterator[str]:
        for record in self.logs.records:
            yield from (record.getMessage(), str(record.msg), repr(record.args), str(record.exc_text))
            yield from unfold(record.args, set())
        yield from (span.to_json() for span in self.spans.get_finished_spans())
        data = self.reader.get_metrics_data()
        yield data.to_json() if data else ""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Watch]:
    tracers = TracerProvider(shutdown_on_exit=False)
    seen = Watch(InMemorySpanExporter(), InMemoryMetricReader(), caplog)
    tracers.add_span_processor(SimpleSpanProcessor(seen.spans))
    meters = MeterProvider([seen.reader], shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    monkeypatch.delenv(recording.CONTENT_VARIABLE, raising=False)
    for name in ("", "hfclient", "httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    yield seen
    tracers.shutdown()
    meters.shutdown()


def assert_clean(evidence: Evidence, watch: Watch) -> None:
    """No secret in any result, error, log record, span, metric or repr."""
    assert evidence.results or evidence.errors
    leaks = [(each, searched(each)) for each in [*evidence.results, *evidence.errors]]
    assert [(repr(each)[:300], found) for each, found in leaks if found] == []
    leaked = [text for text in [*evidence.shown, *watch.everything()] if found_in(text)]
    assert [(text[:300], found_in(text)) for text in leaked] == []


def said_back(request: Received) -> str:
    """All the secrets that came with a request, in one line."""
    sent = [request.headers.get(name, "") for name in ("authorization", "x-api-key", "cookie", "x-own-token")]
    return " ".join([*sent, request.target])


Echo = Callable[[str], list[Step]]


def in_headers(text: str, **also: str) -> dict[str, str]:
    names = ("x-request-id", "x-amzn-trace-id", "x-error-message", "x-error-code", "x-inference-provider", "x-debug")
    return {**dict.fromkeys(names, text), "set-cookie": f"session={text}", "location": f"/a?b={quote(text)}", **also}


def refusal(status: int) -> Echo:
    return lambda said: json_answer({"error": {"message": f"bad key: {said}", "code": said}}, status=status)


def event(payload: object) -> Echo:
    return lambda said: sse_answer([EVENTS[0], payload(said) if callable(payload) else payload])


ECHOES: dict[str, Echo] = {
    "success": lambda _: json_answer(chat_completion()),
    "success, stream": lambda _: sse_answer(EVENTS),
    "success, in headers": lambda said: json_answer(chat_completion(), headers=in_headers(said)),
    "stream, in headers": lambda said: sse_answer(EVENTS, headers=in_headers(said)),
    **{f"refused with {status}": refusal(status) for status in (400, 401, 402, 403, 404, 422, 429, 500, 503)},
    "refused, in headers": lambda said: answer(b"", status=401, headers=in_headers(said)),
    "refused, as text": lambda said: answer(said.encode(), status=400, headers={"content-type": "text/plain"}),
    "refused, as a page": lambda said: answer(
        f"<html><title>{said}</title>{said}</html>".encode(), status=502, headers={"content-type": "text/html"}
    ),
    "refused, as a list": lambda said: json_answer([{"error": said}], status=422),
    "refused, escaped": lambda said: answer(json.dumps({"detail": f'"{said}"'}).encode(), status=422),
    "refused, cut off": lambda said: [Send(head(403, {"content-length": "9999"}) + said.encode()), Close()],
    "error with a success": lambda said: json_answer({"error": said}),
    "success without choices": lambda said: json_answer({**chat_completion(), "choices": None, "note": said}),
    "success that is not JSON": lambda said: answer(said.encode(), headers={"content-type": "text/plain"}),
    "success that is a page": lambda said: answer(f"<html>{said}".encode(), headers={"content-type": "text/html"}),
    "success that is cut": lambda said: [Send(head(200, {"content-length": "9999"}) + said.encode()), Close()],
    "error event": event(lambda said: {"error": {"message": said, "code": said}}),
    "error event, as text": event(lambda said: {"error": said, "error_type": said}),
    "error event, named": event(lambda said: f"event: error\ndata: {said}\n\n".encode()),
    "error event, without words": event(lambda said: f'event: error\ndata: {{"x": "{said}"}}\n\n'.encode()),
    "no chunk": event(lambda said: {"surprise": said}),
    "chunk of a wrong shape": event(lambda said: {"choices": [{"delta": {"content": {"a": said}}}]}),
    "event that is not JSON": event(lambda said: f"data: {{{said}\n\n".encode()),
    "what had arrived": lambda said: sse_answer([*chat_chunks(said)[:-1]], done=False, finish=[Close()]),
    "what had arrived before an error": lambda said: sse_answer([*chat_chunks(said)[:-1], {"error": said}]),
    "status line": lambda said: [Send(f"HTTP/1.1 {said}\r\n\r\n".encode()), Close()],
    "no HTTP": lambda said: [Send(f"{said}\r\n\r\n".encode()), Close()],
    "header line": lambda said: [Send(f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode()), Close()],
    "reason": lambda said: [Send(f"HTTP/1.1 418 {said}\r\ncontent-length: 0\r\n\r\n".encode())],
    "chunk size": lambda said: [Send(head(200, {"transfer-encoding": "chunked"}) + f"{said}\r\n".encode()), Close()],
    "length": lambda said: [Send(f"HTTP/1.1 200 OK\r\ncontent-length: {said}\r\n\r\n".encode()), Close()],
    "encoding": lambda said: answer(said.encode(), headers={"content-encoding": "gzip"}),
    "redirect": lambda said: answer(
        b"", status=302, headers={"location": f"http://localhost:1/{quote(said)}?k={said}"}
    ),
    "redirect, kept": lambda said: answer(b"", status=307, headers={"location": f"/{quote(said)}"}),
    "redirect to nonsense": lambda said: answer(b"", status=307, headers={"location": f"http://{said}:a/"}),
    "redirect elsewhere": lambda said: answer(b"", status=308, headers={"location": f"http://a:{said}@localhost/"}),
    "headers too long": lambda said: answer(b"{}", headers={"x-long": said * (9000 // len(said) + 1)}),
    "garbage after the answer": lambda _: [*json_answer(chat_completion()), Send(b"garbage\r\n\r\n")],
    "garbage in the answer": lambda said: [
        Send(head(200, {"transfer-encoding": "chunked"}) + f"2\r\n{{}}\r\n{said}\r\n\r\n".encode())
    ],
    "another protocol": lambda _: [Send(b"SSH-2.0\r\n\r\n")],
    "closed": lambda _: [Close()],
    "reset": lambda _: [Reset()],
    "silent": lambda _: [HoldUntilClosed()],
}


CARRIED = [("asyncio", "httpx"), ("trio", "httpx"), ("asyncio", "aiohttp")]


# Where decoding fails, httpx drops a generator of its own half-way, and trio remarks on it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("anyio_backend", "kind"), CARRIED, ids=lambda name: name)
@pytest.mark.parametrize("echo", ECHOES)
async def test_nothing_a_server_says_brings_a_key_out(echo: str, kind: TransportKind, watch: Watch) -> None:
    """Whatever a server sends back, in whichever place, no key of the call's is in anything that a person may see."""
    evidence = Evidence()
    with Loopback(lambda request: ECHOES[echo](said_back(request))) as server:
        for token in (TOKEN, PLAIN, ODD):
            url = f"{server.url}/v1?k={QUERY}"
            async with Client.endpoint(url, token, model="m", timeout=0.2, retry=False, transport=kind) as client:
                await evidence.of(client, extra_query={"q": OWN_QUERY})
                own = {"x-api-key": HEADER, "cookie": f"a={HEADER}", "X-Own-Token": HEADER, "Authorization": HEADER}
                await evidence.of(client.with_options(headers=own))
                await evidence.of(client, extra_headers=own, deadline=0.1)
        assert all(found_in(said_back(request)) for request in server.requests)
    assert_clean(evidence, watch)


async def test_the_token_of_this_machine(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    """A token from the environment stays out of sight through look-up, retries and fallbacks that all send it back."""
    evidence = Evidence()
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    async def no_pause(seconds: float) -> None: ...

    monkeypatch.setattr("hfclient.clock.sleep", no_pause)
    mapping = {name: {"status": "live", "providerId": "m", "task": "conversational"} for name in ("groq", "together")}
    known = f"/api/models/{MODEL}"
    servers = {known: hub(mapping), "/api/": lambda request: refusal(401)(said_back(request))}
    servers[""] = lambda request: refusal(503)(said_back(request))
    with Loopback(by_path(servers)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HFCLIENT_ROUTER", server.url)
        for provider in ("auto", "groq", ["groq", "together"]):
            for model in (MODEL, "org/unknown"):
                async with Client(provider=provider, model=model, retry=Retry(attempts=3)) as client:
                    await evidence.of(client)
        assert any(found_in(said_back(request)) for request in server.requests)
    assert_clean(evidence, watch)


@pytest.mark.parametrize("way", ["keys=", "environment", "token"])
async def test_a_providers_key(way: str, monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    """A provider's own key, wherever it was found, is not shown when that provider sends it back."""
    evidence = Evidence()
    options: dict[str, Any] = {"provider": "cerebras", "model": "org/model"}
    match way:
        case "keys=":
            options["keys"] = {"cerebras": PROVIDER}
        case "environment":
            monkeypatch.setenv("CEREBRAS_API_KEY", PROVIDER)
        case _:
            options["token"] = PROVIDER
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization", ""))
        return httpx.Response(401, json={"error": f"unknown key {sent[-1]}"}, headers={"x-request-id": sent[-1]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        await evidence.of(Client(http_client=http_client, **options))
    assert any(PROVIDER in each for each in sent)
    assert_clean(evidence, watch)


async def test_a_client_shows_none_of_its_keys(watch: Watch) -> None:
    """A client made with every kind of key, and all its parts, show none of them, and cannot be pickled."""
    client = Client(
        TOKEN,
        provider="groq",
        base_url=f"https://localhost/v1?k={QUERY}",
        keys={"groq": PROVIDER, "together": PLAIN},
        headers={"authorization": f"Bearer {HEADER}", "x-own-token": HEADER},
    )
    key = Key(Secret(TOKEN), frozenset({"https://localhost:443"}))
    own = {"x-own-token": HEADER}
    to = Destination("groq", f"https://localhost?k={QUERY}", key, headers=own, query={"q": OWN_QUERY})
    stream = client.chat.stream("hi", model="m", extra_query={"q": OWN_QUERY}, extra_headers=own)
    provider = client._shared.registry.find("groq")
    assert provider is not None
    route = Route(provider, provider.tasks["conversational"], "m", f"https://localhost?k={QUERY}", key)
    keys = Keys.given(TOKEN, provider=None, base_url=None, keys={"groq": PROVIDER})
    parts = [client, client.defaults, keys, key, to, route, stream, stream._call, Transport(max_connections=1)]
    parts += [client._shared, client._keys, client.dispatcher, client.chat, client.chat.completions, Secret(PLAIN)]
    parts += [Redactor(ALL), Call("conversational", "hi", headers={"authorization": HEADER}, query={"q": QUERY})]
    shown = [(type(part).__name__, form(part)) for part in parts for form in (repr, str, format)]
    assert {name: found_in(text) for name, text in shown if found_in(text)} == {}
    for part in (client, Secret(PLAIN), Redactor(ALL)):
        with pytest.raises(TypeError):
            pickle.dumps(part)
    assert not [text for text in watch.everything() if found_in(text)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Client(f"{PLAIN} {PLAIN}"),
        lambda: Client(PLAIN),
        lambda: Client(TOKEN, base_url=f"https://user:{PLAIN}@localhost/v1"),
        lambda: Client.endpoint(f"https://{PLAIN}@localhost/v1"),
        lambda: Client.endpoint(f"localhost?key={PLAIN}"),
        lambda: Client(keys={"groq": f"{PLAIN}\n{PLAIN}"}),
        lambda: Client(keys=[PLAIN]),  # type: ignore[arg-type]
        lambda: Client(headers={"authorization": f"Bearer\n{PLAIN}"}),
        lambda: Client(headers={"authorization": PLAIN.encode()}),  # type: ignore[dict-item]
        lambda: Client(headers=f"authorization: {PLAIN}"),  # type: ignore[arg-type]
        lambda: Client(TOKEN).with_options(keys={"groq": f"{PLAIN} {PLAIN}"}),
        lambda: Client(TOKEN).chat.stream("hi", model="m", extra_query={"key": f"{PLAIN}\n"}),
        lambda: Client(TOKEN).chat.stream("hi", model="m", extra_headers={"key": 1, "token": f"{PLAIN}\n"}),
    ],
)
async def test_a_key_given_wrongly_is_not_shown(make: Callable[[], object]) -> None:
    """Where a key is refused for its form or its place, the error does not repeat it."""
    with pytest.raises(InputError) as caught:
        make()
    assert searched(caught.value) == []


async def test_media_at_a_signed_address(watch: Watch) -> None:
    """An address with a signature in it, that cannot be fetched, is told without the signature."""
    evidence = Evidence()
    with Loopback(lambda request: refusal(403)(request.target)) as server:
        picture = f"{server.url}/cat.png?X-Amz-Signature={QUERY}"
        transport = Transport(max_connections=1)
        from hfclient.flow import Load
        from hfclient.media import Media

        try:
            with pytest.raises(InputError) as caught:
                await transport.load(Load(Media(picture)), Destination("groq", "https://localhost"))
        finally:
            await transport.aclose()
    evidence.errors.append(caught.value)
    assert_clean(evidence, watch)


async def test_a_cancelled_call_shows_nothing(watch: Watch) -> None:
    """Logs and spans of a call that is cancelled in flight hold no key either."""
    with Loopback(lambda _: [HoldUntilClosed()]) as server:
        async with Client.endpoint(f"{server.url}?k={QUERY}", PLAIN, model="m") as client:
            with anyio.move_on_after(0.1):
                await client.chat("hi")
    assert [text[:300] for text in watch.everything() if found_in(text)] == []
    assert watch.spans.get_finished_spans()


def test_the_debug_log_of_a_program() -> None:
    """A program run with HFCLIENT_LOG=debug shows its requests on standard error, and no key, whatever comes back."""
    program = textwrap.dedent(
        """
        import anyio, os, traceback
        from hfclient import Client
        from hfclient.errors import HFClientError

        async def main():
            for token in (os.environ["FAKE_TOKEN"], os.environ["FAKE_PLAIN"]):
                async with Client.endpoint(os.environ["FAKE_URL"], token, model="m") as client:
                    print(client, (await client.chat("hi")).meta)
                    for path in ("refused", "cut"):
                        for call in (client.chat("hi", extra_query={"to": path}),
                                     client.chat.stream("hi", extra_query={"to": path}).final()):
                            try:
                                await call
                            except HFClientError:
                                traceback.print_exc()

        anyio.run(main)
        """
    )

    def handle(request: Received) -> list[Step]:
        if "refused" in request.target:
            return refusal(401)(said_back(request))
        if "cut" in request.target:
            return ECHOES["status line"](said_back(request))
        return chat()(request)

    with Loopback(handle) as server:
        environment = {
            **os.environ,
            "HFCLIENT_LOG": "debug",
            "FAKE_URL": f"{server.url}/v1?k={QUERY}",
            "FAKE_TOKEN": TOKEN,
            "FAKE_PLAIN": PLAIN,
        }
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
    assert "POST" in done.stderr
    assert "ConnectionLostError in" in done.stderr
    assert "to=refused" not in done.stderr
    assert found_in(done.stdout + done.stderr) == []


def test_the_search_finds_what_is_there() -> None:
    """The search itself works: it finds a secret in a message, a field, a cause, a pickle and a mapping."""
    cause = ValueError(f"caused by {PLAIN}")
    error = HFClientError("No.", provider=TOKEN)
    error.__cause__ = cause
    assert set(searched(error)) == {TOKEN, PLAIN}
    assert searched({"a": [QUERY]}) == [QUERY]
    assert searched(json.JSONDecodeError("No.", f'{{"a": "{HEADER}"', 0)) == [HEADER]
    assert frame({"a": 1}) == b'data: {"a":1}\n\n'

"""What OpenTelemetry sees of calls as they are made through a client, from one end to the other."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hfclient import Client, recording
from hfclient.errors import (
    AuthenticationError,
    DeadlineError,
    HFClientError,
    InputError,
    RateLimitError,
    StreamFailedError,
    TruncatedStreamError,
)
from tests.loopback import (
    Close,
    HoldUntilClosed,
    Loopback,
    Step,
    by_path,
    chat,
    chat_chunks,
    chat_completion,
    hub,
    json_answer,
    sse_answer,
)

pytestmark = pytest.mark.anyio

TOKEN = "hf_fake_0123456789abcdef"
EVENTS = chat_chunks("One two three.")
LOADING = json_answer({"error": "loading"}, status=503, headers={"retry-after": "0"})
STALLED = sse_answer(EVENTS[:2], done=False, finish=[HoldUntilClosed()])


@dataclass
class Telescope:
    """Sees what is exported."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracers: TracerProvider

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    def attributes(self) -> dict[str, Any]:
        return dict(self.span().attributes or {})

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    async def ended(self, count: int = 1) -> None:
        with anyio.fail_after(5):
            while len(self.spans) < count:
                await anyio.lowlevel.checkpoint()


@pytest.fixture
def telescope(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telescope]:
    seen = Telescope(InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider(shutdown_on_exit=False))
    seen.tracers.add_span_processor(SimpleSpanProcessor(seen.exporter))
    meters = MeterProvider([seen.reader], shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: seen.tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    monkeypatch.delenv(recording.CONTENT_VARIABLE, raising=False)
    yield seen
    seen.tracers.shutdown()
    meters.shutdown()


def serving(*answers: list[Step]) -> Loopback:
    waiting = list(answers)
    return Loopback(lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0])


def endpoint(server: Loopback, **options: Any) -> Client:
    return Client.endpoint(server.url, TOKEN, model="m", **options)


async def test_a_call_is_one_span(telescope: Telescope) -> None:
    """A call that succeeds is one client span, named for what it does, with what it asked and what it got."""
    with serving(json_answer(chat_completion())) as server:
        async with endpoint(server) as client:
            await client.chat("hi", temperature=0.5)
    span, attributes = telescope.span(), telescope.attributes()
    assert (span.name, span.kind, span.status.status_code) == ("chat m", SpanKind.CLIENT, StatusCode.UNSET)
    assert attributes["gen_ai.provider.name"] == "huggingface"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.usage.input_tokens"] == 9
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] == int(server.url.rpartition(":")[2])
    assert attributes["hfclient.inference_provider"] == "endpoint"
    assert attributes["hfclient.request_id"] == "req-loopback"
    assert attributes["hfclient.attempts"] == 1


async def test_the_span_is_current_while_the_call_runs(telescope: Telescope) -> None:
    """Spans of the HTTP client underneath belong to the call's, and the caller's own span is its parent."""
    inside: list[trace.SpanContext] = []

    def handle(_: httpx.Request) -> httpx.Response:
        inside.append(trace.get_current_span().get_span_context())
        return httpx.Response(200, json=chat_completion())

    tracer = telescope.tracers.get_tracer("test")
    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        client = Client.endpoint("http://localhost", TOKEN, model="m", http_client=http_client)
        with tracer.start_as_current_span("caller") as caller:
            await client.chat("hi")
            assert trace.get_current_span() is caller
    ours, _ = telescope.spans
    assert [ours.context] == inside
    assert ours.parent == caller.get_span_context()


async def test_retries_are_events_of_one_span(telescope: Telescope) -> None:
    """Tries that failed before the one that succeeded are events in the same span."""
    with serving(LOADING, json_answer(chat_completion())) as server:
        async with endpoint(server) as client:
            await client.chat("hi")
    span = telescope.span()
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        (
            "hfclient.retry",
            {
                "hfclient.inference_provider": "endpoint",
                "error.type": "503",
                "hfclient.waited": 0.0,
                "hfclient.request_id": "req-loopback",
            },
        )
    ]
    assert telescope.attributes()["hfclient.attempts"] == 2
    assert span.status.status_code is StatusCode.UNSET


async def test_a_fallback_is_an_event_too(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moving on to another provider is an event that names it, and the span tells who served the call in the end."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    mapping = {name: {"status": "live", "providerId": "m", "task": "conversational"} for name in ("groq", "together")}
    refused = json_answer({"error": "slow down"}, status=429)
    handler = by_path({"/api/models/": hub(mapping), "/groq": lambda _: refused, "/together": chat()})
    with Loopback(handler) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HFCLIENT_ROUTER", server.url)
        async with Client(provider=["groq", "together"]) as client:
            reply = await client.chat("hi", model="org/model")
    (event,) = telescope.span().events
    assert event.name == "hfclient.fallback"
    assert dict(event.attributes or {})["hfclient.next_provider"] == "together"
    assert telescope.attributes()["hfclient.inference_provider"] == reply.meta.provider == "together"


async def test_the_provider_the_router_chose(telescope: Telescope) -> None:
    """Where the router says whom it chose, the span says so too."""
    with serving(json_answer(chat_completion(), headers={"x-inference-provider": "cerebras"})) as server:
        async with endpoint(server) as client:
            await client.chat("hi")
    assert telescope.attributes()["hfclient.inference_provider"] == "cerebras"


@pytest.mark.parametrize(
    ("steps", "kind", "error_type"),
    [
        (json_answer({"error": "bad key"}, status=401), AuthenticationError, "401"),
        ([Close()], HFClientError, "ConnectionLostError"),
        (json_answer({"error": "no"}), HFClientError, "ResponseError"),
    ],
    ids=["refused", "lost", "no answer"],
)
async def test_a_failed_call_is_a_failed_span(
    telescope: Telescope, steps: list[Step], kind: type[HFClientError], error_type: str
) -> None:
    """A call that fails is a span with an error: the status where there was one, else the error's name."""
    with serving(steps) as server:
        async with endpoint(server) as client:
            with pytest.raises(kind) as caught:
                await client.chat("hi")
    assert telescope.attributes()["error.type"] == error_type
    assert telescope.span().status.status_code is StatusCode.ERROR
    assert telescope.span().status.description == caught.value.message


async def test_a_call_that_is_never_sent(telescope: Telescope) -> None:
    """A call that finds no key is a failed span that went nowhere; a wrong argument is no call at all."""
    async with Client() as client:
        with pytest.raises(InputError):
            await client.chat("hi", model="org/model")
        with pytest.raises(InputError):
            await client.chat("hi", model="org/model", temprature=1)  # type: ignore[call-arg]
    assert telescope.attributes()["error.type"] == "MissingKeyError"
    assert "server.address" not in telescope.attributes()


async def test_a_deadline(telescope: Telescope) -> None:
    """A call that runs out of time ends its span with that."""
    with serving([HoldUntilClosed()]) as server:
        async with endpoint(server, deadline=0.1) as client:
            with pytest.raises(DeadlineError):
                await client.chat("hi")
    assert telescope.attributes()["error.type"] == "DeadlineError"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_a_cancelled_call(telescope: Telescope, streamed: bool) -> None:
    """A cancelled call ends its span, with the cancellation as its error."""
    with serving(STALLED if streamed else [HoldUntilClosed()]) as server:
        async with endpoint(server) as client:

            async def call() -> None:
                await (client.chat.stream("hi").final() if streamed else client.chat("hi"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await anyio.to_thread.run_sync(server.wait_until, lambda: len(server.requests) == 1)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
    assert telescope.attributes()["error.type"] in {"Cancelled", "CancelledError"}


async def test_a_stream_is_one_span_until_its_end(telescope: Telescope) -> None:
    """A stream's span is open while it is read and ends with its last chunk; leaving it then changes nothing."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client, client.chat.stream("hi") as stream:
            async for _ in stream:
                assert telescope.spans == []
            assert len(telescope.spans) == 1
            await stream.final()
    attributes = telescope.attributes()
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["gen_ai.response.time_to_first_chunk"] >= 0
    assert "error.type" not in attributes


async def test_a_stream_does_not_leak_its_span_into_the_reader(telescope: Telescope) -> None:
    """Between two chunks the current span is the reader's own."""
    tracer = telescope.tracers.get_tracer("test")
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            with tracer.start_as_current_span("reader") as reader:
                async for _ in client.chat.stream("hi"):
                    assert trace.get_current_span() is reader
    assert {span.name: span.parent for span in telescope.spans}["chat m"] == reader.get_span_context()


async def test_a_stream_that_is_never_used(telescope: Telescope) -> None:
    """A stream that is made and never opened is no call."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            await stream.aclose()
            del stream
    assert telescope.spans == []


@pytest.mark.parametrize("way", ["break", "dropped", "left", "closed", "client closed"])
async def test_a_stream_that_is_left(telescope: Telescope, way: str) -> None:
    """A stream that is left early ends its span then, and says that it was left and what it had brought."""
    with serving(STALLED) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            match way:
                case "break":
                    async for _ in stream:
                        break
                case "left":
                    async with stream:
                        await anext(stream)
                case "dropped":
                    await anext(stream)
                    del stream
                    gc.collect()
                case "closed":
                    await anext(stream)
                    await stream.aclose()
                    await stream.aclose()
                case _:
                    await anext(stream)
                    await client.aclose()
                    with pytest.raises(HFClientError):
                        await stream.final()
            await telescope.ended()
    attributes = telescope.attributes()
    # To leave is the reader's right and no failure; the client's end under a reader is one.
    assert attributes.get("error.type") == ("TruncatedStreamError" if way == "client closed" else None)
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        (sse_answer(EVENTS[:2], done=False), TruncatedStreamError),
        (sse_answer([EVENTS[0], {"error": {"message": "no capacity"}}]), StreamFailedError),
    ],
    ids=["cut", "failed"],
)
async def test_a_stream_that_breaks(telescope: Telescope, steps: list[Step], kind: type[HFClientError]) -> None:
    """A stream that breaks is a span with that error, and the answer so far has no finish reason."""
    with serving(steps) as server:
        async with endpoint(server) as client:
            with pytest.raises(kind):
                await client.chat.stream("hi").final()
    attributes = telescope.attributes()
    assert attributes["error.type"] in {kind.__name__, "200"}
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)


async def test_a_stream_that_is_refused(telescope: Telescope) -> None:
    """A stream that never began is one failed span, however often it is read afterwards."""
    with serving(json_answer({"error": "slow down"}, status=429)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            for _ in range(2):
                with pytest.raises(RateLimitError):
                    await stream.final()
    assert telescope.attributes()["error.type"] == "429"


async def test_calls_at_the_same_time_keep_apart(telescope: Telescope) -> None:
    """Each of many calls at once has its own span, and none is another's parent."""
    with serving(json_answer(chat_completion())) as server:
        async with endpoint(server) as client, anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(lambda number=number: client.chat("hi", model=f"m{number}"))
    assert {span.name for span in telescope.spans} == {f"chat m{number}" for number in range(10)}
    assert {span.parent for span in telescope.spans} == {None}


async def test_calls_are_measured(telescope: Telescope) -> None:
    """Duration, tokens, and for streams the time to the first chunk and between chunks, are measured."""
    with serving(json_answer(chat_completion()), sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            await client.chat("hi")
            await client.chat.stream("hi").final()
    measured = telescope.metrics()
    assert sum(point.count for point in measured["gen_ai.client.inference.duration"]) == 2
    assert sum(point.count for point in measured["gen_ai.client.inference.time_to_first_chunk"]) == 1
    assert sum(point.count for point in measured["gen_ai.client.inference.time_per_output_chunk"]) == len(EVENTS) - 1
    assert sum(point.value for point in measured["gen_ai.client.inference.usage.input_tokens"]) == 9


async def test_the_older_names(telescope: Telescope) -> None:
    """One switch on the client gives the names that dashboards of today know."""
    with serving(json_answer(chat_completion())) as server:
        async with endpoint(server, semconv="1.41") as client:
            await client.chat("hi")
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} == telescope.metrics().keys()


async def test_keys_are_in_no_span(telescope: Telescope) -> None:
    """A key that a server sends back in its words is in no attribute, event or status."""
    words = {"error": f"bad key Bearer {TOKEN}"}
    refused = json_answer(words, status=503, headers={"retry-after": "0", "x-request-id": TOKEN})
    with serving(refused) as server:
        async with endpoint(server) as client:
            for call in (client.chat("hi"), client.chat.stream("hi").final()):
                with pytest.raises(HFClientError):
                    await call
    exported = "".join(span.to_json() for span in telescope.spans)
    assert "hfclient.retry" in exported
    assert TOKEN not in exported


def run(program: str, server: Loopback) -> str:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), server.url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_nobody_pays_who_does_not_look() -> None:
    """A program that does not use OpenTelemetry never loads it, not even its API, for calls and streams."""
    program = """
        import sys, anyio
        from hfclient import Client

        async def main():
            async with Client.endpoint(sys.argv[1], model="m") as client:
                await client.chat("hi")
                await client.chat.stream("hi").final()

        anyio.run(main)
        print([name for name in sys.modules if name.startswith("opentelemetry")], "hfclient.recording" in sys.modules)
    """
    with Loopback(chat()) as server:
        assert run(program, server) == "[] False\n"


def test_the_api_alone_records_nothing() -> None:
    """A program that has loaded OpenTelemetry's API but no SDK makes its calls and records nothing."""
    program = """
        import sys, anyio
        from opentelemetry import trace
        from hfclient import Client
        from hfclient.telemetry import NOTHING

        async def main():
            async with Client.endpoint(sys.argv[1], model="m") as client:
                stream = client.chat.stream("hi")
                await stream.final()
                print(stream._trip.observation is NOTHING)

        anyio.run(main)
        print([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
    """
    with Loopback(chat()) as server:
        assert run(program, server) == "True\n[]\n"

"""What OpenTelemetry sees of a call, in both generations of names, and what it never sees."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from asyncio import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, metrics, trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from hfclient import clock, recording, semconv
from hfclient.call import Call
from hfclient.errors import OutputParseError, RateLimitError, StreamFailedError, TruncatedStreamError
from hfclient.media import Media
from hfclient.telemetry import NOTHING, Observation, Semconv, observe
from hfclient.types import Attempt, ChatCompletion, ChatMessage, Meta, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL = "Qwen/Qwen3-32B"
KEY = "hf_fake_0123456789"
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAAN"
BOTH: tuple[Semconv, ...] = ("2026-10", "1.41")


@dataclass
class Telescope:
    """Sees everything that is exported."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    events: InMemoryLogRecordExporter

    def span(self) -> ReadableSpan:
        (span,) = self.exporter.get_finished_spans()
        return span

    def attributes(self) -> dict[str, Any]:
        return dict(self.span().attributes or {})

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    def everything(self) -> str:
        spans = [span.to_json() for span in self.exporter.get_finished_spans()]
        events = [dict(event.log_record.attributes or {}) for event in self.events.get_finished_logs()]
        return "\n".join([*spans, str(self.points()), str(events)])


@pytest.fixture
def telescope(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telescope]:
    seen = Telescope(InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter())
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(seen.exporter))
    meters = MeterProvider([seen.reader], shutdown_on_exit=False)
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(seen.events))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    monkeypatch.setattr(recording, "get_logger_provider", lambda: loggers)
    monkeypatch.delenv(recording.CONTENT_VARIABLE, raising=False)
    yield seen
    tracers.shutdown()
    meters.shutdown()
    loggers.shutdown()


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that goes on only when told to."""
    now = [100.0]
    monkeypatch.setattr(clock, "now", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def call(task: str = "conversational", inputs: Any = "Why is the sky blue?", **more: Any) -> Call:
    return Call(task, inputs, **{"model": MODEL, **more})


def completion(*reasons: str | None, text: str = "Rayleigh.", usage: dict[str, Any] | None = None) -> ChatCompletion:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        for index, reason in enumerate(reasons or ("stop",))
    ]
    return ChatCompletion.model_validate({"id": "chat-1", "model": "qwen3-32b", "choices": choices, "usage": usage})


USAGE = {
    "prompt_tokens": 300,
    "completion_tokens": 50,
    "total_tokens": 350,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 25, "text_tokens": 100, "image_tokens": 200},
    "completion_tokens_details": {"reasoning_tokens": 10},
}
META = Meta("groq", MODEL, "req-1", 200, {"authorization": f"Bearer {KEY}"}, (Attempt("groq", 200),), 1.5)


def begun(what: Call | None = None, generation: Semconv = "2026-10") -> Observation:
    observation = observe(what or call(), semconv=generation)
    assert observation is not NOTHING
    observation.routed("groq", f"https://user:{KEY}@router.huggingface.co/groq/v1/chat/completions?key={KEY}")
    return observation


# The span.


@pytest.mark.parametrize("generation", BOTH)
def test_a_call_is_one_client_span_with_request_and_answer(telescope: Telescope, generation: Semconv) -> None:
    """A call is one CLIENT span, named after operation and model, that says what was asked and what came back."""
    parameters = {
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 40,
        "max_completion_tokens": 256,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "stop": "END",
        "seed": 7,
        "n": 2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "top_logprobs": 5,
    }
    begun(call(parameters=parameters), generation).succeeded(completion("stop", "length", usage=USAGE), META)
    assert telescope.span().name == f"chat {MODEL}"
    assert telescope.span().kind is SpanKind.CLIENT
    assert telescope.span().status.status_code is StatusCode.UNSET
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "huggingface",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.max_tokens": 256,
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "chat-1",
        "gen_ai.response.model": "qwen3-32b",
        "gen_ai.response.finish_reasons": ("stop", "length"),
        "gen_ai.usage.input_tokens": 300,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.reasoning.output_tokens": 10,
        "server.address": "router.huggingface.co",
        "server.port": 443,
        "hfclient.inference_provider": "groq",
        "hfclient.attempts": 1,
        "hfclient.request_id": "req-1",
    }
    only_here: dict[str, Any] = {"gen_ai.usage.cache_creation.input_tokens": 25}
    if generation == "2026-10":
        only_here = {
            "gen_ai.usage.cache_write.input_tokens": 25,
            "gen_ai.usage.text.input_tokens": 100,
            "gen_ai.usage.image.input_tokens": 200,
        }
    assert telescope.attributes() == expected | only_here
    assert type(telescope.attributes()["gen_ai.request.top_k"]) is (int if generation == "2026-10" else float)


def test_what_was_not_asked_is_not_said(telescope: Telescope) -> None:
    """No parameter, no attribute: a plain call tells neither defaults nor a stream, one choice or an output type."""
    begun(call(parameters={"n": 1, "temperature": None, "seed": "x", "top_k": True})).succeeded(completion(), META)
    assert not [name for name in telescope.attributes() if name.startswith(("gen_ai.request", "gen_ai.output"))][1:]


def test_extra_body_counts_as_asked(telescope: Telescope) -> None:
    """What goes into the body by `extra_body` is as much a request parameter as any other."""
    begun(call(body={"top_k": 5, "stop": ["a", "b"]})).succeeded(completion(), META)
    assert telescope.attributes()["gen_ai.request.top_k"] == 5
    assert telescope.attributes()["gen_ai.request.stop_sequences"] == ("a", "b")


@pytest.mark.parametrize(
    ("task", "name", "output"),
    [
        ("text-generation", "text_completion", None),
        ("feature-extraction", "embeddings", None),
        ("text-to-image", "generate_content", "image"),
        ("image-to-image", "generate_content", "image"),
        ("text-to-speech", "generate_content", "speech"),
        ("text-to-video", "generate_content", "video"),
        ("automatic-speech-recognition", "generate_content", "text"),
        ("image-classification", "image_classification", None),
    ],
)
def test_every_task_has_an_operation(telescope: Telescope, task: str, name: str, output: str | None) -> None:
    """A task has the operation that fits it best, and one that generates nothing goes by its own name."""
    begun(call(task)).succeeded(object(), META)
    assert telescope.span().name == f"{name} {MODEL}"
    assert telescope.attributes()["gen_ai.operation.name"] == name
    assert telescope.attributes().get("gen_ai.output.type") == output


def test_a_call_without_a_model_is_named_after_its_operation(telescope: Telescope) -> None:
    """Without a model the span has the operation for a name, and no model attribute."""
    begun(call(model=None)).succeeded(completion(), META)
    assert telescope.span().name == "chat"
    assert "gen_ai.request.model" not in telescope.attributes()


def test_local_calls_are_internal(telescope: Telescope) -> None:
    """A model in this process is an INTERNAL span without an address."""
    observation = observe(call(providers=("local",)))
    observation.routed("local", "")
    observation.succeeded(completion(), META)
    assert telescope.span().kind is SpanKind.INTERNAL
    assert "server.address" not in telescope.attributes()


def test_what_happens_inside_belongs_to_the_span(telescope: Telescope) -> None:
    """Inside `current` the span is the parent, before and after it is not, however often it is entered."""
    observation = begun()
    outside = trace.get_current_span()
    for _ in range(2):
        with observation.current():
            trace.get_tracer_provider().get_tracer("http").start_span("POST").end()
    assert trace.get_current_span() is outside
    observation.succeeded(completion(), META)
    *http, chat = telescope.exporter.get_finished_spans()
    assert chat.context is not None
    assert [span.parent.span_id for span in http if span.parent] == [chat.context.span_id] * 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_calls_at_the_same_time_have_each_their_own_span(telescope: Telescope, backend: str) -> None:
    """While one call waits inside its span, another goes on inside its own, and a cancelled one leaves none behind."""

    async def one(observation: Observation, inside: list[int]) -> None:
        with observation.current():
            await anyio.lowlevel.checkpoint()
            inside.append(trace.get_current_span().get_span_context().span_id)

    async def main() -> list[int]:
        inside: list[int] = []
        observations = [begun(), begun()]
        async with anyio.create_task_group() as tasks:
            for observation in observations:
                tasks.start_soon(one, observation, inside)
        with anyio.CancelScope() as scope, observations[0].current():
            scope.cancel()
            await anyio.sleep_forever()
        assert not trace.get_current_span().get_span_context().is_valid
        for observation in observations:
            observation.succeeded(completion(), META)
        return inside

    inside = anyio.run(main, backend=backend)
    spans = telescope.exporter.get_finished_spans()
    assert sorted(inside) == sorted(span.context.span_id for span in spans if span.context)


def test_the_span_belongs_to_the_span_around_the_call(telescope: Telescope) -> None:
    """A call made inside the application's span is its child."""
    with trace.get_tracer_provider().get_tracer("app").start_as_current_span("work") as work:
        begun().succeeded(completion(), META)
    chat = telescope.exporter.get_finished_spans()[0]
    assert chat.parent is not None
    assert chat.parent.span_id == work.get_span_context().span_id


def test_a_retry_and_a_change_of_provider_are_events(telescope: Telescope) -> None:
    """A failure that is not the end is an event of the same span, with its reason; the address follows the route."""
    observation = begun()
    observation.attempt_failed(Attempt("groq", 503, "ModelLoadingError", "req-0"), waited=2.5, next_provider=None)
    observation.attempt_failed(Attempt("groq", None, "ConnectionFailedError"), waited=0.0, next_provider="together")
    observation.routed("together", "http://localhost:8080/v1")
    observation.succeeded(completion(), Meta("together", attempts=(Attempt("a"), Attempt("b"), Attempt("c"))))
    retry, fallback = telescope.span().events
    assert (retry.name, dict(retry.attributes or {})) == (
        "hfclient.retry",
        {
            "hfclient.inference_provider": "groq",
            "error.type": "503",
            "hfclient.waited": 2.5,
            "hfclient.request_id": "req-0",
        },
    )
    assert (fallback.name, dict(fallback.attributes or {})) == (
        "hfclient.fallback",
        {
            "hfclient.inference_provider": "groq",
            "error.type": "ConnectionFailedError",
            "hfclient.waited": 0.0,
            "hfclient.next_provider": "together",
        },
    )
    found = telescope.attributes()
    assert (found["hfclient.inference_provider"], found["hfclient.attempts"]) == ("together", 3)
    assert (found["server.address"], found["server.port"]) == ("localhost", 8080)
    (duration,) = telescope.points()["gen_ai.client.inference.duration"]
    assert duration.attributes["server.address"] == "localhost"


# Endings.


def test_a_refused_call_has_the_status_as_its_error_type(telescope: Telescope) -> None:
    """Where the service answered with an error, `error.type` is its status, and the message is the error's own."""
    error = RateLimitError("Too many requests.", status=429, body=f"secret {KEY}", provider="groq", request_id="req-9")
    error.attempts = (Attempt("groq", 429), Attempt("groq", 429))
    begun().failed(error)
    status, found = telescope.span().status, telescope.attributes()
    assert (status.status_code, status.description) == (StatusCode.ERROR, "Too many requests.")
    assert (found["error.type"], found["hfclient.attempts"], found["hfclient.request_id"]) == ("429", 2, "req-9")
    (duration,) = telescope.points()["gen_ai.client.inference.duration"]
    assert duration.attributes["error.type"] == "429"


def test_an_error_after_a_success_status_goes_by_its_class(telescope: Telescope) -> None:
    """A status below 400 is no error type: the class of the error is."""
    begun().failed(StreamFailedError("The provider gave up.", status=200))
    assert telescope.attributes()["error.type"] == "StreamFailedError"


def test_of_a_foreign_error_only_the_class_is_told(telescope: Telescope) -> None:
    """The message of an error that is not ours may hold anything, so it stays out."""
    begun().failed(ValueError(f"Authorization: Bearer {KEY}"))
    assert telescope.attributes()["error.type"] == "ValueError"
    assert telescope.span().status.description == "ValueError"
    assert telescope.span().events == ()
    assert KEY not in telescope.everything()


def test_a_cancelled_stream_keeps_what_had_arrived(telescope: Telescope) -> None:
    """Cancellation ends the span as an error; a choice that was not finished has `error` as its finish reason."""
    begun(call(stream=True)).failed(CancelledError(), completion("stop", None))
    found = telescope.attributes()
    assert found["error.type"] == "CancelledError"
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.response.finish_reasons"] == ("stop", "error")
    assert telescope.span().status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    "error",
    [
        TruncatedStreamError("It ended early.", partial=completion(None, usage=USAGE)),
        OutputParseError("That is no JSON.", completion=completion(None, usage=USAGE)),
    ],
)
def test_what_an_error_holds_is_told_too(telescope: Telescope, error: BaseException) -> None:
    """An error that carries what had arrived need not be given it again."""
    begun().failed(error)
    assert telescope.attributes()["gen_ai.response.finish_reasons"] == ("error",)
    assert telescope.attributes()["gen_ai.usage.output_tokens"] == 50


def test_only_the_first_ending_counts(telescope: Telescope) -> None:
    """Ended is ended: later endings of either kind change neither span nor metrics."""
    observation = begun()
    observation.succeeded(completion(usage=USAGE), META)
    observation.failed(CancelledError())
    observation.succeeded(completion(usage=USAGE), META)
    assert telescope.span().status.status_code is StatusCode.UNSET
    (duration,) = telescope.points()["gen_ai.client.inference.duration"]
    assert duration.count == 1
    failed = begun()
    failed.failed(CancelledError())
    failed.succeeded(completion(), META)
    assert telescope.exporter.get_finished_spans()[1].status.status_code is StatusCode.ERROR


def test_attempts_are_counted_here_where_the_answer_does_not_tell(telescope: Telescope) -> None:
    """Without a list of attempts, those that failed and the last one are the number."""
    observation = begun()
    observation.attempt_failed(Attempt("groq", 503), waited=1.0, next_provider=None)
    observation.succeeded(completion(), Meta("groq"))
    assert telescope.attributes()["hfclient.attempts"] == 2


def test_any_result_will_do(telescope: Telescope) -> None:
    """A result of a type not known here still ends the span, with what every call has."""
    begun(call("text-to-image")).succeeded([1, 2, 3], META)
    assert telescope.attributes()["hfclient.request_id"] == "req-1"
    assert "gen_ai.usage.input_tokens" not in telescope.attributes()


# Metrics.


def test_metrics_of_today(telescope: Telescope, tick: Callable[[float], None]) -> None:
    """Today's names: inference metrics, tokens as counters by modality and as sizes of one call."""
    observation = begun()
    tick(1.5)
    observation.succeeded(completion(usage=USAGE), META)
    points = telescope.points()
    assert set(points) == {
        "gen_ai.client.inference.duration",
        *(f"gen_ai.client.inference.usage.{kind}_tokens" for kind in ("input", "output")),
        *(f"gen_ai.client.inference.usage.{kind}.input_tokens" for kind in ("cache_read", "cache_write")),
        "gen_ai.client.inference.usage.reasoning.output_tokens",
        *(f"gen_ai.client.inference.operation.{kind}_tokens" for kind in ("input", "output")),
    }
    (duration,) = points["gen_ai.client.inference.duration"]
    assert duration.sum == 1.5
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert duration.explicit_bounds[-1] == 81.92
    labels = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "huggingface",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": "qwen3-32b",
        "server.address": "router.huggingface.co",
        "server.port": 443,
    }
    assert dict(duration.attributes) == labels
    spent = {
        point.attributes["gen_ai.token.modality"]: point.value
        for point in points["gen_ai.client.inference.usage.input_tokens"]
    }
    assert spent == {"text": 100, "image": 200}
    (output,) = points["gen_ai.client.inference.usage.output_tokens"]
    assert (output.value, dict(output.attributes)) == (50, {**labels, "gen_ai.token.modality": "unknown"})
    (size,) = points["gen_ai.client.inference.operation.input_tokens"]
    assert (size.sum, size.explicit_bounds[-1], dict(size.attributes)) == (300, 67108864, labels)


def test_metrics_of_1_41(telescope: Telescope, tick: Callable[[float], None]) -> None:
    """The older names: operation duration, and one histogram of tokens by type."""
    observation = begun(generation="1.41")
    tick(2.0)
    observation.succeeded(completion(usage=USAGE), META)
    points = telescope.points()
    assert set(points) == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    assert points["gen_ai.client.operation.duration"][0].sum == 2.0
    usage = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert usage == {"input": 300, "output": 50}


@pytest.mark.parametrize(
    ("generation", "stem"),
    [("2026-10", "gen_ai.client.inference"), ("1.41", "gen_ai.client.operation")],
)
def test_a_stream_is_timed(telescope: Telescope, tick: Callable[[float], None], generation: Semconv, stem: str) -> None:
    """The first chunk is timed from the call, each later one from the chunk before it."""
    observation = begun(call(stream=True), generation)
    for seconds in (0.5, 0.25, 0.125):
        tick(seconds)
        observation.chunk()
    observation.succeeded(completion(), META)
    points = telescope.points()
    (first,) = points[f"{stem}.time_to_first_chunk"]
    (later,) = points[f"{stem}.time_per_output_chunk"]
    assert (first.count, first.sum, later.count, later.sum) == (1, 0.5, 2, 0.375)
    assert telescope.attributes()["gen_ai.response.time_to_first_chunk"] == 0.5


def test_a_failed_chat_counts_no_tokens_as_zero(telescope: Telescope) -> None:
    """Today's counters get their 0 of unknown kind even from a failure, the sizes of calls do not."""
    begun().failed(CancelledError())
    points = telescope.points()
    (spent,) = points["gen_ai.client.inference.usage.input_tokens"]
    assert (spent.value, spent.attributes["gen_ai.token.modality"]) == (0, "unknown")
    assert "gen_ai.client.inference.operation.input_tokens" not in points


def test_a_failure_with_usage_counts_it(telescope: Telescope) -> None:
    """Tokens spent on a stream that broke were spent, but are no size of a whole call."""
    begun().failed(CancelledError(), completion(None, usage=USAGE))
    points = telescope.points()
    assert sum(point.value for point in points["gen_ai.client.inference.usage.input_tokens"]) == 300
    assert "gen_ai.client.inference.operation.input_tokens" not in points


@pytest.mark.parametrize("generation", BOTH)
def test_an_image_has_no_tokens(telescope: Telescope, generation: Semconv) -> None:
    """An operation that reports no tokens records none."""
    begun(call("text-to-image"), generation).succeeded(object(), META)
    assert not [name for name in telescope.points() if "token" in name]


def test_embeddings_and_others_have_metrics_of_their_own(telescope: Telescope) -> None:
    """Embeddings are no inference, and a classification is an operation like any other."""

    class Vectors(list[float]):
        usage = Usage(prompt_tokens=9)

    begun(call("feature-extraction", parameters={"dimensions": 8, "encoding_format": "base64"})).succeeded(
        Vectors(), META
    )
    begun(call("text-classification")).succeeded(object(), META)
    assert set(telescope.points()) == {
        "gen_ai.client.embeddings.duration",
        "gen_ai.client.embeddings.operation.input_tokens",
        "gen_ai.client.operation.duration",
    }
    embeddings = dict(telescope.exporter.get_finished_spans()[0].attributes or {})
    assert embeddings["gen_ai.embeddings.dimension.count"] == 8
    assert embeddings["gen_ai.request.encoding_formats"] == ("base64",)
    assert embeddings["gen_ai.usage.input_tokens"] == 9
    assert "gen_ai.usage.output_tokens" not in embeddings


@given(
    st.integers(-5, 500),
    st.dictionaries(st.sampled_from(["text_tokens", "image_tokens", "audio_tokens"]), st.integers(-5, 300) | st.none()),
)
def test_modalities_add_up(total: int, details: dict[str, int | None]) -> None:
    """Whatever a provider reports, the kinds of token add up to the total, and none is negative."""
    usage = Usage(prompt_tokens=total, prompt_tokens_details=details)
    split = semconv.tokens_by_modality(usage, "input")
    assert sum(split.values()) == max(total, 0)
    assert min(split.values()) >= 0


# Content.

CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": f"Look: {PIXEL} there"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
            {"type": "image_url", "image_url": {"url": f"https://me:{KEY}@host/cat.png?sig={KEY}#x"}},
            {"type": "image_url", "image_url": Media(b"\x89PNG")},
            {"type": "input_audio", "input_audio": {"data": "UklGRiQA", "format": "wav"}},
            {"type": "thing", "thing": "else"},
            b"\x00\x01\x02",
            "plain",
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Paris"}'}},
            {"id": "call-2", "type": "function", "function": {"name": "weather", "arguments": '{"pla'}},
        ],
    },
    {"role": "tool", "tool_call_id": "call-1", "content": "rainy"},
]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}},
}


def test_content_is_off_by_default(telescope: Telescope) -> None:
    """Unless it is asked for, not a word of the conversation is in spans, metrics or events."""
    begun(call(inputs="purple question", parameters={"tools": [TOOL]})).succeeded(completion(text="green answer"), META)
    assert not [name for name in telescope.attributes() if "messages" in name or "tool" in name]
    assert "purple" not in telescope.everything()
    assert "green" not in telescope.everything()


@pytest.mark.parametrize(("generation", "key"), [("2026-10", "response"), ("1.41", "result")])
def test_content_on_the_span(
    telescope: Telescope, monkeypatch: pytest.MonkeyPatch, generation: Semconv, key: str
) -> None:
    """Asked for, the conversation is on the span as JSON, in the parts of the conventions, with notes for media."""
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "span_only")
    parameters = {"tools": [TOOL, len], "instructions": "Speak softly."}
    begun(call(inputs=CONVERSATION, parameters=parameters), generation).succeeded(completion("stop", None), META)
    found = telescope.attributes()
    system, user, assistant, tool = json.loads(found["gen_ai.input.messages"])
    assert system == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
    assert user["parts"] == [
        {"type": "text", "content": "Look: [image/png, 12 bytes] there"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "[image/png, 12 bytes]"},
        {"type": "uri", "modality": "image", "uri": "https://host/cat.png"},
        {"type": "blob", "modality": "image", "content": "[bytes, 4 bytes]"},
        {"type": "blob", "modality": "audio", "content": "[audio, 6 bytes]"},
        {"type": "thing"},
        {"type": "blob", "modality": "unknown", "content": "[bytes, 3 bytes]"},
        {"type": "text", "content": "plain"},
    ]
    assert assistant["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "tool_call", "id": "call-1", "name": "weather", "arguments": {"place": "Paris"}},
        {"type": "tool_call", "id": "call-2", "name": "weather", "arguments": '{"pla'},
    ]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "call-1", key: "rainy"}]
    said = {"role": "assistant", "parts": [{"type": "text", "content": "Rayleigh."}]}
    ends = [{}, {}] if generation == "2026-10" else [{"finish_reason": "stop"}, {"finish_reason": "error"}]
    assert json.loads(found["gen_ai.output.messages"]) == [said | end for end in ends]
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Speak softly."}]
    assert json.loads(found["gen_ai.tool.definitions"]) == [
        {"type": "function", "name": "weather", "description": "Tells it.", "parameters": {"type": "object"}},
        {"type": "function", "name": "len"},
    ]
    assert telescope.events.get_finished_logs() == ()
    assert KEY not in telescope.everything()


@pytest.mark.parametrize("mode", ["EVENT_ONLY", "SPAN_AND_EVENT"])
def test_content_in_an_event(telescope: Telescope, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Events carry the conversation with its structure, beside what the span says, and belong to the span."""
    monkeypatch.setenv(recording.CONTENT_VARIABLE, mode)
    begun(call(inputs=CONVERSATION)).succeeded(completion(), META)
    (event,) = telescope.events.get_finished_logs()
    told = dict(event.log_record.attributes or {})
    assert event.log_record.event_name == "gen_ai.client.inference.operation.details"
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert told["gen_ai.input.messages"][0]["parts"][0]["content"] == "Be brief."
    assert told["gen_ai.output.messages"][0]["parts"][0]["content"] == "Rayleigh."
    span = telescope.span().context
    assert span is not None
    assert event.log_record.span_id == span.span_id
    assert ("gen_ai.input.messages" in telescope.attributes()) is (mode == "SPAN_AND_EVENT")


@pytest.mark.parametrize(
    ("task", "inputs", "parts"),
    [
        ("text-to-image", "a cat", [{"type": "text", "content": "a cat"}]),
        ("image-to-text", b"1234", [{"type": "blob", "modality": "unknown", "content": "[bytes, 4 bytes]"}]),
        ("image-to-text", PIXEL, [{"type": "text", "content": "[image/png, 12 bytes]"}]),
        (
            "visual-question-answering",
            {"question": "Who?", "image": b"12"},
            [
                {"type": "text", "content": "Who?"},
                {"type": "blob", "modality": "unknown", "content": "[bytes, 2 bytes]"},
            ],
        ),
    ],
)
def test_content_of_other_tasks(
    telescope: Telescope, monkeypatch: pytest.MonkeyPatch, task: str, inputs: Any, parts: list[Any]
) -> None:
    """Other inputs are one message of the user, and an answer that is text is one of the assistant."""

    @dataclass
    class Answer:
        text: str = "done"

    monkeypatch.setenv(recording.CONTENT_VARIABLE, "SPAN_ONLY")
    begun(call(task, inputs)).succeeded(Answer(), META)
    found = telescope.attributes()
    assert json.loads(found["gen_ai.input.messages"]) == [{"role": "user", "parts": parts}]
    assert json.loads(found["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "done"}]


def test_embeddings_have_no_conversation(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conventions have no content for embeddings, so none is told."""
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "SPAN_AND_EVENT")
    begun(call("feature-extraction", ["purple"])).succeeded([[0.1]], META)
    assert "purple" not in telescope.everything()


def test_typed_messages_and_media_in_tool_answers(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply put back into the conversation reads as it did, and media in what a tool gave back stay out too."""
    call_made = {"id": "call-1", "function": {"name": "draw", "arguments": {"of": "a cat", "like": PIXEL}}}
    asked = ChatMessage.model_validate({"content": "", "tool_calls": [call_made]})
    drawn = [
        {"type": "image_url", "image_url": {"url": PIXEL}},
        b"12",
        0.5,
        None,
        object(),
        ToolCall.model_validate(call_made),
    ]
    messages = [asked, {"role": "assistant", "tool_calls": [call_made]}, {"role": "tool", "content": drawn}]
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "SPAN_ONLY")
    begun(call(inputs=messages)).succeeded(completion(), META)
    typed, plain, tool = json.loads(telescope.attributes()["gen_ai.input.messages"])
    arguments = {"of": "a cat", "like": "[image/png, 12 bytes]"}
    for message in (typed, plain):
        assert message["role"] == "assistant"
        assert message["parts"] == [{"type": "tool_call", "id": "call-1", "name": "draw", "arguments": arguments}]
    image, bytes_, number, nothing, unknown, model = tool["parts"][0]["response"]
    assert image["image_url"] == {"url": "[image/png, 12 bytes]"}
    assert (bytes_, number, nothing, unknown) == ("[bytes, 2 bytes]", 0.5, None, "[object]")
    assert model["function"]["name"] == "draw"
    assert "iVBOR" not in telescope.everything()


def test_refusals_and_unknown_modes(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is content like any other; a mode nobody knows asks for none."""
    refusal = ChatCompletion.model_validate({"choices": [{"message": {"refusal": "No."}, "finish_reason": "stop"}]})
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "SPAN_ONLY")
    begun().succeeded(refusal, META)
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "true")
    begun().succeeded(refusal, META)
    asked, unasked = (dict(span.attributes or {}) for span in telescope.exporter.get_finished_spans())
    assert json.loads(asked["gen_ai.output.messages"])[0]["parts"] == [{"type": "refusal", "content": "No."}]
    assert "gen_ai.output.messages" not in unasked


# What never gets out.


def test_no_key_gets_out(telescope: Telescope) -> None:
    """No header, URL query, userinfo, body or foreign message reaches a span, metric or event."""
    where = f"https://user:{KEY}@example.endpoints.huggingface.cloud/v1?token={KEY}#{KEY}"
    observation = observe(call(model=where, base_url=where, headers={"x-key": KEY}, query={"key": KEY}))
    observation.routed("custom", where)
    observation.attempt_failed(Attempt("custom", 503, "ModelLoadingError"), waited=1.0, next_provider=None)
    observation.succeeded(completion(), META)
    begun().failed(RateLimitError("Slow down.", status=429, body=KEY))
    assert KEY not in telescope.everything()
    first = dict(telescope.exporter.get_finished_spans()[0].attributes or {})
    assert first["gen_ai.request.model"] == "https://example.endpoints.huggingface.cloud/v1"
    assert (first["server.address"], first["server.port"]) == ("example.endpoints.huggingface.cloud", 443)


@pytest.mark.parametrize("url", ["", "not a url", "http://[::1", "http://host:99999/"])
def test_an_address_that_cannot_be_read_is_left_out(url: str) -> None:
    """A URL that is none leads to no attribute, and to no error."""
    assert semconv.address_attributes(url) == {}


# Nothing.


def run(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_opentelemetry_nothing_is_imported() -> None:
    """In an application that has not imported OpenTelemetry, a call is not observed, and imports none of it."""
    run("""
        import sys
        from hfclient.call import Call
        from hfclient.telemetry import NOTHING, observe
        from hfclient.types import Attempt, Meta
        observation = observe(Call("conversational", "Hi"))
        assert observation is NOTHING
        with observation.current():
            observation.routed("groq", "https://host")
            observation.attempt_failed(Attempt("groq"), waited=0.0, next_provider=None)
            observation.chunk()
        observation.failed(ValueError())
        observation.succeeded(None, Meta("groq"))
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
    """)


def test_with_the_api_alone_nothing_is_built() -> None:
    """As long as the application has set no provider, nothing is recorded; from the moment it does, all is."""
    run("""
        from opentelemetry import trace
        from hfclient import recording, semconv
        from hfclient.call import Call
        from hfclient.telemetry import NOTHING, observe

        def never(*_):
            raise AssertionError

        kept, semconv.identity = semconv.identity, never
        call = Call("conversational", "Hi", model="m")
        assert observe(call) is NOTHING
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
        semconv.identity = kept
        assert observe(call) is not NOTHING
        assert observe(call)._span.is_recording()
    """)


def test_nothing_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry, or with providers that only stand in, calls share the observation that does nothing."""
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    monkeypatch.setattr(metrics, "get_meter_provider", metrics.NoOpMeterProvider)
    assert observe(call()) is NOTHING
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    assert observe(call()) is NOTHING
    with NOTHING.current():
        NOTHING.routed("groq", "https://host")


def test_a_span_that_is_not_sampled_gets_no_attributes(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sampler says no, attributes and content are not even built; metrics and the context still are."""

    def never(*_: object) -> None:
        raise AssertionError

    unsampled = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: unsampled)
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "SPAN_AND_EVENT")
    monkeypatch.setattr(semconv, "request_attributes", never)
    monkeypatch.setattr(semconv, "answer_attributes", never)
    monkeypatch.setattr(recording, "request_content", never)
    observation = begun()
    with observation.current():
        assert trace.get_current_span().get_span_context().is_valid
    observation.attempt_failed(Attempt("groq", 503), waited=0.0, next_provider=None)
    observation.succeeded(completion(), META)
    assert telescope.exporter.get_finished_spans() == ()
    assert telescope.points()["gen_ai.client.inference.duration"][0].count == 1


def test_metrics_alone(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics need no tracer, and without one the application's own span stays the current one."""
    own = trace.get_tracer_provider().get_tracer("app").start_span("work")
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    with trace.use_span(own):
        observation = begun()
        with observation.current():
            assert trace.get_current_span() is own
        observation.succeeded(completion(), META)
    assert telescope.points()["gen_ai.client.inference.duration"][0].count == 1
    assert telescope.exporter.get_finished_spans() == ()


def test_spans_alone(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans need no meter, and events that have no logger go nowhere."""
    monkeypatch.setattr(metrics, "get_meter_provider", metrics.NoOpMeterProvider)
    monkeypatch.setattr(recording, "get_logger_provider", NoOpLoggerProvider)
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "EVENT_ONLY")
    observation = begun()
    observation.chunk()
    observation.succeeded(completion(), META)
    assert telescope.span().name == f"chat {MODEL}"
    assert telescope.points() == {}


def test_providers_that_cannot_be_hashed(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider may be anything, such as a data class around another, and each is asked for one tracer only."""

    @dataclass
    class Wrapped(trace.TracerProvider):
        inner: trace.TracerProvider
        asked: int = 0

        def get_tracer(self, *args: Any, **more: Any) -> trace.Tracer:
            self.asked += 1
            return self.inner.get_tracer(*args, **more)

    wrapped = Wrapped(trace.get_tracer_provider())
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: wrapped)
    for _ in range(3):
        begun().succeeded(completion(), META)
    assert wrapped.asked == 1
    scope = telescope.exporter.get_finished_spans()[0].instrumentation_scope
    assert scope is not None
    assert scope.name == "hfclient"


@pytest.mark.parametrize(
    ("task", "mark", "observed"),
    [
        ("conversational", "opentelemetry.genai.client.inference.context", False),
        ("text-to-image", "opentelemetry.genai.client.inference.context", False),
        ("feature-extraction", "opentelemetry.genai.client.embedding.context", False),
        ("feature-extraction", "opentelemetry.genai.embedding.context", False),
        ("conversational", "suppress_instrumentation", False),
        ("image-classification", "suppress_instrumentation", False),
        ("feature-extraction", "opentelemetry.genai.client.inference.context", True),
        ("conversational", "opentelemetry.genai.embedding.context", True),
    ],
)
@pytest.mark.usefixtures("telescope")
def test_nothing_is_counted_twice(task: str, mark: str, observed: bool) -> None:
    """Where an instrumentation further out observes this very operation, there is no span and no metric of ours."""
    token = context.attach(context.set_value(mark, object()))
    try:
        assert (observe(call(task)) is not NOTHING) is observed
    finally:
        context.detach(token)
    assert observe(call(task)) is not NOTHING

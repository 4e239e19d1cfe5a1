"""What OpenTelemetry is told about a call. Imported with the first call of an application that uses OpenTelemetry."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from opentelemetry import context, metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger_provider
from opentelemetry.trace import Status, StatusCode

from hfclient import clock
from hfclient import semconv as names
from hfclient.errors import HFClientError
from hfclient.semconv import Attributes, Generation, Metric
from hfclient.telemetry import Observation
from hfclient.transcript import Part, answer_content, request_content
from hfclient.version import __version__

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from hfclient.call import Call
    from hfclient.telemetry import Semconv
    from hfclient.types import Attempt, Meta

P = TypeVar("P")
V = TypeVar("V")
Instruments: TypeAlias = Mapping[str, Callable[[float, Attributes, "Context"], None]]

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# Under these keys an instrumentation further out says that it observes this very call, which a span of ours would count
# twice: those of opentelemetry-util-genai (one was renamed after 1.3), and the general switch.
_OBSERVED_OUTSIDE: Mapping[names.Group, tuple[str, ...]] = {
    "inference": ("suppress_instrumentation", "opentelemetry.genai.client.inference.context"),
    "embeddings": (
        "suppress_instrumentation",
        "opentelemetry.genai.client.embedding.context",
        "opentelemetry.genai.embedding.context",
    ),
    "other": ("suppress_instrumentation",),
}


def begin(call: Call, generation: Semconv) -> Observation | None:
    """Begin to record a call, unless nobody would see it or somebody further out records it already."""
    signals = _SIGNALS[generation]
    if signals.tracer() is None and signals.instruments() is None:
        return None
    marks = _OBSERVED_OUTSIDE[names.operation_of(call.task).group]
    if any(context.get_value(mark) for mark in marks):
        return None
    return Recording(call, signals)


class Recording(Observation):
    """One call's span and metrics."""

    __slots__ = (
        "_content",
        "_context",
        "_ended",
        "_failures",
        "_first_chunk",
        "_generation",
        "_identity",
        "_instruments",
        "_labels",
        "_last_chunk",
        "_operation",
        "_signals",
        "_span",
        "_started",
    )

    def __init__(self, call: Call, signals: Signals) -> None:
        self._signals = signals
        self._instruments = signals.instruments()
        self._generation = signals.generation
        self._operation = names.operation_of(call.task)
        self._identity = self._labels = names.identity(call, self._operation)
        self._started = clock.now()
        self._first_chunk: float | None = None
        self._last_chunk: float | None = None
        self._failures = 0
        self._ended = False
        self._content = Content()
        self._span, self._context = self._begun(internal=call.providers == ("local",))
        if self._span.is_recording():
            self._content = Content.asked_for(self._identity)
            self._note(names.request_attributes(call, self._operation, self._generation))
            if self._content.wanted and self._operation.group == "inference":
                self._content.tell(self._span, request_content(call, self._generation))

    def _begun(self, *, internal: bool) -> tuple[Span, Context]:
        tracer = self._signals.tracer()
        if tracer is None:
            return trace.INVALID_SPAN, context.get_current()
        kind = trace.SpanKind.INTERNAL if internal else trace.SpanKind.CLIENT
        span = tracer.start_span(names.span_name(self._identity), kind=kind, attributes=self._identity)
        return span, trace.set_span_in_context(span)

    @contextmanager
    def current(self) -> Generator[None]:
        if self._span is trace.INVALID_SPAN:
            yield
            return
        token = context.attach(trace.set_span_in_context(self._span))
        try:
            yield
        finally:
            context.detach(token)

    def routed(self, provider: str, url: str, model: str | None = None) -> None:
        if model and names.REQUEST_MODEL not in self._identity:  # the provider's own choice
            self._identity = {**self._identity, names.REQUEST_MODEL: model}
            self._span.update_name(names.span_name(self._identity))
            self._note({names.REQUEST_MODEL: model})
        address = names.address_attributes(url)
        self._labels = self._identity | address
        self._note({names.INFERENCE_PROVIDER: provider, **address})

    def attempt_failed(self, attempt: Attempt, *, waited: float, next_provider: str | None) -> None:
        self._failures += 1
        if not self._span.is_recording():
            return
        told: dict[str, str | float | None] = {
            names.INFERENCE_PROVIDER: attempt.provider,
            names.ERROR_TYPE: names.failure_type(attempt.status, attempt.error or "_OTHER"),
            names.WAITED: waited,
            names.REQUEST_ID: attempt.request_id,
            names.NEXT_PROVIDER: next_provider,
        }
        event = names.FALLBACK_EVENT if next_provider else names.RETRY_EVENT
        self._span.add_event(event, {name: value for name, value in told.items() if value is not None})

    def chunk(self) -> None:
        now = clock.now()
        last, self._last_chunk = self._last_chunk, now
        if last is None:
            self._first_chunk = now - self._started
            self._measure(self._generation.first_chunk, self._first_chunk, self._labels)
        else:
            self._measure(self._generation.next_chunk, now - last, self._labels)

    def succeeded(self, result: object, meta: Meta) -> None:
        if not self._ended:
            self._ended = True
            self._tell_story(meta.provider, len(meta.attempts) or self._failures + 1, meta.request_id)
            self._end(result, None)

    def failed(self, error: BaseException, partial: object = None) -> None:
        if self._ended:
            return
        self._ended = True
        held = (partial, getattr(error, "partial", None), getattr(error, "completion", None))
        if isinstance(error, HFClientError):
            self._tell_story(error.provider, len(error.attempts) or self._failures, error.request_id)
        else:
            self._tell_story(None, self._failures, None)
        self._end(next((answer for answer in held if answer is not None), None), error)

    def _tell_story(self, provider: str | None, attempts: int, request_id: str | None) -> None:
        if not self._span.is_recording():
            return
        story = {names.INFERENCE_PROVIDER: provider, names.ATTEMPTS: attempts or None, names.REQUEST_ID: request_id}
        self._note({name: value for name, value in story.items() if value is not None})

    def _end(self, answer: object, error: BaseException | None) -> None:
        try:
            if self._span.is_recording():
                self._describe(answer, error)
            self._measure_end(answer, error)
        finally:
            self._span.end()

    def _describe(self, answer: object, error: BaseException | None) -> None:
        self._note(names.answer_attributes(answer, self._operation, self._generation))
        if self._first_chunk is not None:
            self._note({names.FIRST_CHUNK_TIME: self._first_chunk})
        if error is not None:
            self._note({names.ERROR_TYPE: names.error_type(error)})
            self._span.set_status(Status(StatusCode.ERROR, names.error_message(error)))
        if self._content.wanted and self._operation.group == "inference":
            self._content.tell(self._span, answer_content(answer, self._generation))
        if self._content.event is not None:
            self._signals.emit(names.DETAILS_EVENT, self._content.event, self._context)

    def _note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)
        if self._content.event is not None:
            self._content.event.update(attributes)

    def _measure_end(self, answer: object, error: BaseException | None) -> None:
        if self._instruments is None:
            return
        labels = self._labels | names.model_attributes(answer)
        ending = {} if error is None else {names.ERROR_TYPE: names.error_type(error)}
        group = self._operation.group
        self._measure(self._generation.durations[group], clock.now() - self._started, {**labels, **ending})
        for each in self._generation.tokens[group]:
            for amount, more in names.token_measurements(each, answer, self._operation, failed=error is not None):
                self._measure(each.metric, amount, labels | more)

    def _measure(self, metric: Metric, amount: float, labels: Attributes) -> None:
        if self._instruments is not None:
            self._instruments[metric.name](amount, labels, self._context)


class _Latest(Generic[P, V]):
    """What was made for the provider seen last.

    Providers come late, and in tests one after the other. They are told apart by identity: not all can be hashed.
    """

    def __init__(self, make: Callable[[P], V]) -> None:
        self._make = make
        self._seen: tuple[P, V | None] | None = None

    def of(self, provider: P) -> V | None:
        seen = self._seen
        if seen is None or seen[0] is not provider:
            seen = self._seen = (provider, None if _is_stand_in(provider) else self._make(provider))
        return seen[1]


def _is_stand_in(provider: object) -> bool:
    """The API comes with providers of its own, which record nothing."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs"))


class Signals:
    """The tracer, instruments and logger of one generation of names."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._tracers = _Latest(self._new_tracer)
        self._meters = _Latest(self._new_instruments)
        self._loggers = _Latest(self._new_logger)

    def tracer(self) -> Tracer | None:
        return self._tracers.of(trace.get_tracer_provider())

    def instruments(self) -> Instruments | None:
        return self._meters.of(metrics.get_meter_provider())

    def emit(self, event: str, attributes: dict[str, Any], context: Context) -> None:
        if logger := self._loggers.of(get_logger_provider()):
            severity = SeverityNumber.INFO
            logger.emit(LogRecord(event_name=event, attributes=attributes, context=context, severity_number=severity))

    def _new_tracer(self, provider: TracerProvider) -> Tracer:
        return provider.get_tracer("hfclient", __version__, self.generation.schema_url)

    def _new_logger(self, provider: LoggerProvider) -> Logger:
        return provider.get_logger("hfclient", __version__, self.generation.schema_url)

    def _new_instruments(self, provider: MeterProvider) -> Instruments:
        meter = provider.get_meter("hfclient", __version__, self.generation.schema_url)
        return {name: _instrument(meter, metric) for name, metric in self.generation.metrics().items()}


def _instrument(meter: Meter, metric: Metric) -> Callable[[float, Attributes, Context], None]:
    if not metric.buckets:
        return meter.create_counter(metric.name, metric.unit, metric.description).add
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    ).record


_SIGNALS: Mapping[Semconv, Signals] = {name: Signals(each) for name, each in names.GENERATIONS.items()}


@dataclass(slots=True)
class Content:
    """Where the conversation is wanted: on the span, and in an event that is gathered here."""

    on_span: bool = False
    event: dict[str, Any] | None = None

    @classmethod
    def asked_for(cls, identity: Attributes) -> Content:
        mode = os.environ.get(CONTENT_VARIABLE, "").strip().upper()
        in_event = mode in {"EVENT_ONLY", "SPAN_AND_EVENT"}
        return cls(mode in {"SPAN_ONLY", "SPAN_AND_EVENT"}, dict(identity) if in_event else None)

    @property
    def wanted(self) -> bool:
        return self.on_span or self.event is not None

    def tell(self, span: Span, content: dict[str, list[Part]]) -> None:
        """A span takes the content as JSON text, an event as it is."""
        if self.on_span:
            span.set_attributes({name: json.dumps(what, ensure_ascii=False) for name, what in content.items()})
        if self.event is not None:
            self.event.update(content)

"""What OpenTelemetry calls the parts of a call, in both generations of its GenAI conventions.

All of it is data and pure functions: a `Call` and its answer go in, plain attributes come out. The conventions are not
stable yet: "2026-10" is what they say today, "1.41" the last release, which existing dashboards read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard, cast
from urllib.parse import urlsplit

from hfclient.errors import HFClientError
from hfclient.types import ChatCompletion, Embeddings, TextGeneration, Usage

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.telemetry import Semconv

Group: TypeAlias = Literal["inference", "embeddings", "other"]
Counted: TypeAlias = Literal["input", "output", "cache_read", "cache_write", "reasoning"]
Attributes: TypeAlias = dict[str, str | bool | int | float | tuple[str, ...]]

REQUEST_MODEL = "gen_ai.request.model"
ERROR_TYPE = "error.type"
FIRST_CHUNK_TIME = "gen_ai.response.time_to_first_chunk"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
DETAILS_EVENT = "gen_ai.client.inference.operation.details"

INFERENCE_PROVIDER = "hfclient.inference_provider"
ATTEMPTS = "hfclient.attempts"
REQUEST_ID = "hfclient.request_id"
WAITED = "hfclient.waited"
NEXT_PROVIDER = "hfclient.next_provider"
RETRY_EVENT = "hfclient.retry"
FALLBACK_EVENT = "hfclient.fallback"

_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(float(4**power) for power in range(14))
_MODALITIES = ("text", "image", "audio")


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument to be made; one without buckets is a counter."""

    name: str
    description: str
    unit: str = "s"
    buckets: tuple[float, ...] = _SECONDS


@dataclass(frozen=True, slots=True)
class TokenMetric:
    """A metric of tokens, and which of them it counts.

    Recorded where usage is `known`, only for calls that `succeeded`, or `always`, with a 0 where nothing is known.
    """

    metric: Metric
    counted: Counted
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    recorded: Literal["known", "succeeded", "always"] = "known"
    by_modality: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """What differs between the generations."""

    schema_url: str | None
    durations: Mapping[Group, Metric]
    first_chunk: Metric
    next_chunk: Metric
    tokens: Mapping[Group, tuple[TokenMetric, ...]]
    cache_write_attribute: str
    tokens_by_modality: bool
    top_k: type[int] | type[float]
    tool_answer_key: str
    finish_reason_in_messages: bool

    def metrics(self) -> dict[str, Metric]:
        counted = (each.metric for metrics in self.tokens.values() for each in metrics)
        found = (*self.durations.values(), self.first_chunk, self.next_chunk, *counted)
        return {metric.name: metric for metric in found}


def _spent(counted: Counted, name: str, description: str) -> TokenMetric:
    metric = Metric(f"gen_ai.client.inference.usage.{name}", description, "{token}", ())
    return TokenMetric(metric, counted, recorded="always", by_modality=True)


def _per_call(counted: Counted, name: str, description: str) -> TokenMetric:
    return TokenMetric(Metric(name, description, "{token}", _TOKENS), counted, recorded="succeeded")


def _usage_1_41(counted: Counted) -> TokenMetric:
    metric = Metric("gen_ai.client.token.usage", "Number of input and output tokens used.", "{token}", _TOKENS)
    return TokenMetric(metric, counted, {"gen_ai.token.type": counted})


_OPERATION_DURATION = Metric("gen_ai.client.operation.duration", "GenAI operation duration.")

GENERATIONS: Mapping[Semconv, Generation] = {
    "2026-10": Generation(
        schema_url=None,  # no release has these names yet
        durations={
            "inference": Metric("gen_ai.client.inference.duration", "Duration of an inference."),
            "embeddings": Metric("gen_ai.client.embeddings.duration", "Duration of an embeddings operation."),
            "other": _OPERATION_DURATION,
        },
        first_chunk=Metric("gen_ai.client.inference.time_to_first_chunk", "From the request to the first chunk."),
        next_chunk=Metric("gen_ai.client.inference.time_per_output_chunk", "From one chunk to the next."),
        tokens={
            "inference": (
                _spent("input", "input_tokens", "Input tokens used, cached ones included."),
                _spent("output", "output_tokens", "Output tokens used, reasoning included."),
                _spent("cache_read", "cache_read.input_tokens", "Input tokens read from the provider's cache."),
                _spent("cache_write", "cache_write.input_tokens", "Input tokens written to the provider's cache."),
                _spent("reasoning", "reasoning.output_tokens", "Output tokens used for reasoning."),
                _per_call("input", "gen_ai.client.inference.operation.input_tokens", "Input tokens of one call."),
                _per_call("output", "gen_ai.client.inference.operation.output_tokens", "Output tokens of one call."),
            ),
            "embeddings": (
                _per_call("input", "gen_ai.client.embeddings.operation.input_tokens", "Input tokens of one call."),
            ),
            "other": (),
        },
        cache_write_attribute="gen_ai.usage.cache_write.input_tokens",
        tokens_by_modality=True,
        top_k=int,
        tool_answer_key="response",
        finish_reason_in_messages=False,
    ),
    "1.41": Generation(
        schema_url="https://opentelemetry.io/schemas/1.41.0",
        durations=dict.fromkeys(("inference", "embeddings", "other"), _OPERATION_DURATION),
        first_chunk=Metric("gen_ai.client.operation.time_to_first_chunk", "From the request to the first chunk."),
        next_chunk=Metric("gen_ai.client.operation.time_per_output_chunk", "From one chunk to the next."),
        tokens={
            "inference": (_usage_1_41("input"), _usage_1_41("output")),
            "embeddings": (_usage_1_41("input"),),
            "other": (),
        },
        cache_write_attribute="gen_ai.usage.cache_creation.input_tokens",
        tokens_by_modality=False,
        top_k=float,
        tool_answer_key="result",
        finish_reason_in_messages=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What a task is called; `counts_tokens` where every answer should come with its usage."""

    name: str
    group: Group = "inference"
    output: str | None = None
    counts_tokens: bool = False


_GENERATED: Mapping[str, tuple[str, ...]] = {
    "text": (
        "automatic-speech-recognition",
        "document-question-answering",
        "image-text-to-text",
        "image-to-text",
        "summarization",
        "translation",
        "visual-question-answering",
    ),
    "image": ("text-to-image", "image-to-image", "image-text-to-image"),
    "speech": ("text-to-speech", "text-to-audio", "audio-to-audio"),
    "video": ("text-to-video", "image-to-video", "image-text-to-video"),
}
_OPERATIONS: Mapping[str, Operation] = {
    "conversational": Operation("chat", counts_tokens=True),
    "text-generation": Operation("text_completion", counts_tokens=True),
    "feature-extraction": Operation("embeddings", "embeddings"),
    **{task: Operation("generate_content", output=output) for output, tasks in _GENERATED.items() for task in tasks},
}


def operation_of(task: str) -> Operation:
    """A task that generates nothing, such as a classification, goes by its own name."""
    return _OPERATIONS.get(task) or Operation(task.replace("-", "_"), "other")


# Attribute, the parameters it may come from, and its type.
_REQUEST: tuple[tuple[str, tuple[str, ...], type[int | float | str]], ...] = (
    ("gen_ai.request.temperature", ("temperature",), float),
    ("gen_ai.request.top_p", ("top_p",), float),
    ("gen_ai.request.max_tokens", ("max_completion_tokens", "max_tokens", "max_new_tokens"), int),
    ("gen_ai.request.frequency_penalty", ("frequency_penalty",), float),
    ("gen_ai.request.presence_penalty", ("presence_penalty",), float),
    ("gen_ai.request.seed", ("seed",), int),
    ("gen_ai.request.reasoning.level", ("reasoning_effort",), str),
    ("gen_ai.embeddings.dimension.count", ("dimensions",), int),
)


def identity(call: Call, operation: Operation) -> Attributes:
    """What is known before anything is sent; span and metrics share it, and samplers decide by it."""
    named: Attributes = {"gen_ai.operation.name": operation.name, "gen_ai.provider.name": "huggingface"}
    if call.model is not None:
        named[REQUEST_MODEL] = bare_url(call.model) if "://" in call.model else call.model
    return named


def span_name(identity: Attributes) -> str:
    return f"{identity['gen_ai.operation.name']} {identity.get(REQUEST_MODEL, '')}".rstrip()


def request_attributes(call: Call, operation: Operation, generation: Generation) -> Attributes:
    asked = {**call.parameters, **call.body}
    found: Attributes = {}
    for attribute, names, kind in _REQUEST:
        value = next((asked[name] for name in names if asked.get(name) is not None), None)
        if kind is float and _is_whole(value):
            found[attribute] = float(value)
        elif isinstance(value, kind) and not isinstance(value, bool):
            found[attribute] = value
    if _is_whole(top_k := asked.get("top_k")):
        found["gen_ai.request.top_k"] = generation.top_k(top_k)
    if _is_whole(count := asked.get("n")) and count != 1:
        found["gen_ai.request.choice.count"] = count
    if stops := _texts(asked.get("stop") or asked.get("stop_sequences")):
        found["gen_ai.request.stop_sequences"] = stops
    if formats := _texts(asked.get("encoding_format")):
        found["gen_ai.request.encoding_formats"] = formats
    if call.stream:
        found["gen_ai.request.stream"] = True
    if output := operation.output or _output_type(asked.get("response_format")):
        found["gen_ai.output.type"] = output
    return found


def _output_type(response_format: object) -> str | None:
    if response_format is None:
        return None
    plain = isinstance(response_format, Mapping) and cast("Mapping[str, object]", response_format).get("type") == "text"
    return "text" if plain else "json"


def address_attributes(url: str) -> Attributes:
    """Host and port, and nothing else of the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return {}
    port = port or {"http": 80, "https": 443}.get(parts.scheme)
    found: Attributes = {}
    if host:
        found["server.address"] = host
    if host and port:
        found["server.port"] = port
    return found


def bare_url(url: str) -> str:
    """A URL without its query, fragment and userinfo, which is where keys are."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("#")[0].partition("?")[0]
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def answer_attributes(answer: object, operation: Operation, generation: Generation) -> Attributes:
    found: Attributes = {}
    if isinstance(answer, ChatCompletion):
        found["gen_ai.response.finish_reasons"] = tuple(each.finish_reason or "error" for each in answer.choices)
        if answer.id:
            found["gen_ai.response.id"] = answer.id
    if isinstance(answer, TextGeneration) and answer.finish_reason:
        found["gen_ai.response.finish_reasons"] = (answer.finish_reason,)
    if (usage := usage_of(answer)) is not None:
        found |= _usage_attributes(usage, operation, generation)
    return found | model_attributes(answer)


def model_attributes(answer: object) -> Attributes:
    """The model that answered; the metrics want it too."""
    named = isinstance(answer, ChatCompletion | TextGeneration | Embeddings) and answer.model
    return {"gen_ai.response.model": named} if named else {}


def usage_of(answer: object) -> Usage | None:
    usage = getattr(answer, "usage", None)
    return usage if isinstance(usage, Usage) else None


def _usage_attributes(usage: Usage, operation: Operation, generation: Generation) -> Attributes:
    found: Attributes = {"gen_ai.usage.input_tokens": tokens(usage, "input")}
    if operation.group != "embeddings":
        found["gen_ai.usage.output_tokens"] = tokens(usage, "output")
    details = {
        "gen_ai.usage.cache_read.input_tokens": tokens(usage, "cache_read"),
        generation.cache_write_attribute: tokens(usage, "cache_write"),
        "gen_ai.usage.reasoning.output_tokens": tokens(usage, "reasoning"),
    }
    directions: tuple[Counted, ...] = ("input", "output") if generation.tokens_by_modality else ()
    for direction in directions:
        split = tokens_by_modality(usage, direction)
        details |= {f"gen_ai.usage.{kind}.{direction}_tokens": split.get(kind, 0) for kind in _MODALITIES}
    return found | {name: count for name, count in details.items() if count}


def token_measurements(
    metric: TokenMetric, answer: object, operation: Operation, *, failed: bool
) -> Iterator[tuple[int, Attributes]]:
    """What one call adds to a metric of tokens, and under which further labels."""
    usage = usage_of(answer)
    if usage is None:
        if metric.recorded == "always" and operation.counts_tokens:
            yield 0, {"gen_ai.token.modality": "unknown"}
    elif metric.by_modality:
        for kind, count in tokens_by_modality(usage, metric.counted).items():
            yield count, {"gen_ai.token.modality": kind}
    elif metric.recorded != "succeeded" or not failed:
        yield tokens(usage, metric.counted), dict(metric.labels)


def tokens(usage: Usage, counted: Counted) -> int:
    details = usage.prompt_tokens_details or {}
    match counted:
        case "input":
            found: object = usage.prompt_tokens
        case "output":
            found = usage.completion_tokens
        case "cache_read":
            found = usage.cached_tokens
        case "cache_write":
            found = details.get("cache_write_tokens") or details.get("cache_creation_tokens")
        case "reasoning":
            found = usage.reasoning_tokens
    return max(found, 0) if _is_whole(found) else 0


def tokens_by_modality(usage: Usage, counted: Counted) -> dict[str, int]:
    """The kinds of token the provider tells apart; the rest is "unknown", and all of it together is the total."""
    total = tokens(usage, counted)
    details = {"input": usage.prompt_tokens_details, "output": usage.completion_tokens_details}.get(counted) or {}
    reported = {kind: cast("object", details.get(f"{kind}_tokens")) for kind in _MODALITIES}
    split = {kind: count for kind, count in reported.items() if _is_whole(count) and count > 0}
    rest = total - sum(split.values())
    if rest < 0:
        return {"unknown": total}
    return split if split and not rest else {**split, "unknown": rest}


def error_type(error: BaseException) -> str:
    """The status as text where the service refused, the name of the error's class otherwise."""
    status = error.status if isinstance(error, HFClientError) else None
    return failure_type(status, type(error).__name__)


def failure_type(status: int | None, name: str) -> str:
    return str(status) if status is not None and status >= 400 else name  # noqa: PLR2004  where HTTP errors begin


def error_message(error: BaseException) -> str:
    """Our own errors carry no keys and no bodies in their message; of anybody else's only the name is told."""
    return error.message if isinstance(error, HFClientError) else type(error).__name__


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(each for each in cast("list[object]", value) if isinstance(each, str))
    return ()

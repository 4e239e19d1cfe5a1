"""Chat: the OpenAI shape, as the providers really send it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from typing_extensions import TypeVar

from hfclient.errors import OutputParseError
from hfclient.types.base import Result, Wire

if TYPE_CHECKING:
    from hfclient.types.meta import Meta
    from hfclient.types.models import Pricing

T = TypeVar("T", default=Any)


class SaidAndThought(str):
    """Content that came in parts, as Mistral's reasoning models send it: what was said, and what was thought."""

    __slots__ = ("thought",)
    thought: str


def _said_and_thought(parts: list[Any]) -> SaidAndThought:
    content = SaidAndThought("".join(_texts(parts)))
    content.thought = "".join(text for part in _objects(parts) for text in _texts(part.get("thinking") or ()))
    return content


def _texts(parts: Iterable[Any]) -> list[str]:
    found = [part.get("text") for part in _objects(parts) if part.get("type") == "text"]
    return [text for text in found if isinstance(text, str)]


def _objects(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _nothing_as_empty(value: Any) -> Any:
    return () if value is None else value


# Unions rather than validators in front: text, which is what nearly all of it is, then passes without a call to Python.
if TYPE_CHECKING:
    Text: TypeAlias = str | None
    ArgumentsText: TypeAlias = str
else:
    Text = str | Annotated[list[Any], AfterValidator(_said_and_thought)] | None
    ArgumentsText = str | Annotated[dict[str, Any] | list[Any], AfterValidator(json.dumps)]


# Whole seconds stay whole; left to right, because weighing the two against each other takes its time in every chunk.
Seconds: TypeAlias = Annotated[int | float, Field(union_mode="left_to_right")]


class Usage(Wire):
    """Tokens used, and where the provider says so, of which kind."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None

    @property
    def cached_tokens(self) -> int:
        return (self.prompt_tokens_details or {}).get("cached_tokens") or 0

    @property
    def reasoning_tokens(self) -> int:
        return (self.completion_tokens_details or {}).get("reasoning_tokens") or 0

    def cost_at(self, pricing: Pricing | None) -> float | None:
        """USD: the provider's own figure where it gives one, else the tokens at this price; None where neither is
        known. What a provider takes off for cached tokens is not."""
        for name in ("cost", "estimated_cost"):
            told = (self.model_extra or {}).get(name)
            if isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told < math.inf:
                return float(told)
        if pricing is None or not (self.prompt_tokens or self.completion_tokens):
            return None
        parts = ((self.prompt_tokens, pricing.input), (self.completion_tokens, pricing.output))
        if any(price is None for tokens, price in parts if tokens):
            return None
        return sum(tokens * (price or 0.0) for tokens, price in parts) / 1_000_000


def cost_of(usage: Usage | None, meta: Meta | None) -> float | None:
    """What a call cost that used so much and came about so: the `.cost` of every result that has `.usage`."""
    return usage.cost_at(meta.pricing if meta else None) if usage else None


class TopLogProb(Wire):
    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogProb(TopLogProb):
    top_logprobs: Annotated[tuple[TopLogProb, ...], BeforeValidator(_nothing_as_empty)] = ()


class LogProbs(Wire):
    content: tuple[TokenLogProb, ...] | None = None
    refusal: tuple[TokenLogProb, ...] | None = None


class Function(Wire):
    """The function a model wants called; `arguments` is JSON text, `parse()` reads it."""

    name: str = ""
    arguments: ArgumentsText = ""

    def parse(self) -> Any:
        try:
            return json.loads(self.arguments.strip() or "{}")
        except (ValueError, RecursionError) as error:
            raise OutputParseError(
                f"The model's arguments for {self.name or 'a function'} are not JSON: {error}",
                advice="They are in this error's text; models often cut them off at max_tokens.",
                text=self.arguments,
            ) from error


class ToolCall(Wire):
    """A call the model wants made; one of another `type` has no function, and its own fields beside."""

    id: str = ""
    type: str = "function"
    function: Function = Function()

    @model_serializer(mode="wrap")
    def _as_it_came(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the empty function that was never sent."""
        return _without(handler(self), () if "function" in self.model_fields_set else ("function",))


class ChatMessage(Wire):
    """What the model said. It can be put into the next call's messages as it is."""

    role: str = "assistant"
    content: Text = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: Annotated[tuple[ToolCall, ...], BeforeValidator(_nothing_as_empty)] = ()

    @property
    def reasoning(self) -> str | None:
        return self.reasoning_content or _thought(self.content) or _extra_text(self, "reasoning")

    @model_serializer(mode="wrap")
    def _as_the_api_takes_it(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Many servers refuse a message with an empty list of tool calls."""
        return _without(handler(self), () if self.tool_calls else ("tool_calls",))


class Choice(Wire):
    index: int = 0
    message: ChatMessage
    finish_reason: str | None = None
    logprobs: LogProbs | None = None


class ChatCompletion(Result):
    """A whole answer: `text`, `reasoning`, `tool_calls`, `usage`, `finish_reason`, and the OpenAI shape beneath."""

    id: str = ""
    object: str = "chat.completion"
    created: Seconds = 0
    model: str = ""
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None

    @property
    def cost(self) -> float | None:
        """What the answer cost, in USD; None where neither the provider says so nor its prices have been read, which
        `await client.models.list()` does, once for the client."""
        return cost_of(self.usage, self._meta)

    @property
    def message(self) -> ChatMessage:
        return self._first.message

    @property
    def _first(self) -> Choice:
        return next((choice for choice in self.choices if choice.index == 0), self.choices[0])

    @property
    def text(self) -> str:
        """What the model said, "" where it said nothing, as with a bare tool call."""
        return self.message.content or ""

    @property
    def reasoning(self) -> str | None:
        """What the model thought before it spoke, where the provider shows it."""
        return self.message.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.message.tool_calls

    @property
    def finish_reason(self) -> str | None:
        return self._first.finish_reason


class ParsedChatCompletion(ChatCompletion, Generic[T]):
    """A whole answer whose text was read as `response_format`; `parsed` is the instance."""

    _parsed: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, completion: ChatCompletion, parsed: T) -> ParsedChatCompletion[T]:
        """The same answer with the instance beside it; nothing is validated twice."""
        whole: ParsedChatCompletion[T] = ParsedChatCompletion.model_construct(
            completion.model_fields_set, **dict(completion)
        )
        whole._parsed = parsed
        whole._meta = completion._meta
        return whole

    @property
    def parsed(self) -> T:
        parsed: T = self._parsed
        return parsed


class FunctionDelta(Wire):
    name: str | None = None
    arguments: ArgumentsText | None = None


class ToolCallDelta(Wire):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None


class Delta(Wire):
    role: str | None = None
    content: Text = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] | None = None

    @property
    def reasoning(self) -> str | None:
        return self.reasoning_content or _thought(self.content) or _extra_text(self, "reasoning")


class ChunkChoice(Wire):
    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None
    logprobs: LogProbs | None = None


class ChatCompletionChunk(Wire):
    """A piece of an answer: `text`, `reasoning`, and the OpenAI shape beneath. The last may hold only `usage`."""

    id: str = ""
    object: str = "chat.completion.chunk"
    created: Seconds = 0
    model: str = ""
    choices: tuple[ChunkChoice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None

    # A chunk may hold the second choice alone, so "the first" goes by the number here, never by the place.
    @property
    def text(self) -> str:
        """The first choice's new text, "" where this chunk has none."""
        choices = self.choices
        if choices and choices[0].index == 0:  # as nearly always; this is asked of every token
            return choices[0].delta.content or ""
        return next((choice.delta.content or "" for choice in choices if choice.index == 0), "")

    @property
    def reasoning(self) -> str:
        """The first choice's new reasoning, "" where this chunk has none."""
        return next((choice.delta.reasoning or "" for choice in self.choices if choice.index == 0), "")

    @property
    def finish_reason(self) -> str | None:
        return next((choice.finish_reason for choice in self.choices if choice.index == 0), None)


def _without(fields: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    for name in names:
        fields.pop(name, None)
    return fields


def _thought(content: str | None) -> str | None:
    return content.thought if isinstance(content, SaidAndThought) else None


def _extra_text(value: Wire, name: str) -> str | None:
    found = (value.model_extra or {}).get(name)
    return found if isinstance(found, str) else None

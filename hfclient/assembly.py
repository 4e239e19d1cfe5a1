"""A chat, or a text, put together again from its chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from hfclient.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionDelta,
    LogProbs,
    SaidAndThought,
    ToolCallDelta,
    Usage,
)
from hfclient.types.text import TextGeneration, TextGenerationChunk, Token

# Where every piece repeats them, one is meant.
_SAID_ONCE = frozenset({"id", "type", "name", "role", "index"})


class _Pieces(list[str]):
    """A text that is still growing; joined only at the end, for it may come in thousands of pieces."""


@dataclass(slots=True)
class _ToolCall:
    id: str = ""
    kind: str = ""
    name: str = ""
    named: bool = False
    arguments: list[str] = field(default_factory=list[str])
    extras: dict[str, Any] = field(default_factory=dict[str, Any])
    function_extras: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class _Choice:
    role: str = "assistant"
    content: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    tool_calls: list[_ToolCall] = field(default_factory=list[_ToolCall])
    by_index: dict[int, _ToolCall] = field(default_factory=dict[int, _ToolCall])
    logprobs: dict[str, Any] = field(default_factory=dict[str, Any])
    extras: dict[str, Any] = field(default_factory=dict[str, Any])
    beside: dict[str, Any] = field(default_factory=dict[str, Any])  # the message: a filter's verdict, a stop reason
    finish_reason: str | None = None


class ChatAssembly:
    """Adds chunk to chunk, choice by choice."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None

    def add(self, chunk: ChatCompletionChunk) -> None:
        if not self._head.get("id"):  # Azure's first chunk has neither id nor model
            self._head |= {"id": chunk.id, "created": chunk.created, "model": chunk.model}
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.system_fingerprint:
            self._head["system_fingerprint"] = chunk.system_fingerprint
        if chunk.model_extra:
            self._head |= chunk.model_extra
        for choice in chunk.choices:
            mine = self._choices.get(choice.index)
            if mine is None:
                mine = self._choices[choice.index] = _Choice()
            _add_choice(mine, choice)

    def whole(self) -> bool:
        """Every choice that began has ended."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def result(self) -> ChatCompletion | None:
        if not self._choices:
            return None
        choices = [_finished(index, choice) for index, choice in sorted(self._choices.items())]
        return ChatCompletion.model_validate(
            {**self._head, "object": "chat.completion", "choices": choices, "usage": self._usage}
        )


def _add_choice(mine: _Choice, choice: ChunkChoice) -> None:
    delta = choice.delta
    if delta.content:
        mine.content.append(delta.content)
    if choice.finish_reason:
        mine.finish_reason = choice.finish_reason
    if choice.logprobs is not None:
        _add_logprobs(mine, choice.logprobs)
    if delta.tool_calls:
        for call in delta.tool_calls:
            _add_tool_call(mine, call)
    if delta.role:
        mine.role = delta.role
    if delta.__pydantic_extra__ or delta.reasoning_content or delta.refusal or type(delta.content) is SaidAndThought:
        _add_the_rest(mine, delta)
    if choice.__pydantic_extra__:
        # Not a piece but how things stand: a verdict that is repeated with every chunk replaces the one before.
        join(mine.beside, choice.__pydantic_extra__, texts_grow=False)


def _add_the_rest(mine: _Choice, delta: Delta) -> None:
    if delta.refusal:
        mine.refusal.append(delta.refusal)
    if delta.reasoning:
        mine.reasoning.append(delta.reasoning)
    more = delta.model_extra or {}
    if isinstance(more.get("reasoning"), str):  # taken above, or said twice
        more = {name: value for name, value in more.items() if name != "reasoning"}
    join(mine.extras, more)


def join(whole: dict[str, Any], piece: Mapping[str, Any], *, texts_grow: bool = True) -> None:
    """Add fields this version does not know: texts and lists grow, objects key by key, everything else is replaced."""
    for name, value in piece.items():
        before = whole.get(name)
        match value:
            case None:
                pass
            case str() if not texts_grow or name in _SAID_ONCE:
                whole[name] = value or before or ""
            case str() if isinstance(before, _Pieces):
                before.append(value)
            case str():
                whole[name] = _Pieces([value])
            case list():
                items = cast("list[object]", value)
                if isinstance(before, list):
                    cast("list[object]", before).extend(items)
                else:
                    whole[name] = [*items]
            case dict():
                inner: dict[str, Any] = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
                join(inner, cast("dict[str, Any]", value), texts_grow=texts_grow)
                whole[name] = inner
            case _:
                whole[name] = value


def settled(value: Any) -> Any:
    """What has grown so far, apart from what may grow further."""
    match value:
        case _Pieces():
            return "".join(value)
        case dict():
            return {name: settled(inner) for name, inner in cast("dict[str, Any]", value).items()}
        case list():
            return [*value]
        case _:
            return value


def _add_logprobs(mine: _Choice, logprobs: LogProbs) -> None:
    for name in ("content", "refusal"):
        if (tokens := getattr(logprobs, name)) is not None:
            mine.logprobs.setdefault(name, []).extend(tokens)
    if logprobs.model_extra:
        join(mine.logprobs, logprobs.model_extra)


def _add_tool_call(mine: _Choice, delta: ToolCallDelta) -> None:
    named = _is_named(delta)
    call = _tool_call_meant(mine, delta, named=named)
    call.named = call.named or named
    if delta.id:
        call.id = delta.id
    if delta.type:
        call.kind = delta.type
    if delta.model_extra:
        join(call.extras, delta.model_extra)
    if delta.function is not None:
        _add_function(call, delta.function)


def _add_function(call: _ToolCall, function: FunctionDelta) -> None:
    if function.name and function.name != call.name:
        call.name += function.name
    if function.arguments:
        call.arguments.append(function.arguments)
    if function.model_extra:
        join(call.function_extras, function.model_extra)


def _is_named(delta: ToolCallDelta) -> bool:
    if delta.function is not None:
        return bool(delta.function.name)
    custom = (delta.model_extra or {}).get("custom")
    return isinstance(custom, dict) and bool(cast("dict[str, Any]", custom).get("name"))


def _tool_call_meant(mine: _Choice, delta: ToolCallDelta, *, named: bool) -> _ToolCall:
    """The call this piece belongs to. The index says so; but some servers send none, or the same for every call."""
    known = mine.by_index.get(delta.index) if delta.index is not None else None
    if known is not None and not (delta.id and known.id and delta.id != known.id and named):
        return known
    if delta.index is None and mine.tool_calls:
        if delta.id:
            for call in mine.tool_calls:
                if call.id == delta.id:
                    return call
            if not named and not mine.tool_calls[-1].id:
                return mine.tool_calls[-1]  # its id comes late
        elif not (named and mine.tool_calls[-1].named):
            return mine.tool_calls[-1]
    call = _ToolCall()
    mine.tool_calls.append(call)
    if delta.index is not None:
        mine.by_index[delta.index] = call
    return call


def _finished(index: int, choice: _Choice) -> Mapping[str, Any]:
    message: dict[str, Any] = {**settled(choice.extras), "role": choice.role}
    answered_otherwise = choice.tool_calls or choice.extras.keys() & {"function_call", "audio"}
    message["content"] = "".join(choice.content) if choice.content or not answered_otherwise else None
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.refusal:
        message["refusal"] = "".join(choice.refusal)
    if choice.tool_calls:
        message["tool_calls"] = [_finished_call(call) for call in choice.tool_calls]
    return {
        **settled(choice.beside),
        "index": index,
        "message": message,
        "finish_reason": choice.finish_reason,
        "logprobs": settled(choice.logprobs) or None,
    }


def _finished_call(call: _ToolCall) -> Mapping[str, Any]:
    kind = call.kind or ("custom" if "custom" in call.extras else "function")
    finished: dict[str, Any] = {**settled(call.extras), "id": call.id, "type": kind}
    if kind == "function" or call.name or call.arguments:
        extras = settled(call.function_extras)
        finished["function"] = {**extras, "name": call.name, "arguments": "".join(call.arguments)}
    return finished


class TextAssembly:
    """Adds piece to piece."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens: list[Token] = []
        self._details: dict[str, Any] = {}
        self._known: dict[str, Any] = {}

    def add(self, chunk: TextGenerationChunk) -> None:
        self._texts.append(chunk.text)
        if chunk.token is not None:
            self._tokens.append(chunk.token)
        if chunk.details:
            join(self._details, chunk.details, texts_grow=False)
        if chunk.generated_text is not None:  # the server's own word for the whole, even if it is nothing
            self._known["generated_text"] = chunk.generated_text
        told = {name: getattr(chunk, name) for name in ("finish_reason", "model", "usage")}
        self._known |= {name: value for name, value in told.items() if value}

    def whole(self) -> bool:
        return "finish_reason" in self._known or "generated_text" in self._known

    def result(self) -> TextGeneration | None:
        if not self._texts:
            return None
        details = settled(self._details)
        if details and self._tokens:  # the whole answer would list them there
            details["tokens"] = [token.model_dump() for token in self._tokens]
        return TextGeneration.model_validate(
            {"generated_text": "".join(self._texts), **self._known, "details": details or None}
        )

"""A chat put together again from its chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hfclient.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    LogProbs,
    SaidAndThought,
    ToolCallDelta,
    Usage,
)


@dataclass(slots=True)
class _ToolCall:
    id: str = ""
    kind: str = "function"
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Choice:
    role: str = "assistant"
    content: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    tool_calls: list[_ToolCall] = field(default_factory=list[_ToolCall])
    by_index: dict[int, _ToolCall] = field(default_factory=dict[int, _ToolCall])
    logprobs: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    extras: dict[str, Any] = field(default_factory=dict[str, Any])
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
    if delta.model_extra or delta.reasoning_content or delta.refusal or type(delta.content) is SaidAndThought:
        _add_the_rest(mine, delta)


def _add_the_rest(mine: _Choice, delta: Delta) -> None:
    if delta.refusal:
        mine.refusal.append(delta.refusal)
    if delta.reasoning:
        mine.reasoning.append(delta.reasoning)
    for name, value in (delta.model_extra or {}).items():
        if name == "reasoning" or value is None:
            continue
        before: Any = mine.extras.get(name)
        joins = type(before) is type(value) and type(before) in {str, list}
        mine.extras[name] = before + value if joins else value


def _add_logprobs(mine: _Choice, logprobs: LogProbs) -> None:
    for name in ("content", "refusal"):
        if (tokens := getattr(logprobs, name)) is not None:
            mine.logprobs.setdefault(name, []).extend(tokens)


def _add_tool_call(mine: _Choice, delta: ToolCallDelta) -> None:
    call = _tool_call_meant(mine, delta)
    if delta.id:
        call.id = delta.id
    if delta.type:
        call.kind = delta.type
    if delta.function is not None:
        if delta.function.name and delta.function.name != call.name:
            call.name += delta.function.name
        if delta.function.arguments:
            call.arguments.append(delta.function.arguments)


def _tool_call_meant(mine: _Choice, delta: ToolCallDelta) -> _ToolCall:
    """The call this piece belongs to. The index says so; but some servers send none, or the same for every call."""
    named = bool(delta.function and delta.function.name)
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
        elif not (named and mine.tool_calls[-1].name):
            return mine.tool_calls[-1]
    call = _ToolCall()
    mine.tool_calls.append(call)
    if delta.index is not None:
        mine.by_index[delta.index] = call
    return call


def _finished(index: int, choice: _Choice) -> Mapping[str, Any]:
    message: dict[str, Any] = {**choice.extras, "role": choice.role}
    message["content"] = "".join(choice.content) if choice.content or not choice.tool_calls else None
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.refusal:
        message["refusal"] = "".join(choice.refusal)
    if choice.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": call.kind, "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in choice.tool_calls
        ]
    return {
        "index": index,
        "message": message,
        "finish_reason": choice.finish_reason,
        "logprobs": choice.logprobs or None,
    }

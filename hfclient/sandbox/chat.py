"""A scripted model that chats: the same question always gets the same answer, in OpenAI's form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from hfclient.errors import InputError
from hfclient.sandbox.wire import JSON, Answer, answered, events, within

Message: TypeAlias = Mapping[str, Any]
Said: TypeAlias = "str | Message | Sequence[str | Message]"
Script: TypeAlias = Callable[[list[dict[str, Any]]], Said]

SPOKEN = (
    ("sky", "Air scatters blue light far more than red, so blue reaches your eye from every side."),
    ("five", "One, two, three, four, five."),
    ("capital", "Paris is the capital of France."),
    ("joke", "Why did the token cross the stream? To get to the other side of the chunk."),
    ("story", "Once upon a time a llama lived by the sea, and every morning it counted the waves."),
    ("hfclient", "hfclient is one async client for every inference provider behind Hugging Face."),
)
WORDS = {"city": "Paris", "name": "Paris", "country": "France", "unit": "celsius"}
THOUGHT = "The user asks something simple. I answer it in one sentence."


def by_default(messages: list[dict[str, Any]]) -> str:
    """An answer to what the tests, the documents and the demonstration ask; a friendly one to anything else."""
    text, media = _asked(messages[-1] if messages else {})
    if messages and messages[-1].get("role") == "tool":
        return f"The tool says: {text}"
    if media:
        return f"I was sent {len(media)} of these: {', '.join(sorted(set(media)))}."
    return next((words for hint, words in SPOKEN if hint in text.lower()), "Hello to you too!")


def chat(asked: dict[str, Any], script: Script, provider: str) -> Answer:
    """The answer to a request for a chat, streamed where it asks for that."""
    messages: list[dict[str, Any]] = asked.get("messages") or []
    said = _choices(script(messages), int(asked.get("n") or 1))
    choices = [_choice(index, each, asked) for index, each in enumerate(said)]
    head = {"id": f"chatcmpl-{_digest(asked)}", "created": 1700000000, "model": asked.get("model") or "sandbox"}
    head |= {"system_fingerprint": "fp_sandbox"}
    told = next((each["usage"] for each in said if isinstance(each, Mapping) and "usage" in each), None)
    usage = told or _usage(messages, choices)
    headers = {"x-inference-provider": provider, "x-request-id": f"req-{_digest(asked)[:12]}"}
    if asked.get("stream"):
        counted = bool(within(asked, "stream_options").get("include_usage"))
        return events(_chunks(head, choices, usage if counted else None), headers=headers)
    return answered({**head, "object": "chat.completion", "choices": choices, "usage": usage}, headers=headers)


def _choices(said: Said, wanted: int) -> list[str | Message]:
    if isinstance(said, str | Mapping):
        return [said] * wanted
    if isinstance(said, Sequence):
        return list(said)
    raise InputError(
        f"The sandbox's chat script gave {type(said).__name__}.",
        advice="It gives a text, a message as a dict, or a list of them for several choices.",
    )


def _choice(index: int, said: str | Message, asked: dict[str, Any]) -> dict[str, Any]:
    if isinstance(said, str):
        message = _message(said, asked)
        reason = None
    else:
        beside = {"usage", "finish_reason"}
        message = {"role": "assistant", "content": None, **{k: v for k, v in said.items() if k not in beside}}
        reason = said.get("finish_reason")
    reason = reason or ("tool_calls" if message.get("tool_calls") else "stop")
    return {"index": index, "message": message, "finish_reason": reason, "logprobs": None}


def _message(said: str, asked: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said}
    wanted = within(asked, "response_format")
    after_tool = bool(asked.get("messages")) and asked["messages"][-1].get("role") == "tool"
    if asked.get("tools") and asked.get("tool_choice") != "none" and not after_tool:
        message |= {"content": None, "tool_calls": [_tool_call(asked["tools"][0]["function"])]}
    elif schema := within(wanted, "json_schema").get("schema") or wanted.get("schema"):
        message["content"] = json.dumps(sample(schema))
    elif wanted.get("type") == "json_object":
        message["content"] = json.dumps({"answer": said})
    if asked.get("reasoning_effort") or "r1" in str(asked.get("model")).lower():
        message["reasoning_content"] = THOUGHT
    return message


def _asked(message: Message) -> tuple[str, list[str]]:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content, []
    text = " ".join(part.get("text", "") for part in content)
    return text, [part["type"] for part in content if part.get("type") != "text"]


def _tool_call(function: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(sample(function.get("parameters") or {}))
    return {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _chunks(head: JSON, choices: list[dict[str, Any]], usage: JSON | None) -> list[JSON]:
    head = {**head, "object": "chat.completion.chunk"}
    chunks: list[JSON] = []
    for choice in choices:
        index, reason = choice["index"], choice["finish_reason"]
        deltas = _deltas(choice["message"])
        ends = [(each, None) for each in deltas] + [({}, reason)]
        chunks += [
            {**head, "choices": [{"index": index, "delta": each, "finish_reason": end, "logprobs": None}]}
            for each, end in ends
        ]
    if usage:
        chunks.append({**head, "choices": [], "usage": usage})
    return chunks


def _deltas(message: Message) -> list[JSON]:
    """What is thought, then what is said, word by word; tool calls with their arguments in two halves."""
    deltas: list[JSON] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content"):
        deltas += [{name: word} for word in re.findall(r"\s*\S+", message.get(name) or "")]
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call["function"]
        middle = len(function["arguments"]) // 2
        first = {**call, "index": index, "function": {**function, "arguments": function["arguments"][:middle]}}
        rest = {"index": index, "function": {"arguments": function["arguments"][middle:]}}
        deltas += [{"tool_calls": [first]}, {"tool_calls": [rest]}]
    return deltas


def _usage(messages: list[dict[str, Any]], choices: list[dict[str, Any]]) -> dict[str, int]:
    asked = tokens_in(json.dumps(messages))
    said = sum(tokens_in(json.dumps(choice)) for choice in choices)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def tokens_in(text: str) -> int:
    """A count that is about right, and always the same."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _digest(asked: JSON) -> str:
    return sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:24]


def sample(schema: dict[str, Any], name: str = "", root: dict[str, Any] | None = None) -> object:
    """Something that fits a JSON schema."""
    root = root or schema
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], name, root)
    if "const" in schema:
        return schema["const"]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return sample(schema[several][0], name, root)
    match schema.get("type"):
        case "object":
            return {key: sample(each, key, root) for key, each in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema.get("items", {}), name, root)]
        case "integer" | "number" | "boolean" as kind:
            return {"integer": 3, "number": 21.5, "boolean": True}[kind]
        case "null":
            return None
        case _:
            return schema.get("enum", [WORDS.get(name, "something")])[0]

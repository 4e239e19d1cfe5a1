"""A call's conversation in the form the OpenTelemetry conventions give it; media stay out, a note takes their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pydantic import BaseModel

from hfclient.media import Media
from hfclient.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS, TOOL_DEFINITIONS, bare_url
from hfclient.types import Answer, ChatCompletion, File, RawAnswer, Track

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.semconv import Generation

Part: TypeAlias = dict[str, Any]
Content: TypeAlias = dict[str, list[Part]]

_DATA_URI = re.compile(
    r"data:(?P<type>[\w.+-]+/[\w.+-]+|(?=;))(?:;[\w.-]+=[^;,\s]*)*(?P<base64>;base64)?,(?P<data>[^\s\"'<>()\[\]{}\\]*)",
    re.IGNORECASE,
)
_MEDIA_PARTS = {
    "image": "image",
    "image_url": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
}


def request_content(call: Call, generation: Generation) -> Content:
    """What the model is asked; system messages stay in the conversation, where they are on the wire."""
    asked = {**call.parameters, **call.body}
    inputs: Any = call.inputs
    if call.task != "conversational" or call.raw or isinstance(inputs, str):
        inputs = [{"role": "user", "content": _given(call, asked.get("prompt"))}]
    content: Content = {INPUT_MESSAGES: [_message(each, generation) for each in _items(inputs)]}
    if isinstance(instructions := asked.get("instructions"), str):
        content[SYSTEM_INSTRUCTIONS] = [_text(instructions)]
    if tools := _items(asked.get("tools")):
        content[TOOL_DEFINITIONS] = [_tool(each) for each in tools]
    return content


def answer_content(answer: object, generation: Generation) -> Content:
    """What the model answered, as far as it is text or tool calls."""
    if isinstance(answer, ChatCompletion):
        messages = [_message(choice.message, generation) for choice in answer.choices]
        if generation.finish_reason_in_messages:
            for message, choice in zip(messages, answer.choices, strict=True):
                message["finish_reason"] = choice.finish_reason or "error"
        return {OUTPUT_MESSAGES: messages}
    parts = [part for each in (_items(answer) or [answer]) if (part := _made(each))]
    return {OUTPUT_MESSAGES: [{"role": "assistant", "parts": parts}]} if parts else {}


def _given(call: Call, prompt: object) -> list[object]:
    """What a task other than chat is given, piece by piece; what a provider is told in its own words may be anything,
    media in base64 too."""
    if call.raw:
        return []
    pieces = list(_mapping(call.inputs).values()) or [call.inputs]
    return [piece for piece in (*pieces, prompt) if piece is not None]


def _made(answer: object) -> Part | None:
    """One of the things that a model made: its text, or a note in place of a file."""
    match answer:
        case Track():
            return _made(answer.audio)
        case File():
            note = _note(answer.media_type, answer.size if answer.path is None else None)
            return {"type": "blob", "modality": answer.kind, "mime_type": answer.media_type, "content": note}
        case RawAnswer():
            return None
        case Answer():
            text: object = answer.answer
        case _:
            text = getattr(answer, "text", None)
    return _text(text) if isinstance(text, str) else None


def _message(message: object, generation: Generation) -> Part:
    said = _mapping(message)
    role, content = str(said.get("role") or "user"), said.get("content")
    parts: list[Part] = []
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := said.get(name), str) and thought and not parts:
            parts.append({"type": "reasoning", "content": _without_media(thought)})
    if role == "tool":
        answer = {"id": said.get("tool_call_id"), generation.tool_answer_key: _plain(content)}
        return {"role": role, "parts": [{"type": "tool_call_response", **answer}]}
    if isinstance(content, str):
        parts += [_text(content)] if content else []
    else:
        parts += [_part(each) for each in _items(content)]
    if isinstance(refusal := said.get("refusal"), str):
        parts.append({"type": "refusal", "content": _without_media(refusal)})
    parts += [_tool_call(each) for each in _items(said.get("tool_calls"))]
    return {"role": role, "parts": parts}


def _part(part: object) -> Part:
    if isinstance(part, str):
        return _text(part)
    said = _mapping(part)
    kind = said.get("type")
    if kind == "text" and isinstance(said.get("text"), str):
        return _text(said["text"])
    if kind in _MEDIA_PARTS:
        held = said.get(kind)
        inner = _mapping(held)
        return _media(inner.get("url") or inner.get("data") or held, _MEDIA_PARTS[kind])
    if isinstance(kind, str):
        return {"type": kind}
    if isinstance(part, Mapping | list | tuple):
        return {"type": "data", "content": _plain(part)}
    return _media(part, "unknown")


def _media(source: object, modality: str) -> Part:
    if isinstance(source, Media):
        return _media(source.source, source.kind if modality == "unknown" and source.kind != "other" else modality)
    if not isinstance(source, str):
        return {"type": "blob", "modality": modality, "content": _plain(source)}
    if source[:8].lower().startswith(("http://", "https://")):
        return {"type": "uri", "modality": modality, "uri": bare_url(source)}
    if found := _DATA_URI.match(source):
        return {"type": "blob", "modality": modality, "mime_type": found["type"], "content": _data_uri_note(found)}
    return {"type": "blob", "modality": modality, "content": _note(modality, len(source) * 3 // 4)}


def _tool_call(call: object) -> Part:
    said = _mapping(call)
    function = _mapping(said.get("function"))
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):  # half a call, from a stream that was cut, stays the text that it is
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": said.get("id"), "name": function.get("name"), "arguments": _plain(arguments)}


def _tool(tool: object) -> Part:
    said = _mapping(tool)
    if not said:
        return {"type": "function", "name": getattr(tool, "__name__", type(tool).__name__)}
    function = _mapping(said.get("function"))
    return {"type": said.get("type", "function"), **_plain(function or said)}


def _text(text: str) -> Part:
    return {"type": "text", "content": _without_media(text)}


def _without_media(text: str) -> str:
    # A look for the scheme first: most texts have none, and some are long.
    return _DATA_URI.sub(_data_uri_note, text) if "data:" in text.lower() else text


def _data_uri_note(found: re.Match[str]) -> str:
    size = len(found["data"].rstrip("=")) * 3 // 4 if found["base64"] else len(found["data"])
    return _note(found["type"], size)


def _note(kind: str, size: int | None) -> str:
    return f"[{kind or 'media'}]" if size is None else f"[{kind or 'media'}, {size} bytes]"


def _plain(value: Any) -> Any:
    """Give the value as JSON can have it, with notes in place of whatever is media."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _without_media(value)
        case bytes() | bytearray():
            return _note("bytes", len(value))
        case list() | tuple():
            return [_plain(each) for each in cast("Iterable[Any]", value)]
        case Mapping():
            return {str(name): _plain(each) for name, each in _mapping(cast("object", value)).items()}
        case BaseModel():
            return _plain(_mapping(value))
        case _:
            return f"[{type(value).__name__}]"


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True, warnings=False)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Any]:
    return list(cast("Iterable[Any]", value)) if isinstance(value, list | tuple) else []

"""The caller's messages, made into what goes on the wire in two pure steps.

`normalise` accepts every way to write a message and leaves plain dicts, in which media not yet read stands as `Media`.
`attach` is a flow: it asks for those media to be loaded, and puts their bytes where they belong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from pydantic import BaseModel

from hfclient.errors import InputError
from hfclient.flow import Flow, Load
from hfclient.media import Kind, Loaded, Media, as_media, describe, is_url, kind_of
from hfclient.types.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable

# Under which key of which part a picture, a sound or a film travels, and the ways in which callers write that part.
_SLOTS: dict[Kind, tuple[str, str]] = {
    "image": ("image_url", "url"),
    "audio": ("input_audio", "data"),
    "video": ("video_url", "url"),
}
_KINDS: dict[str, Kind] = {
    "image": "image",
    "image_url": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
}
_AUDIO_FORMATS = {"mpeg": "mp3", "wave": "wav", "vnd.wave": "wav", "mp4": "m4a", "quicktime": "m4a"}


def normalise(messages: str | Sequence[Message]) -> list[dict[str, Any]]:
    """Give the messages as plain dicts; what needs no change is not copied.

    Strings in messages are text or URLs, never paths: messages often come from strangers, and a path in one must not
    make this machine read a file.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not _is_list(messages):
        raise InputError(
            f"messages is of type {type(messages).__name__}, not a list.",
            advice='Pass a string, or a list such as [{"role": "user", "content": "…"}].',
        )
    if not messages:
        raise InputError("messages is empty.", advice="Pass at least one message.")
    return [_message(message, index) for index, message in enumerate(messages)]


def attach(messages: list[dict[str, Any]]) -> Flow[list[dict[str, Any]]]:
    """Load what must become bytes, and give messages that are plain JSON; without media, the same messages."""
    if not has_media(messages):
        return messages
    attached: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        parts: list[Any] = []
        for position, part in enumerate(_parts_of(message)):
            where = f"messages[{index}].content[{position}]"
            media = _media_in(part)
            parts.append(part if media is None else (yield from _attached(part, media, where)))
        attached.append({**message, "content": parts} if parts else message)
    return attached


def has_media(messages: list[dict[str, Any]]) -> bool:
    """Whether anything in these normalised messages is still to be loaded or placed."""
    return any(_media_in(part) is not None for message in messages for part in _parts_of(message))


def _message(message: object, index: int) -> dict[str, Any]:
    if isinstance(message, BaseModel):
        message = _dumped(message)
    if not isinstance(message, Mapping):
        raise InputError(
            f"messages[{index}] is of type {type(message).__name__}, not a message.",
            advice='A message is a dict with "role" and "content", or one taken from a reply (reply.message).',
        )
    plain = cast("dict[str, Any]", message if isinstance(message, dict) else dict(message))  # pyright: ignore[reportUnknownArgumentType]
    role = plain.get("role")
    if not isinstance(role, str) or not role:
        found = "has no role" if role is None else f"has the role {role!r}"
        raise InputError(f"messages[{index}] {found}.", advice='"role" is "system", "user", "assistant" or "tool".')
    changes = {
        key: changed
        for key, change in _CHANGES.items()
        if (value := plain.get(key)) is not None
        and not isinstance(value, str)
        and (changed := change(value, index)) is not value
    }
    return {**plain, **changes} if changes else plain


# What a model thought is not part of the conversation, and several servers refuse messages that hold it. Whoever wants
# it sent back can say so in a dict, which goes out as it is.
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details")


def _dumped(message: BaseModel) -> dict[str, Any]:
    """Give a typed message as a dict; a field that is None was not said, and is not sent."""
    plain = message.model_dump(mode="json", exclude={"content", *_THOUGHTS}, exclude_none=True, warnings=False)
    if not plain.get("tool_calls", True):
        del plain["tool_calls"]
    content = getattr(message, "content", None)
    if content is not None or "content" in message.model_fields_set:
        # Beside tool calls, content: null is part of the message; some servers insist on it.
        plain["content"] = content
    for call in plain.get("tool_calls", ()):
        function = call.get("function", {})
        if function.get("arguments") == "":
            # What a model writes for no arguments; servers read it back as JSON and fail.
            function["arguments"] = "{}"
    return plain


def _tool_calls(calls: object, index: int) -> object:
    if not _is_list(calls):
        raise InputError(f"messages[{index}].tool_calls is of type {type(calls).__name__}, not a list.")
    if isinstance(calls, list) and not any(isinstance(call, BaseModel) for call in calls):
        return cast("object", calls)
    return [call.model_dump(mode="json", exclude_none=True) if isinstance(call, BaseModel) else call for call in calls]


def _content(content: object, index: int) -> object:
    if not _is_list(content):
        raise InputError(
            f"messages[{index}].content is of type {type(content).__name__}.",
            advice="Content is text, or a list of text, media and content parts.",
        )
    parts = [_part(part, f"messages[{index}].content[{position}]") for position, part in enumerate(content)]
    unchanged = isinstance(content, list) and all(new is old for new, old in zip(parts, content, strict=True))
    return content if unchanged else parts


_CHANGES: dict[str, Callable[[object, int], object]] = {"content": _content, "tool_calls": _tool_calls}


def _part(part: object, where: str) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, BaseModel):
        part = part.model_dump(exclude_none=True)
    if not isinstance(part, Mapping):
        return as_media(part, strings="url", what=where)
    plain = cast("dict[str, Any]", part if isinstance(part, dict) else dict(part))  # pyright: ignore[reportUnknownArgumentType]
    given = plain.get("type")
    kind = _KINDS.get(given) if isinstance(given, str) else None
    return plain if kind is None else _media_part(plain, kind, where)


def _media_part(part: dict[str, Any], kind: Kind, where: str) -> dict[str, Any]:
    """Bring a part that carries media into the one form the API has for its kind."""
    given: str = part["type"]
    wire, slot = _SLOTS[kind]
    source = given if given in part else "url"
    held = part.get(source)
    if isinstance(held, Mapping):
        fields = dict(cast("Mapping[str, Any]", held))
        rest = {key: value for key, value in part.items() if key not in {"type", source}}
    else:
        beside = {"detail", "format"} & part.keys()
        fields = {slot: held, **{key: part[key] for key in beside}}
        rest = {key: value for key, value in part.items() if key not in {"type", source, *beside}}
    value = fields.get(slot)
    if value is None:
        raise InputError(f"{where} has no {kind}.", advice=f'It reads {{"type": "{wire}", "{wire}": {{"{slot}": …}}}}.')
    placed = _placed(value, kind, f"{where}.{source}")
    if placed is value and given == wire and isinstance(held, dict):
        return part
    return {**rest, "type": wire, wire: {**fields, slot: placed}}


def _placed(value: object, kind: Kind, where: str) -> Media | str:
    if not isinstance(value, str):
        return as_media(value, strings="url", what=where)
    if kind == "audio":
        # The wire has base64 text here. That holds no colon, so a URL cannot be mistaken for it.
        return Media(value) if is_url(value) else value
    as_media(value, strings="url", what=where)
    return value


def _parts_of(message: dict[str, Any]) -> list[Any]:
    content: list[Any] | str | None = message.get("content")
    return content if isinstance(content, list) else []


def _media_in(part: object) -> Media | None:
    if isinstance(part, Media):
        return part
    if not isinstance(part, dict):
        return None
    given = cast("object", part.get("type"))  # pyright: ignore[reportUnknownMemberType]
    kind = _KINDS.get(given) if isinstance(given, str) else None
    if kind is None:
        return None
    wire, slot = _SLOTS[kind]
    value = cast("dict[str, dict[str, object]]", part)[wire][slot]
    return value if isinstance(value, Media) else None


def _attached(part: Any, media: Media, where: str) -> Flow[dict[str, Any]]:
    bare = part is media
    kind = media.kind if bare else _KINDS[part["type"]]
    if media.url and kind in {"image", "video"}:
        return _filled(part, kind, url=media.url)
    loaded: Loaded = yield Load(media)
    found = kind_of(loaded.media_type)
    # A container such as WebM is labelled video even where it holds sound alone.
    if bare:
        kind = found
    elif found != kind and (kind, found) != ("audio", "video"):
        raise InputError(f"{where} is {loaded.media_type}, not {kind}: {describe(media.source)}.", advice=_MISLABELLED)
    if kind == "other":
        kinds = "a picture, a sound or a video"
        raise InputError(f"{where} is {loaded.media_type}, not {kinds}: {describe(media.source)}.", advice=_MISLABELLED)
    if kind == "audio":
        return _filled(part, kind, data=loaded.base64(), format=_audio_format(loaded.media_type))
    return _filled(part, kind, url=loaded.data_uri())


_MISLABELLED = 'If it is one all the same, say so: Media(source, "image/…").'


def _filled(part: Any, kind: Kind, **values: str) -> dict[str, Any]:
    """Put the values into the part; what the caller set beside the media, a format included, stays."""
    wire, slot = _SLOTS[kind]
    if isinstance(part, Media):
        return {"type": wire, wire: values}
    return {**part, wire: {**values, **part[wire], slot: values[slot]}}


def _audio_format(media_type: str) -> str:
    subtype = media_type.partition(";")[0].partition("/")[2].strip().lower().removeprefix("x-")
    return _AUDIO_FORMATS.get(subtype, subtype)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple) or (
        isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)
    )

"""Pictures, sounds and films: into requests as addresses, out of answers as the body, as base64 or from an address."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from hfclient.call import Call
from hfclient.complaints import error_in_success
from hfclient.errors import InputError, ResponseError
from hfclient.flow import JSON, Fetch, Fetched, Flow, Load, Response, json_or_none
from hfclient.media import Loaded, Media, as_media, is_media
from hfclient.providers.reading import REPORT, unusable
from hfclient.types.files import File

FileT = TypeVar("FileT", bound=File)


def as_url(media: Media, *, relabelled: Callable[[str], str] | None = None) -> Flow[str]:
    """Media for a provider that fetches files itself: an http(s) address as it is, anything else as a data: URL.

    `relabelled` gives the name by which the provider knows a media type.
    """
    if media.url is not None and media.is_remote:
        return media.url
    loaded: Loaded = yield Load(media)
    if relabelled is not None:
        loaded = replace(loaded, media_type=relabelled(loaded.media_type))
    return loaded.data_uri()


def named_inputs(call: Call) -> Flow[dict[str, Any]]:
    """What a task without a function here is told, by the provider's own names; media in it as addresses."""
    if not isinstance(call.inputs, Mapping):
        raise InputError(
            f"The inputs for {call.task} are of type {type(call.inputs).__name__}, but this provider wants names.",
            advice='Pass a mapping, such as {"prompt": "…"} or {"image_url": Path("cat.png")}.',
        )
    told: dict[str, Any] = {**call.inputs, **call.parameters}  # pyright: ignore[reportUnknownMemberType]
    for name, value in told.items():
        if is_media(value):
            told[name] = yield from as_url(as_media(value, strings="url", what=name))
    return told


def from_body(kind: type[FileT], reply: Response) -> FileT:
    """The answer is the file. JSON, a web page or nothing at all in its place is no file."""
    payload = json_or_none(reply.content) if reply.content[:1] in {b"{", b"["} else None
    if payload is not None or reply.media_type in {"application/json", "text/html"}:
        complaint = error_in_success(payload)
        said = f": {complaint.message}" if complaint else ""
        raise unusable(reply, f"{reply.media_type or 'JSON'} where {kind.__name__.lower()} was due{said}")
    if not reply.content:
        raise unusable(reply, "empty")
    return kind.of(reply.content, declared=reply.media_type)


def from_base64(kind: type[FileT], text: object, *, declared: str | None = None) -> FileT:
    """The file stands in the answer."""
    if not isinstance(text, str) or not text:
        raise ResponseError(f"The answer holds no {kind.__name__.lower()}.", advice=REPORT)
    if text.startswith("data:"):
        return _from_data_uri(kind, text)
    try:
        content = base64.b64decode(text)
    except ValueError:
        content = b""
    if not content:
        raise ResponseError(f"The {kind.__name__.lower()} in the answer is empty, or no base64.", advice=REPORT)
    return kind.of(content, declared=declared)


def from_address(kind: type[FileT], url: JSON, *, declared: str | None = None) -> Flow[FileT]:
    """The answer says where the file is; small ones are sometimes written into the address itself."""
    if not isinstance(url, str) or not url:
        raise ResponseError(f"The answer does not say where the {kind.__name__.lower()} is.", advice=REPORT)
    if url[:5].lower() == "data:":
        return _from_data_uri(kind, url)
    fetched: Fetched = yield Fetch(url)
    if fetched.path is not None:
        return kind(media_type=fetched.media_type, url=fetched.url, path=fetched.path)
    return kind.of(fetched.content or b"", declared=declared or fetched.media_type, url=fetched.url)


def _from_data_uri(kind: type[FileT], uri: str) -> FileT:
    head, _, payload = uri[5:].partition(",")
    media_type = head.partition(";")[0]
    if head.lower().endswith(";base64"):
        return from_base64(kind, payload, declared=media_type)
    return kind.of(unquote_to_bytes(payload), declared=media_type)

"""Pictures, sounds and films: into requests as addresses, out of answers as the body, as base64 or from an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from hfclient.call import Call
from hfclient.complaints import error_in_success
from hfclient.errors import InputError, ResponseError
from hfclient.flow import JSON, Fetch, Fetched, Flow, Load, Response, json_or_none
from hfclient.media import Loaded, Media, as_media, is_media
from hfclient.media import from_base64 as decoded
from hfclient.providers.reading import REPORT, unusable
from hfclient.sniff import kind_of, media_type_of
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
    """The answer is the file. JSON, words, a web page or nothing at all in its place is no file."""
    if not reply.content:
        raise unusable(reply, "empty")
    if instead := _instead(kind, reply.content, reply.media_type):
        complaint = error_in_success(json_or_none(reply.content)) if instead == "JSON" else None
        said = f": {complaint.message}" if complaint else ""
        raise unusable(reply, f"{instead} where {_name(kind)} was due{said}")
    return kind.of(reply.content, declared=reply.media_type)


def from_base64(kind: type[FileT], text: object, *, declared: str | None = None) -> FileT:
    """The file stands in the answer."""
    if not isinstance(text, str) or not text:
        raise ResponseError(f"The answer holds no {_name(kind)}.", advice=REPORT)
    if text[:5].lower() == "data:":
        return _from_data_uri(kind, text)
    try:
        content = decoded(text.encode())
    except ValueError:
        content = b""
    return _made(kind, content, declared)


def from_address(kind: type[FileT], url: JSON, *, declared: str | None = None) -> Flow[FileT]:
    """The answer says where the file is; small ones are sometimes written into the address itself."""
    if not isinstance(url, str) or not url:
        raise ResponseError(f"The answer does not say where the {_name(kind)} is.", advice=REPORT)
    if url[:5].lower() == "data:":
        return _from_data_uri(kind, url)
    fetched: Fetched = yield Fetch(url)
    if fetched.path is None:
        return _made(kind, fetched.content or b"", declared or fetched.media_type, url=fetched.url)
    if instead := _instead(kind, b"", fetched.media_type):
        raise _no_file(kind, instead, url=fetched.url)
    return kind(media_type=fetched.media_type, url=fetched.url, path=fetched.path)


def _from_data_uri(kind: type[FileT], uri: str) -> FileT:
    head, _, payload = uri[5:].partition(",")
    media_type = head.partition(";")[0]
    if head.lower().endswith(";base64"):
        return from_base64(kind, payload, declared=media_type)
    return _made(kind, unquote_to_bytes(payload.encode("utf-8", "replace")), media_type)


def _made(kind: type[FileT], content: bytes, declared: str | None, *, url: str | None = None) -> FileT:
    instead = _instead(kind, content, declared or "") if content else "empty, or no base64"
    if instead:
        raise _no_file(kind, instead, url=url)
    return kind.of(content, declared=declared, url=url)


def _no_file(kind: type[File], instead: str, *, url: str | None) -> ResponseError:
    place = "in the answer" if url is None else "that the answer leads to"
    return ResponseError(f"The {_name(kind)} {place} is {instead}.", advice=REPORT)


def _instead(kind: type[File], content: bytes, label: str) -> str | None:
    """What this is where it cannot be the file; a sound and a film may lie in the same kind of container."""
    media_type = media_type_of(content)
    found = kind_of(media_type)
    if found != "other":
        return None if (found == "image") == (kind.kind == "image") else media_type
    start = content[:64].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page (text/html)"
    if label.endswith("json") or (start[:1] in {b"{", b"["} and json_or_none(content) is not None):
        return "JSON"
    return label if label.startswith("text/") else None


def _name(kind: type[File]) -> str:
    return kind.__name__.lower()

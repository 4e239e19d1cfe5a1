"""What a service says went wrong, in its own words, and the error that says what to do about it.

Every provider words and wraps its errors differently; `complaint_in` knows the wrappings, `status_error` the meanings.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from hfclient.advice import Said, advice, kind_of
from hfclient.redact import Redactor, excerpt, safe_url, shortened
from hfclient.retry import retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hfclient.errors import StatusError

JSONObject: TypeAlias = dict[str, Any]

_DEEPEST = 6
_MOST_ITEMS = 5
_LONGEST_MESSAGE = 600
_LARGEST_READ = 256 * 1024

# Where the words stand, the most telling first.
_WORDS = ("message", "msg", "detail", "error_message", "error_msg", "error_description", "description", "reason")
_REQUEST_IDS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id", "x-amz-request-id")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the service said; `wait` is its guess, in seconds, of how long the trouble lasts."""

    message: str
    code: str | None = None
    kind: str | None = None
    wait: float | None = None


_NO_WORDS = Complaint("no reason was given")


def complaint_in(payload: Any) -> Complaint | None:
    """The complaint in the JSON of an error, whatever its shape; None where it holds no words of the kind."""
    found = _complaint(payload, _DEEPEST)
    return replace(found, message=shortened(found.message, _LONGEST_MESSAGE)) if found and found.message else None


def error_in_success(payload: Any) -> Complaint | None:
    """The complaint in an answer that came as a success: only what cannot be anything but an error counts."""
    if _is_object(payload):
        return (complaint_in(payload) or _NO_WORDS) if _is_unmistakable(payload) else None
    if _is_list(payload) and payload:
        failed = all(_is_object(item) and not _is_blank(item.get("error")) for item in payload)
        return complaint_in(payload) if failed else None
    return None


def _is_unmistakable(payload: JSONObject) -> bool:
    error = payload.get("error")
    if payload.get("object") == "error" or error is True:
        return True
    if isinstance(error, str | list | dict) and not _is_blank(error):
        return True
    if not _is_blank(payload.get("error_message")):
        return True
    worded = any(
        isinstance(payload.get(name), str | list) and payload[name] for name in ("message", "detail", "errors")
    )
    return (
        worded
        and not _says_success(payload)
        and all(name in _BESIDE_AN_ERROR or _is_blank(value) for name, value in payload.items())
    )


_BESIDE_AN_ERROR = {
    *("message", "detail", "errors", "title", "type", "kind", "param", "path", "instance", "success", "timestamp"),
    *("code", "error_code", "error_type", "status", "statusCode", "status_code", "invalid_fields"),
    *("request_id", "requestId", "trace_id", "docs", "documentation_url"),
}

_SUCCESS = re.compile(r"(?i)ok\b|succe|complete|done|accept|queue|process|pending|cancel|ready|running|2\d\d\b")


_SUCCESS_CODES = {0, *range(200, 400)}


def _says_success(payload: JSONObject) -> bool:
    said = [payload.get(name) for name in ("status", "code", "statusCode", "status_code")]
    return payload.get("success") is True or any(
        _SUCCESS.match(value) if isinstance(value, str) else type(value) is int and value in _SUCCESS_CODES
        for value in said
    )


def _is_object(value: Any) -> TypeGuard[JSONObject]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_blank(value: Any, deepest: int = 2) -> bool:
    """Nothing is meant: null, false, 0, empty, or an object of nothing but such values."""
    if _is_object(value) and deepest:
        return all(_is_blank(inner, deepest - 1) for inner in value.values())
    return not value or (isinstance(value, str) and not value.strip())


def _complaint(payload: Any, deepest: int) -> Complaint | None:
    if isinstance(payload, str):
        return Complaint(payload.strip()) if payload.strip() else None
    if deepest <= 0:
        return None
    if _is_list(payload):
        return _together(payload, deepest)
    return _in_object(payload, deepest) if _is_object(payload) else None


def _together(items: list[Any], deepest: int) -> Complaint | None:
    found = [one for item in items[:_MOST_ITEMS] if (one := _complaint(item, deepest - 1)) and one.message]
    if not found:
        return None
    more = f"; and {len(items) - _MOST_ITEMS} more" if len(items) > _MOST_ITEMS else ""
    return replace(found[0], message="; ".join(dict.fromkeys(one.message for one in found)) + more)


def _in_object(payload: JSONObject, deepest: int) -> Complaint | None:
    code, kind = _first_text(payload, "code", "error_code"), _first_text(payload, "type", "error_type")
    here = Complaint("", code, kind, _wait_in(payload))
    for name in ("error", "errors"):
        inner = payload.get(name)
        if not _is_blank(inner) and (found := _complaint(inner, deepest - 1) or _whole(inner)):
            return _merged(found, here, _further_words(payload, found.message))
    place = _place(payload.get("loc"))
    for name in _WORDS:
        found = _complaint(payload.get(name), deepest - 1)
        if found:
            heading = payload.get("title") if name == "detail" else place
            return _merged(found, here, before=heading if isinstance(heading, str) else "")
    title = _first_text(payload, "title")
    return replace(here, message=title) if title else None


def _merged(found: Complaint, outer: Complaint, after: str = "", before: str = "") -> Complaint:
    message = ": ".join(part for part in (before.strip(), found.message.removeprefix("- "), after) if part)
    wait = outer.wait if found.wait is None else found.wait
    return Complaint(message, found.code or outer.code, found.kind or outer.kind, wait)


def _further_words(payload: JSONObject, said: str) -> str:
    """`{"error": "Bad Request", "message": "temperature is too high"}`: the second says what the first only names."""
    told = (_first_text(payload, "message", "error_description", "detail") or "").strip()
    if not told and said == "unknown error":
        warnings = _complaint(payload.get("warnings"), 1)
        told = warnings.message if warnings else ""
    return "" if told in said else told


def _whole(value: Any) -> Complaint | None:
    """An error nobody has words for is shown as it is; a bare `true` or number says nothing."""
    if not _is_object(value):
        return None
    fields = {name: inner for name, inner in value.items() if not _is_blank(inner)}
    try:
        return Complaint(json.dumps(fields, ensure_ascii=False), _first_text(value, "code"), _first_text(value, "type"))
    except (ValueError, TypeError, RecursionError):
        return None


def _place(loc: Any) -> str:
    """FastAPI's `["body", "messages", 0, "role"]` as `messages.0.role`."""
    if not _is_list(loc):
        return ""
    parts = [str(part) for part in loc if isinstance(part, str | int)]
    return ".".join(parts[1:] if parts[:1] == ["body"] else parts)


def _first_text(payload: JSONObject, *names: str) -> str | None:
    for name in names:
        value = payload.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return None


def _wait_in(payload: JSONObject) -> float | None:
    value = payload.get("estimated_time")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return max(0.0, float(value)) if math.isfinite(value) else None
    except OverflowError:
        return None


def complaint_from(content: bytes, headers: Mapping[str, str]) -> Complaint:
    """The complaint in an error response, whatever its type; the message is empty where it says nothing at all."""
    found = _complaint_in_body(content)
    said = headers.get("x-error-message", "").strip()
    code = headers.get("x-error-code", "").strip() or None
    if found is None and not said:
        found = Complaint(excerpt(content, headers.get("content-type", ""), _LONGEST_MESSAGE))
    return replace(found or Complaint(shortened(said, _LONGEST_MESSAGE)), code=(found.code if found else None) or code)


def _complaint_in_body(content: bytes) -> Complaint | None:
    for text in _json_texts(content[:_LARGEST_READ]):
        try:
            found = complaint_in(json.loads(text))
        except (ValueError, RecursionError):
            continue
        if found:
            return found
    return None


def _json_texts(content: bytes) -> Iterator[bytes]:
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] in b'{["' and start:
        yield start
    elif start.startswith((b"data:", b"event:", b"id:", b":")):  # an error sent as the stream that was asked for
        for line in start.splitlines():
            if line.startswith(b"data:"):
                yield line[5:]


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """The id to quote to the provider's support, under whichever name it came."""
    return next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None)


def status_error(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    provider: str,
    who: str | None = None,
    model: str | None,
    task: str,
    redact: Redactor,
) -> StatusError:
    """The typed error for an answer with an error status; nothing in it shows a key. `who` is what to call whom we
    asked, where that is not the provider's name; the router says on whose behalf it speaks."""
    found = complaint_from(content, headers)
    served_by = headers.get("x-inference-provider", "") if provider == "auto" else ""
    said = Said(
        status=status,
        words=redact(found.message) or _phrase(status),
        code=redact(found.code) if found.code else None,
        provider=redact(served_by or provider),
        model=redact(model) if model else None,
        task=task,
        wait=_first(retry_after(headers), found.wait),
        location=redact(safe_url(headers.get("location", ""))),
    )
    request_id = request_id_in(headers)
    return kind_of(said)(
        f"{redact(served_by or who or provider)} answered {status}: {said.words}",
        advice=advice(said),
        provider=said.provider,
        model=said.model,
        task=task,
        status=status,
        request_id=redact(request_id) if request_id else None,
        body=_shown(content, headers.get("content-type", ""), redact),
        code=said.code,
        retry_after=said.wait,
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "no reason was given"


def _shown(content: bytes, media_type: str, redact: Redactor) -> str:
    # Keys are masked before the text is cut, lest half of one remains, and after: markup may have stood within.
    clean = redact(content[:_LARGEST_READ].decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return redact(excerpt(clean + content[_LARGEST_READ:], media_type))

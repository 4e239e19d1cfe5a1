"""Keeping keys out of everything a person, a log or a trace may see."""

from __future__ import annotations

import base64
import html
import json
import re
import string
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NoReturn, cast
from urllib.parse import quote, quote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK = "…"

_SHORTEST_BY_VALUE = 6
_LARGEST_SHOWN_BINARY = 512
_LARGEST_READ = 64 * 1024
_LONGEST_KEY = 512
_KEY_CHARACTERS = string.ascii_letters + string.digits + "_-.~+/=%"


class Secret:
    """A key that does not show: not in a repr, a format, a pickle or JSON; only `reveal()` gives it."""

    __slots__ = ("_value",)

    _value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A Secret is frozen; {name} cannot be set.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A Secret is frozen; {name} cannot be deleted.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Secret is not pickled: the key would leave the process.")


class Redactor:
    """Masks the secrets it knows, however they are written, and whatever else looks like a key."""

    __slots__ = ("_secrets", "_spellings")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secret for secret in secrets if len(secret) >= _SHORTEST_BY_VALUE)
        # The longest first: one may be part of another.
        self._spellings = sorted({form for secret in self._secrets for form in _spellings(secret)}, key=len)[::-1]

    def adding(self, *secrets: str) -> Redactor:
        return Redactor({*self._secrets, *secrets})

    def __call__(self, text: str) -> str:
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)
        return _key_like().sub(_masked, text)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Redactor is not pickled: it knows keys.")


def _spellings(secret: str) -> Iterator[str]:
    """The secret as it is written in text, URLs, JSON, Python and base64."""
    yield secret
    for encoded in (
        quote(secret, "", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    ):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), encoded)
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]):
        yield escaped
        yield escaped.replace("/", r"\/")
        yield escaped.replace("\\", "\\\\")
    yield html.escape(secret)
    for core in _base64_cores(secret.encode("utf-8", "surrogatepass")):
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _base64_cores(secret: bytes) -> Iterator[str]:
    """What base64 makes of the secret whatever stands around it, as in the `user:key` of Basic authentication."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        whole = (before + len(secret)) * 8 // 6  # characters that depend on nothing behind the secret
        yield encoded[-(-before * 8 // 6) : whole]


def _in_any_case(pattern: str) -> str:
    # Spelled so that each branch begins with a plain letter: only then does `re` skip quickly through clean text.
    return f"{pattern[0]}(?i:{pattern[1:]})|{pattern[0].upper()}(?i:{pattern[1:]})"


# Group by group: what stays, followed by what is masked.
_NOT_IN_A_WORD = r"(?:(?<![A-Za-z].)|(?<=\\[nrt].))"
_NOT_PROSE = r"(?!(?-i:[A-Za-z]?[a-z]{0,15})(?![\w~+/=-]|\.\w))"  # "a Bearer token", "Basic authentication"
_HAS_A_DIGIT = r"""(?=[^\s"'<>,;\\]{0,200}\d)"""  # bounded: looking to the end of the text each time adds up
_NAMED = r"""(?:\\*["'])?\s*"""
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*|'(?:[^'\\]|\\.)*|\\+["'][^"'\\]*)"""
_UNQUOTED = r"""[^\s&"'<>\\,;)}\]]+"""
_NAMES = ("key", "token", "secret", "password", "passwd", "signature", "sig", "credential")
_PREFIXES = ("hf_", "api_org_", "sk-", "csk-", "gsk_", "r8_", "fw_", "tgp_", "nvapi-", "xai-", "ghp_")


_NO_KEY = r"(?!(?:sandbox|network)\b)"  # hf_sandbox and hf_network are names of our pytest plugin's


def _branches() -> Iterator[str]:
    for prefix in _PREFIXES:
        yield rf"{prefix[0]}{_NOT_IN_A_WORD}{prefix[1:]}{_NO_KEY}[\w-]{{6,}}"
    yield r"e(?:(?<![\w-].)|(?<=\\[nrt].))yJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    for scheme in ("bearer", "basic", "token"):
        yield _in_any_case(rf"{scheme}\s+{_NOT_PROSE}[^\s\"'<>,;\\]{{6,}}")
    yield _in_any_case(rf"key\s+{_HAS_A_DIGIT}[^\s\"'<>,;\\]{{8,}}")
    for name in ("authorization", "cookie"):
        yield _in_any_case(rf"""{name}{_NAMED}[:=]\s*(?:\\*["'])?[^"'\r\n\\]+""")
    for name in _NAMES:
        yield _in_any_case(rf"{name}{_NAMED}(?::\s*{_QUOTED}|=\s*(?:{_QUOTED}|{_UNQUOTED}))")
        yield _in_any_case(rf"{name}:\s*{_HAS_A_DIGIT}[^\s\"'<>,;\\]{{8,}}")
    yield _in_any_case(rf"api[_-]?key:\s*{_UNQUOTED}")
    yield _in_any_case(rf"x-amz-[a-z-]+={_UNQUOTED}")


# Compiled when something is first masked: they take as long as the rest of this package's import put together.
@cache
def _key_like() -> re.Pattern[str]:
    return re.compile("|".join(_branches()), re.ASCII)


@cache
def _kept() -> re.Pattern[str]:
    named = rf"""[a-z_-]+{_NAMED}[:=]\s*(?:\\*["'])?"""
    return re.compile(rf"(?:{'|'.join(_PREFIXES)})|(?i:(?:bearer|basic|token|key)\s+)|(?i:{named})", re.ASCII)


def _masked(found: re.Match[str]) -> str:
    kept = _kept().match(found[0])
    return f"{kept[0] if kept else ''}{MASK}"


def safe_url(url: str) -> str:
    """The URL as it may be shown: no user, no password, no fragment, and the query's names without their values."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return MASK
    if not parts.netloc and parts.scheme:
        return f"{parts.scheme}:{MASK}"  # data: and the like
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    query = "&".join(_name_only(field) for field in parts.query.split("&")) if parts.query else ""
    return f"{scheme}{host}{port}{_key_like().sub(_masked, parts.path)}{'?' if query else ''}{query}"


def _name_only(field: str) -> str:
    name, equals, _ = field.partition("=")
    return f"{_key_like().sub(_masked, name)}={MASK}" if equals else MASK


_SECRET_HEADER = re.compile(
    r"authorization|cookie|api[-_]?key|secret|password|credential|(?:auth|access|session|security|csrf|xsrf)[-_]?token"
    r"|^(?:key|token)$",
    re.IGNORECASE,
)
_URL_HEADERS = frozenset({"location", "content-location", "referer"})


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as they may be shown."""
    return {name: _safe_value(name, value) for name, value in headers.items()}


def _safe_value(name: str, value: str) -> str:
    if _is_secret_header(name):
        return MASK
    if value.isalnum():
        return value  # nothing that looks like a key does without punctuation or a space
    return safe_url(value) if name.lower() in _URL_HEADERS else _key_like().sub(_masked, value)


@lru_cache(maxsize=1024)
def _is_secret_header(name: str) -> bool:
    """Kept, as the names are the same with every answer, and the look-up is half of what masking headers costs."""
    return _SECRET_HEADER.search(name) is not None


def excerpt(content: bytes, media_type: str = "", limit: int = 2000) -> str:
    """A body for people to read: its text, shortened; a page's words without its markup; of binary data the size."""
    kind = media_type.partition(";")[0].strip().lower()
    text = content[:_LARGEST_READ].decode("utf-8", "replace")
    if "\0" in text or text.count("\N{REPLACEMENT CHARACTER}") > len(text) // 20 + 1:
        if len(content) > _LARGEST_SHOWN_BINARY:
            return f"<{kind or 'binary'}, {len(content):,} bytes>"
        text = content.decode("ascii", "backslashreplace")
    elif kind == "text/html" or text[:200].lstrip("\ufeff \t\r\n").lower().startswith(("<!doctype html", "<html")):
        text = _visible_text(text)
    # A terminal obeys control characters, and a server's words must not steer it.
    text = "".join(char if char.isprintable() or char in "\n\t" else " " for char in text).strip()
    return shortened(text, limit)


def shortened(text: str, limit: int) -> str:
    """The text within the limit, cut between words: half a key would no longer be known for one."""
    if len(text) <= limit:
        return text
    kept = text[: max(0, limit - 1)]
    whole = kept.rstrip(_KEY_CHARACTERS) if text[len(kept)] in _KEY_CHARACTERS else kept
    return f"{(whole if len(kept) - len(whole) <= _LONGEST_KEY else kept).rstrip()}{MASK}"


def _visible_text(page: str) -> str:
    title = re.search(r"(?is)<title[^>]{0,200}>([^<]*)", page)
    # An unclosed element runs to the end of the page: every pattern here stays linear.
    shown = re.sub(r"(?is)<!--.*?(?:-->|\Z)|<(script|style|head|title)\b.*?(?:</\1\s*>|\Z)|<[^>]*(?:>|\Z)", " ", page)
    words = " ".join(html.unescape(shown).split())
    name = " ".join(html.unescape(title[1]).split()) if title else ""
    return words if words.startswith(name) else f"{name}: {words}" if words else name


def forget_requests(error: BaseException) -> None:
    """Drop the HTTP request and response, and with them the key, from an error and everything it was raised from."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        held = vars(link)
        held.update(dict.fromkeys(held.keys() & {"request", "_request", "response", "_response"}))
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", link).exceptions

"""A request as a command for curl, with the name of a variable where the key stood."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING
from urllib.parse import quote

from hfclient.providers.table import PROVIDERS
from hfclient.redact import MASK, safe_headers
from hfclient.registry import Registry

if TYPE_CHECKING:
    import httpx

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105  its name
CURLS_OWN = {"accept-encoding", "connection", "content-length", "host", "user-agent"}
FORM, JSON = "multipart/form-data", "application/json"
LONGEST_ARGUMENT = 100_000  # Linux takes 128 KiB
SHORTEST_KEY = 6
END = "END_OF_BODY"


def as_curl(request: httpx.Request, source: str = "") -> str:
    """The command. `source` is the file or the address that media in the request was read from."""
    keys, words = _keys(), ["curl"]
    if source.startswith(("http://", "https://")) and not _kind(request).startswith(JSON):
        words, source = [f"curl -sL {shlex.quote(source)} | curl"], "-"
    if request.method != "POST" or not request.content:
        words.append(f"-X {request.method}")
    if b'"stream":true' in request.content:
        words.append("-N")
    first = " ".join([*words, _address(request.url)])
    return _without(keys, " \\\n  ".join([first, *_headers(request, keys), *_body(request, source)]))


def _kind(request: httpx.Request) -> str:
    return str(request.headers.get("content-type", ""))


def _address(url: httpx.URL) -> str:
    """The address as a word; keys that are given in it, as some servers want them, are left for a variable to hold."""
    given = {name: value for name, value in url.params.multi_items() if MASK in safe_headers({name: value})[name]}
    if not given:
        return shlex.quote(str(url))
    text = str(url).replace("$", "%24")
    for name in given:
        text = re.sub(rf"(?<=[?&]){re.escape(quote(name))}=[^&]*", f"{quote(name)}=$KEY", text)
    return f'"{text}"'


def _headers(request: httpx.Request, keys: Mapping[str, str]) -> Iterator[str]:
    holders = {"authorization", *(provider.key_header for provider in PROVIDERS)}
    for name, value in request.headers.items():
        if name in holders:
            scheme, space, key = value.rpartition(" ")
            yield f'-H "{name}: {scheme}{space}${keys.get(key, TOKEN_VARIABLE)}"'
        elif not (name in CURLS_OWN or value == "*/*" or value.startswith(FORM)):
            yield f"-H {shlex.quote(f'{name}: {value}')}"


def _body(request: httpx.Request, media: str) -> Iterator[str]:
    kind, body = _kind(request), request.content
    if kind.startswith(FORM):
        yield from (_part(part, media) for part in _parts(kind, body))
    elif not kind.startswith(JSON):
        if body:
            yield f"--data-binary {shlex.quote(f'@{media}')}"
    elif len(body) <= LONGEST_ARGUMENT:
        yield f"-d {shlex.quote(body.decode())}"
    else:
        yield f"--data-binary @- <<'{END}'\n{body.decode()}\n{END}"


def _parts(kind: str, body: bytes) -> Iterator[Message]:
    form = BytesParser(policy=HTTP).parsebytes(f"content-type: {kind}\r\n\r\n".encode() + body)
    return form.iter_parts()


def _part(part: Message, media: str) -> str:
    name = part.get_param("name", header="content-disposition")
    filename = part.get_filename()
    if filename is None:
        content = part.get_payload(decode=True)
        text = content.decode() if isinstance(content, bytes) else ""
        return f"--form-string {shlex.quote(f'{name}={text}')}"
    told = f"{name}=@{_quoted(media)};filename={_quoted(filename)};type={part.get_content_type()}"
    return f"-F {shlex.quote(told)}"


def _quoted(name: str) -> str:
    """As curl reads a name that may hold what separates its fields."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _keys() -> dict[str, str]:
    """The name of the variable that holds a key, by the key."""
    registry = Registry()
    providers = [registry.find(name) for name in registry.names()]
    names = [TOKEN_VARIABLE, *(name for provider in providers if provider for name in provider.variables)]
    values = {os.environ.get(name, "").strip(): name for name in reversed(names)}
    return {value: name for value, name in values.items() if len(value) >= SHORTEST_KEY}


def _without(keys: Mapping[str, str], command: str) -> str:
    """The command, with no key in it, wherever one may have come to stand."""
    for key, name in keys.items():
        command = command.replace(key, f"${name}")
    return command

"""Requests as they leave and answers as they come in: errors, redirects, credentials, limits, media, transports."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from pydantic import BaseModel

from hfclient import Client, Timeout
from hfclient.credentials import Key, origin_of
from hfclient.destination import Destination
from hfclient.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    HFClientError,
    InputError,
    MissingExtraError,
    ResponseError,
    StatusError,
    TimedOutError,
)
from hfclient.faults import as_ours, translated
from hfclient.flow import Load, Request, delete, download, get, post
from hfclient.media import Media
from hfclient.redact import Secret
from hfclient.transport import Transport
from hfclient.upload import encoded
from tests.loopback import (
    Close,
    HoldUntilClosed,
    Loopback,
    Received,
    Send,
    Step,
    answer,
    chat,
    chat_chunks,
    chat_completion,
    head,
    json_answer,
    sse_answer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from hfclient.settings import TransportKind

pytestmark = pytest.mark.anyio

SECRET = "hf_fake_0123456789abcdef"
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 20

PLACES: dict[type[Exception], type[HFClientError]] = {
    httpx.ConnectTimeout: ConnectionFailedError,
    httpx.ConnectError: ConnectionFailedError,
    httpx.ProxyError: ConnectionFailedError,
    httpx.ReadTimeout: TimedOutError,
    httpx.WriteTimeout: TimedOutError,
    httpx.PoolTimeout: TimedOutError,
    httpx.TimeoutException: TimedOutError,
    httpx.ReadError: ConnectionLostError,
    httpx.WriteError: ConnectionLostError,
    httpx.CloseError: ConnectionLostError,
    httpx.NetworkError: ConnectionLostError,
    httpx.RemoteProtocolError: ConnectionLostError,
    httpx.ProtocolError: ConnectionLostError,
    httpx.TransportError: ConnectionLostError,
    httpx.LocalProtocolError: InputError,
    httpx.UnsupportedProtocol: InputError,
    httpx.InvalidURL: InputError,
    httpx.CookieConflict: InputError,
    httpx.DecodingError: ResponseError,
    httpx.TooManyRedirects: ResponseError,
    httpx.RequestError: ResponseError,
    httpx.HTTPStatusError: ResponseError,
    httpx.HTTPError: ResponseError,
    httpx.StreamError: ResponseError,
    httpx.StreamConsumed: ResponseError,
    httpx.StreamClosed: ResponseError,
    httpx.ResponseNotRead: ResponseError,
    httpx.RequestNotRead: ResponseError,
}
WITHOUT_WORDS = {httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead}


def httpx_error(kind: type[Exception]) -> Exception:
    if kind in WITHOUT_WORDS:
        return kind()
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("GET", "http://localhost")
        return httpx.HTTPStatusError("words", request=request, response=httpx.Response(500))
    return kind("words")


def to_server(server: Loopback, *origins: Loopback, **more: Any) -> Destination:
    covered = frozenset(origin_of(each.url) for each in (server, *origins))
    return Destination("somebody", server.url, Key(Secret(SECRET), covered), **more)


@asynccontextmanager
async def transport(**options: Any) -> AsyncIterator[Transport]:
    made = Transport(**{"max_connections": 10, **options})
    try:
        yield made
    finally:
        await made.aclose()


def test_every_httpx_exception_has_a_place() -> None:
    """There is no exception in httpx that has no place in our tree."""
    found = {kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert found == PLACES.keys()


@pytest.mark.parametrize("kind", PLACES, ids=lambda kind: kind.__name__)
def test_httpx_exceptions_become_ours(kind: type[Exception]) -> None:
    """Each becomes the error of ours that says who can act, has words, and keeps the original as its cause."""
    to = Destination("somebody", "http://localhost")
    original = httpx_error(kind)
    assert type(as_ours(original, to)) is PLACES[kind]
    with pytest.raises(HFClientError) as caught, translated(to):
        raise original
    assert type(caught.value) is PLACES[kind]
    assert caught.value.message
    assert caught.value.__cause__ is original


def test_an_exception_without_words_is_told_by_its_name() -> None:
    """Some exceptions of httpx have no message; their name stands in for it."""
    assert "ReadError" in as_ours(httpx.ReadError(""), Destination("somebody", "http://localhost")).message


def test_other_exceptions_pass() -> None:
    """What is neither httpx's nor ours is somebody's bug, and stays what it is."""
    with pytest.raises(ZeroDivisionError), translated(Destination("somebody", "http://localhost")):
        _ = 1 / 0


def redirecting(status: int, *targets: str, then: list[Step] | None = None) -> Any:
    """Redirects by the number in the path: /0 to the first target, and so on; then it answers."""

    def handle(request: Received) -> list[Step]:
        number = int(request.path.strip("/") or 0)
        if number < len(targets):
            return answer(b"moved", status=status, headers={"location": targets[number]})
        return then or answer(b"here")

    return handle


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_get_follows_redirects(status: int) -> None:
    """A GET follows up to five redirects of any kind, relative or absolute, and keeps its key."""
    with Loopback(redirecting(status, "/1", "2", "/3?a=b", "/4", "/5")) as server:
        async with transport() as made:
            reply = await made.send(get("/0", query={"q": "1"}), to_server(server))
        assert (reply.content, len(server.requests)) == (b"here", 6)
        assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {SECRET}"}


async def test_redirects_come_to_an_end() -> None:
    """A sixth redirect is one too many."""
    with Loopback(redirecting(302, *["/0"] * 10)) as server:
        async with transport() as made:
            with pytest.raises(ResponseError, match="more than 5 times"):
                await made.send(get("/0"), to_server(server))
        assert len(server.requests) == 6


@pytest.mark.parametrize("status", [307, 308])
async def test_a_post_follows_where_it_may_be_repeated(status: int) -> None:
    """A POST follows 307 and 308 within its own origin, with its body and its key."""
    with Loopback(redirecting(status, "/1")) as server:
        async with transport() as made:
            await made.send(post("/0", json={"a": 1}), to_server(server))
        first, second = server.requests
    assert (second.method, second.json(), second.headers["authorization"]) == ("POST", {"a": 1}, f"Bearer {SECRET}")
    assert first.body == second.body


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_post_is_not_turned_into_a_get(status: int) -> None:
    """Other redirects of a POST are refused, with the address to use instead."""
    with Loopback(redirecting(status, "/1")) as server:
        async with transport() as made:
            with pytest.raises(ResponseError, match="redirected a POST") as caught:
                await made.send(post("/0", json={}), to_server(server))
        assert f"base_url='{server.url}/1'" in caught.value.advice
        assert (caught.value.status, len(server.requests)) == (status, 1)


@pytest.mark.parametrize("request_", [post("/0", json={}), delete("/0")], ids=["POST", "DELETE"])
async def test_what_changes_something_stays_on_its_origin(request_: Request) -> None:
    """A POST or DELETE that is sent to another origin, even with 308, is not followed."""
    with Loopback(chat()) as other, Loopback(redirecting(308, f"{other.url}/x?key={SECRET}")) as server:
        async with transport() as made:
            with pytest.raises(ResponseError) as caught:
                await made.send(request_, to_server(server, other))
        assert other.requests == []
    assert SECRET not in str(caught.value)


async def test_credentials_stay_with_their_origin_at_every_hop() -> None:
    """A GET that is led to another origin and back carries its key only where the key belongs."""
    with Loopback(chat()) as here, Loopback(chat()) as there:
        here.handler = redirecting(302, f"{there.url}/1", "", "")
        there.handler = redirecting(302, "", f"{here.url}/3")
        to = Destination(
            "somebody", here.url, Key(Secret(SECRET), frozenset({origin_of(here.url)})), headers={"x-api-key": SECRET}
        )
        async with transport() as made:
            assert (await made.send(get("/0"), to)).content == b"here"
        assert [SECRET in str(request.headers) for request in there.requests] == [False]
        assert [request.headers.get("authorization") for request in here.requests] == [f"Bearer {SECRET}"] * 2


async def test_a_key_never_goes_to_an_origin_it_does_not_cover() -> None:
    """A key that belongs elsewhere does not travel, though the address is the call's own."""
    with Loopback(chat()) as server:
        to = Destination("somebody", server.url, Key(Secret(SECRET), frozenset({"https://elsewhere:443"})))
        async with transport() as made:
            await made.send(post("/", json={}), to)
        assert "authorization" not in server.requests[0].headers


async def test_a_file_is_not_fetched_in_the_clear() -> None:
    """A redirect from https to http is not followed for a file, whose address may hold what opens it."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "http://files.invalid/a"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        made = Transport(http_client=http_client, max_connections=1)
        with pytest.raises(ResponseError, match="which is not followed"):
            await made.load(Load(Media("https://files.invalid/a")), Destination("s", "http://localhost:1"))


async def test_a_download_carries_nothing() -> None:
    """A file at an absolute address gets neither key nor headers nor query, wherever it points."""
    with Loopback(lambda _: answer(b"file")) as server:
        to = to_server(server, headers={"x-own": "1"}, query={"own": "1"})
        async with transport() as made:
            assert (await made.send(download(f"{server.url}/f?signed=1"), to)).content == b"file"
        (request,) = server.requests
    assert request.target == "/f?signed=1"
    assert not {"authorization", "x-own"} & request.headers.keys()


async def test_the_callers_own_authorization_wins() -> None:
    """An authorization header that the caller gave, in any case, takes the place of the key."""
    with Loopback(chat()) as server:
        async with Client.endpoint(server.url, SECRET, model="m") as client:
            await client.chat("hi", extra_headers={"AUTHORIZATION": "Basic abc"})
        assert server.requests[0].headers["authorization"] == "Basic abc"


@pytest.mark.parametrize(
    ("location", "why"),
    [(None, "302 without saying where"), ("http://a:b", "no sense"), ("ftp://a/b", "ftp")],
)
async def test_redirects_that_lead_nowhere(location: str | None, why: str) -> None:
    """A redirect without an address, or with one that cannot be called, is the service's fault and is named."""
    headers = {} if location is None else {"location": location}
    with Loopback(lambda _: answer(b"", status=302, headers=headers)) as server:
        async with transport() as made:
            with pytest.raises(ResponseError, match=why):
                await made.send(get("/"), to_server(server))


async def test_304_is_no_answer() -> None:
    """A status that is neither a success nor an error is an error here, for there is nothing to give."""
    with Loopback(lambda _: [Send(head(304))]) as server:
        async with transport() as made:
            with pytest.raises(ResponseError, match="answered 304 without saying where to go") as caught:
                await made.send(get("/?a=s3cr3t0123456789"), to_server(server))
    assert server.url in caught.value.advice
    assert "s3cr3t" not in caught.value.advice


@pytest.mark.parametrize(
    ("kind", "timeout", "words"),
    [
        (httpx.ReadTimeout, Timeout(read=30, idle=30), "silent for 30 s"),
        (httpx.ReadTimeout, Timeout(read=30, idle=60), "longer than the timeout allows"),
        (httpx.WriteTimeout, Timeout(write=7), "silent for 7 s"),
    ],
)
def test_a_timeout_says_how_long_it_was(kind: type[Exception], timeout: Timeout, words: str) -> None:
    """The seconds are named where it is certain which limit it was; the advice fits whole answers and streams."""
    error = as_ours(kind(""), Destination("somebody", "http://localhost", timeout=timeout))
    assert words in error.message
    assert "timeout=" in error.advice
    assert "or stream" not in error.advice


async def recorded(**options: Any) -> list[httpx.Request]:
    """The requests that a whole chat and a streamed one make, as httpx sees them."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        request.extensions["seen"] = dict(request.extensions["timeout"])
        requests.append(request)
        return httpx.Response(200, json=chat_completion())

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        client = Client.endpoint("http://localhost", SECRET, model="m", http_client=http_client)
        await client.chat("hi", **options)
        with pytest.raises(HFClientError):
            await client.chat.stream("hi", **options).open()
    return requests


async def test_each_silence_has_its_timeout() -> None:
    """Connect, read, write and pool reach httpx as they were given; for ever is None, and a body has its own limit."""
    whole, streamed = await recorded(timeout=Timeout(1.0, read=math.inf, write=3.0, pool=4.0, idle=5.0))
    assert whole.extensions["seen"] == {"connect": 1.0, "read": None, "write": 3.0, "pool": 4.0}
    assert whole.extensions["timeout"]["read"] is None
    assert streamed.extensions["timeout"]["read"] == 5.0


async def test_a_bare_number_bounds_every_silence() -> None:
    """One number bounds every silence, and does not lengthen the wait for a connection."""
    whole, _ = await recorded(timeout=50)
    assert whole.extensions["seen"] == {"connect": 10.0, "read": 50.0, "write": 50.0, "pool": 50.0}


async def test_what_every_request_says_of_itself() -> None:
    """Requests say what sends them, what they take and what they hold; the caller's headers win."""
    whole, _ = await recorded(extra_headers={"X-Own": "1", "Accept": "application/json"}, extra_query={"a": "b c"})
    assert whole.headers["user-agent"].startswith("hfclient/")
    assert whole.headers["accept-encoding"] == "gzip, deflate"
    assert (whole.headers["content-type"], whole.headers["accept"]) == ("application/json", "application/json")
    assert (whole.headers["x-own"], whole.url.query) == ("1", b"a=b+c")


async def test_an_answer_may_not_be_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body beyond the limit is an error, and the rest of it is not read."""
    monkeypatch.setattr("hfclient.transport.REPLY_LIMIT", 1000)
    huge = [Send(head(200, {"content-length": str(10**9)}) + b"x" * 2000), HoldUntilClosed()]
    with Loopback(lambda _: huge) as server:
        async with transport() as made:
            with pytest.raises(ResponseError, match="larger than 1,000 bytes"):
                await made.send(get("/"), to_server(server))


class Answer(BaseModel):
    text: str


def test_json_says_what_the_caller_gave() -> None:
    """Nulls stay, texts stay readable, mappings, models and sets are written as what they are."""
    body = {"a": None, "b": "Größe\u2028", "c": MappingProxyType({"d": Answer(text="e")}), "f": {2, 1}, "g": (1,)}
    assert encoded(body) == '{"a":null,"b":"Größe\u2028","c":{"d":{"text":"e"}},"f":[1,2],"g":[1]}'.encode()


def test_half_a_character_is_escaped() -> None:
    """A lone surrogate, which UTF-8 cannot hold, is written as an escape, as JSON allows."""
    assert encoded({"a": "\ud83d"}) == b'{"a":"\\ud83d"}'


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), float("inf"), b"bytes", {1, "a"}, {(1, 2): 3}, CIRCLE, DEEP, Answer, {"\ud83d", math.nan}],
    ids=["object", "NaN", "infinity", "bytes", "mixed set", "tuple as key", "circle", "depth", "class", "set of both"],
)
async def test_what_json_cannot_say_is_not_sent(value: Any) -> None:
    """A body that cannot be written as JSON is the caller's error, and nothing is sent."""
    with Loopback(chat()) as server:
        async with Client.endpoint(server.url, SECRET, model="m") as client:
            with pytest.raises(InputError, match="JSON"):
                await client.chat("hi", extra_body={"value": value})
        assert server.connections_opened == 0


async def test_a_body_is_made_once_for_all_attempts(pauses: list[float]) -> None:
    """A body is what it was when the request was made, whatever becomes of the caller's values between two attempts."""
    body = {"a": 1}

    def handle(_: Received) -> list[Step]:
        body["a"] += 1
        return answer(b"", status=503) if body["a"] == 2 else answer(b"ok")

    with Loopback(handle) as server:
        async with transport() as made:
            await made.send(post("/", json=body), to_server(server))
        assert [request.json() for request in server.requests] == [{"a": 1}, {"a": 1}]


async def test_a_key_in_a_body_that_cannot_be_written() -> None:
    """What JSON cannot say is told without the key that stands in it."""

    class Told:
        def __init_subclass__(cls) -> None: ...

    odd = type(SECRET, (Told,), {})()
    async with transport() as made:
        with pytest.raises(InputError, match="is not a JSON type") as caught:
            await made.send(post("/", json={"a": odd}), Destination("s", "http://localhost:1", Key(Secret(SECRET))))
    assert SECRET not in str(caught.value)


async def test_bodies_that_are_not_json() -> None:
    """Bytes, media and forms go out as what they are; media is read first."""
    with Loopback(lambda _: answer(b"ok")) as server:
        to = to_server(server)
        async with transport() as made:
            await made.send(post("/", content=b"raw", headers={"content-type": "image/png"}), to)
            await made.send(post("/", content=Media(PIXEL)), to)
            files = {"image": ("a.png", Media(PIXEL), "image/png"), "mask": ("b.png", b"mask", "image/png")}
            await made.send(post("/", files=files, data={"prompt": "a cat"}), to)
        raw, media, form = server.requests
    assert (raw.body, raw.headers["content-type"], media.body) == (b"raw", "image/png", PIXEL)
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert all(part in form.body for part in (PIXEL, b'filename="b.png"', b'name="prompt"', b"a cat"))


async def test_media_from_this_machine(tmp_path: Path) -> None:
    """Files, bytes and data: URIs are read without touching the network."""
    file = tmp_path / "pixel.png"
    file.write_bytes(PIXEL)
    to = Destination("somebody", "http://localhost:1")
    async with transport() as made:
        for source in (file, PIXEL, "data:image/png;base64,iVBORw0KGgo="):
            loaded = await made.load(Load(Media(source)), to)
            assert loaded.media_type == "image/png"
        with pytest.raises(InputError, match="no file"):
            await made.load(Load(Media(tmp_path / "none.png")), to)


async def test_media_from_an_address() -> None:
    """An address is fetched without the call's key, follows redirects, and its label tells what it is."""
    with Loopback(redirecting(302, "/1", then=answer(PIXEL, headers={"content-type": "image/png; x=y"}))) as server:
        async with transport() as made:
            loaded = await made.load(Load(Media(f"{server.url}/0?sig=1")), to_server(server, headers={"x-own": "1"}))
            named = await made.load(Load(Media(f"{server.url}/1", media_type="image/webp")), to_server(server))
        assert (loaded.content, loaded.media_type, named.media_type) == (PIXEL, "image/png", "image/webp")
        for request in server.requests:
            assert not {"authorization", "x-own"} & request.headers.keys()


@pytest.mark.parametrize(
    ("steps", "why"), [(answer(b"gone", status=404), "answered 404"), (answer(b""), "is empty")], ids=["gone", "empty"]
)
async def test_media_that_cannot_be_fetched(steps: list[Step], why: str) -> None:
    """Media that is not there is the caller's error; its address is shown without what its query holds."""
    with Loopback(lambda _: steps) as server:
        async with transport() as made:
            with pytest.raises(InputError, match=why) as caught:
                await made.load(Load(Media(f"{server.url}/cat.png?sig=s3cr3t0123456789")), to_server(server))
    assert "cat.png" in caught.value.message
    assert "s3cr3t" not in str(caught.value)


async def test_pictures_in_messages_are_sent_as_they_are_given(tmp_path: Path) -> None:
    """A picture from disk travels in the message, as a data: URI."""
    file = tmp_path / "pixel.png"
    file.write_bytes(PIXEL)
    with Loopback(chat()) as server:
        async with Client.endpoint(server.url, SECRET, model="m") as client:
            await client.chat([{"role": "user", "content": ["What is this?", file]}])
        ((_, picture),) = [message["content"] for message in server.requests[0].json()["messages"]]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")


@pytest.mark.parametrize("headers", [{"x-title": "Größe"}, {"authorization": "Bearer hf_fake_ä12"}])
async def test_headers_that_cannot_be_written(headers: dict[str, str]) -> None:
    """A header value beyond ASCII is the caller's error; nothing is sent, and the value is not shown."""
    with Loopback(chat()) as server:
        async with Client.endpoint(server.url, model="m") as client:
            with pytest.raises(InputError) as caught:
                await client.chat("hi", extra_headers=headers)
        assert server.connections_opened == 0
    assert "hf_fake" not in str(caught.value)
    assert getattr(caught.value.__context__, "object", None) is None


async def test_header_names_that_cannot_be_sent() -> None:
    """A header name that HTTP has no way to write is the caller's error too, though it is noticed late."""
    with Loopback(chat()) as server:
        async with Client.endpoint(server.url, model="m") as client:
            with pytest.raises(InputError):
                await client.chat("hi", extra_headers={"bad name": "x"})
        done = lambda: server.connections_opened == 1 and server.connections_open == 0  # noqa: E731
        await anyio.to_thread.run_sync(server.wait_until, done)
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://exa mple.com", "http://localhost/\u2028?a=b", "http://a..b/", "http://xn--/"])
async def test_addresses_that_make_no_sense(url: str) -> None:
    """An address that cannot be called is an error of ours, whoever notices it."""
    with pytest.raises(HFClientError):
        async with Client.endpoint(url, SECRET, model="m", retry=False) as client:
            await client.chat("hi")


def both_answers() -> Loopback:
    return Loopback(chat(stream=sse_answer(chat_chunks("One two three."))))


async def test_the_log_shows_requests_without_their_queries(caplog: pytest.LogCaptureFixture) -> None:
    """At debug level each request is logged with its address, status and time, and without what its query holds."""
    with Loopback(chat()) as server, caplog.at_level("DEBUG", logger="hfclient"):
        async with Client.endpoint(f"{server.url}?code=s3cr3t0123456789", model="m") as client:
            await client.chat("hi")
    assert "POST" in caplog.text
    assert "200" in caplog.text
    assert "s3cr3t" not in caplog.text


async def test_the_log_shows_requests_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """A request that gets no answer has its line too, with the name of what went wrong."""
    with Loopback(lambda _: [Close()]) as server, caplog.at_level("DEBUG", logger="hfclient"):
        async with Client.endpoint(f"{server.url}?code=s3cr3t0123456789", model="m") as client:
            with pytest.raises(ConnectionLostError):
                await client.chat("hi")
    (line,) = [record.getMessage() for record in caplog.records if "POST" in record.getMessage()]
    assert f"POST {server.url}/chat/completions?code=… → ConnectionLostError in" in line.replace("/v1/", "/")
    assert "s3cr3t" not in caplog.text


class TestAiohttp:
    """The other transport does the same."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_chat_and_stream(self) -> None:
        """Over aiohttp a chat and a stream come to the same as over httpx."""
        finals = []
        with both_answers() as server:
            for kind in ("httpx", "aiohttp"):
                async with Client.endpoint(server.url, SECRET, model="m", transport=kind) as client:
                    reply = await client.chat("hi")
                    streamed = await client.chat.stream("hi").final()
                    finals += [(each.model_dump(), dict(each.meta.headers)) for each in (reply, streamed)]
                await anyio.to_thread.run_sync(server.wait_until, lambda: server.connections_open == 0)
            assert finals[:2] == finals[2:]
            assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {SECRET}"}
            bodies = [request.body for request in server.requests]
            assert bodies[:2] == bodies[2:]

    async def test_break_closes_the_connection(self) -> None:
        """Leaving a stream early closes its connection here too."""
        stalled = sse_answer(chat_chunks()[:1], done=False, finish=[HoldUntilClosed()])
        with Loopback(lambda _: stalled) as server:
            async with Client.endpoint(server.url, SECRET, model="m", transport="aiohttp") as client:
                async for _ in client.chat.stream("hi"):
                    break
                await anyio.to_thread.run_sync(server.wait_until, lambda: server.connections_open == 0)

    @pytest.mark.parametrize(
        ("steps", "kind"),
        [
            ([Close()], ConnectionLostError),
            ([HoldUntilClosed()], TimedOutError),
            ([Send(head(200, {"content-length": "9"}) + b"{"), Close()], ConnectionLostError),
            (json_answer({"error": "no"}, status=422), StatusError),
            ([Send(b"SSH-2.0\r\n\r\n")], ConnectionLostError),
            (answer(b"{}", headers={"x-long": "a" * 9000}), ConnectionLostError),
            ([Send(head(200, {"transfer-encoding": "chunked"}) + b"2\r\n{}\r\nxyz\r\n")], ConnectionLostError),
        ],
        ids=["closed", "silent", "cut", "refused", "no HTTP", "long headers", "no chunks"],
    )
    async def test_faults(self, steps: list[Step], kind: type[HFClientError]) -> None:
        """What goes wrong is the same error as over httpx."""
        with Loopback(lambda _: steps) as server:
            async with Client.endpoint(server.url, SECRET, model="m", transport="aiohttp", timeout=0.3) as client:
                with pytest.raises(kind) as caught:
                    await client.chat("hi")
        below = caught.value.__cause__
        assert below is None or (below.__cause__, below.__context__) == (None, None)

    async def test_a_server_that_is_not_there(self) -> None:
        """A refused connection is told from a server that hung up, and by what the system says."""
        async with Client.endpoint("http://127.0.0.1:1", SECRET, model="m", transport="aiohttp", retry=False) as client:
            with pytest.raises(ConnectionFailedError, match="Errno"):
                await client.chat("hi")

    async def test_headers_that_cannot_be_written(self) -> None:
        """What aiohttp will not send is the caller's error here too."""
        with Loopback(chat()) as server:
            async with Client.endpoint(server.url, SECRET, model="m", transport="aiohttp") as client:
                with pytest.raises(InputError):
                    await client.chat("hi", extra_headers={"x-name": "a\nb"})
        assert server.requests == []

    async def test_silence_within_a_stream(self) -> None:
        """The limit on silences within a stream holds, and the wait for its beginning has its own."""
        stalled = sse_answer(chat_chunks()[:1], done=False, finish=[HoldUntilClosed()])
        answers = [stalled, [HoldUntilClosed()]]
        timeouts = [Timeout(idle=0.05), Timeout(read=0.05)]
        with Loopback(lambda _: answers.pop(0)) as server:
            async with Client.endpoint(server.url, SECRET, model="m", transport="aiohttp") as client:
                for timeout in timeouts:
                    with pytest.raises(TimedOutError):
                        await client.chat.stream("hi", timeout=timeout).final()

    async def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """HFCLIENT_TRANSPORT chooses it for every client that does not say otherwise."""
        monkeypatch.setenv("HFCLIENT_TRANSPORT", "aiohttp")
        with both_answers() as server:
            async with Client.endpoint(server.url, SECRET, model="m") as client:
                assert (await client.chat("hi")).text == "Hello there."

    async def test_the_extra_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without its package the error says how to install it."""
        monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)
        async with Client.endpoint("http://localhost:1", SECRET, model="m", transport="aiohttp") as client:
            with pytest.raises(MissingExtraError) as caught:
                await client.chat("hi")
        assert 'pip install "hfclient[aiohttp]"' in caught.value.advice


def test_aiohttp_needs_asyncio() -> None:
    """Under trio the aiohttp transport says that it cannot work there, and what can."""

    async def main() -> None:
        async with Client.endpoint("http://localhost:1", SECRET, model="m", transport="aiohttp") as client:
            await client.chat("hi")

    with pytest.raises(InputError, match="asyncio") as caught:
        anyio.run(main, backend="trio")
    assert "httpx" in caught.value.advice


async def test_a_given_client_stays_its_owners() -> None:
    """A client that was given carries the calls, is left open, and its headers and cookies stay as they were."""
    with Loopback(chat()) as server:
        async with httpx.AsyncClient(headers={"x-owner": "1"}, cookies={"a": "b"}, trust_env=False) as http_client:
            before = (dict(http_client.headers), dict(http_client.cookies))
            async with Client.endpoint(server.url, SECRET, model="m", http_client=http_client) as client:
                assert (await client.chat("hi")).text == "Hello there."
            assert (dict(http_client.headers), dict(http_client.cookies)) == before
            assert not http_client.is_closed
            assert (await http_client.post(server.url, json={})).status_code == 200
        assert server.connections_opened == 1


async def test_a_given_client_keeps_its_hooks_and_proxy() -> None:
    """What its owner set up on a given client, such as a proxy or a hook, is used."""
    seen: list[str] = []

    async def hook(request: httpx.Request) -> None:
        seen.append(str(request.url))

    with Loopback(chat()) as proxy:
        hooks = {"request": [hook]}
        async with httpx.AsyncClient(proxy=proxy.url, event_hooks=hooks, trust_env=False) as http_client:
            client = Client.endpoint("http://api.test", SECRET, model="m", http_client=http_client)
            await client.chat("hi")
        assert [request.target for request in proxy.requests] == seen == ["http://api.test/v1/chat/completions"]


@pytest.mark.parametrize("kind", ["httpx", "aiohttp"])
def test_a_given_client_is_the_transport(kind: TransportKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was given and a choice of transport exclude each other; the environment's choice gives way."""
    monkeypatch.setenv("HFCLIENT_TRANSPORT", "aiohttp")
    Client(SECRET, http_client=httpx.AsyncClient())
    with pytest.raises(InputError, match="http_client= and transport="):
        Client(SECRET, http_client=httpx.AsyncClient(), transport=kind)


async def test_a_given_client_that_is_closed() -> None:
    """A given client that its owner has closed is the caller's error."""
    http_client = httpx.AsyncClient()
    await http_client.aclose()
    client = Client.endpoint("http://localhost:1", SECRET, model="m", http_client=http_client)
    with pytest.raises(InputError, match="closed"):
        await client.chat("hi")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_proxies_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go through the proxy that the environment names, except to the hosts it exempts."""
    with Loopback(chat()) as server, Loopback(chat()) as proxy:
        monkeypatch.setenv(name, proxy.url)
        async with Client.endpoint("http://api.test/v1", SECRET, model="m") as client:
            await client.chat("hi")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with Client.endpoint(server.url, SECRET, model="m") as client:
            await client.chat("hi")
        assert [request.target for request in proxy.requests] == ["http://api.test/v1/chat/completions"]
        assert [request.target for request in server.requests] == ["/v1/chat/completions"]


async def test_a_proxy_that_refuses_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a proxy refuses to lead on, the connection was never made."""
    with Loopback(lambda _: answer(b"", status=403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with Client.endpoint("https://api.test/v1", SECRET, model="m", retry=False) as client:
            with pytest.raises(ConnectionFailedError):
                await client.chat("hi")
        assert [request.method for request in proxy.requests] == ["CONNECT"]
        assert SECRET not in str(proxy.requests)


async def test_answers_are_read_as_they_are_labelled() -> None:
    """Headers arrive in lower case, also those that are not ASCII, and a body that is compressed is unpacked."""
    body = json.dumps(chat_completion("Größe")).encode()
    with Loopback(lambda _: answer(body, headers={"X-Note": "caf\xe9", "Content-Type": "application/json"})) as server:
        async with Client.endpoint(server.url, SECRET, model="m") as client:
            reply = await client.chat("hi")
    assert reply.text == "Größe"
    assert reply.meta.headers["x-note"].startswith("caf")

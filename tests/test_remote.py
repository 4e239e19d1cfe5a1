"""The HTTP side of the seam performs a flow's steps, one after the other, and hides keys from everything."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from hfclient import Client, Retry
from hfclient.call import Call
from hfclient.errors import (
    BadRequestError,
    ConnectionLostError,
    HFClientError,
    InputError,
    NotAStreamError,
    ResponseError,
    ServerError,
    StreamFailedError,
    TruncatedStreamError,
)
from hfclient.flow import Load, Progress, Response, StreamPlan, Wait, delete, download, get, post
from hfclient.media import Loaded, Media
from hfclient.provider import Provider, Task
from hfclient.providers.openai_compatible import chat, read_chunk
from hfclient.providers.table import PROVIDERS
from hfclient.registry import Registry
from tests.flows import CHAT
from tests.internet import EVENTS, Internet

pytestmark = pytest.mark.anyio

KEY = "acme_fake_0123456789"
HOST = "acme.invalid"

STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a flow the only thing that a provider called acme does, and gives a client for it."""

    def client(run: Any, stream: Any = None, **options: Any) -> Client:
        acme = Provider("acme", f"https://{HOST}", {CHAT: Task(run, stream)}, routed=False, mapped=False)
        monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([*PROVIDERS, acme]))
        return Client(provider="acme", model="m", keys={"acme": KEY}, **options)

    return client


async def run(client: Client, inputs: Any = "x", **parts: Any) -> Any:
    call = client.defaults.call(CHAT, inputs, model=None, parameters={}, options={})
    async with client:
        return await client.dispatcher.run(replace(call, **parts))


def js(payload: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=payload)


async def test_a_job_is_followed_from_end_to_end(offer: Any, pauses: list[float]) -> None:
    """Load, request, progress, wait and download: every step a flow may take is performed, in its order."""

    def film(call: Call, route: Any) -> Generator[Any, Any, bytes]:
        picture: Loaded = yield Load(call.inputs)
        job = (yield post("/jobs", json={"image": picture.data_uri()})).json()
        while (state := (yield get(f"/jobs/{job['id']}")).json())["status"] != "done":
            progress = Progress(state["status"], position=state["position"])
            assert (yield progress) == progress
            assert (yield Wait(2.0)) is None
        film = yield download(state["url"])
        yield delete(f"/jobs/{job['id']}")
        return bytes(film.content)

    told: list[Progress] = []
    with Internet() as internet:
        queued, running = ({"status": "busy", "position": place} for place in (2, 1))
        done = {"status": "done", "url": "https://files.invalid/film.mp4"}
        internet.at(HOST, js({"id": "j7"}), js(queued), js(running), js(done), js({}))
        internet.at("files.invalid", httpx.Response(200, content=b"film"))
        result = await run(offer(film), Media(b"\x89PNG\r\n\x1a\n"), on_progress=told.append)
        assert [f"{request.method} {request.url.path}" for _, request in internet.requests] == [
            "POST /jobs",
            "GET /jobs/j7",
            "GET /jobs/j7",
            "GET /jobs/j7",
            "GET /film.mp4",
            "DELETE /jobs/j7",
        ]
        keys = [request.headers.get("authorization") for _, request in internet.requests]
    assert result == b"film"
    assert told == [Progress("busy", position=2), Progress("busy", position=1)]
    assert pauses == [2.0, 2.0]
    assert keys == [f"Bearer {KEY}"] * 4 + [None] + [f"Bearer {KEY}"]


async def test_nobody_need_listen_to_progress(offer: Any) -> None:
    """A provider tells how a job stands whether or not somebody asked."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        yield Progress("queued")
        return "done"

    assert await run(offer(flow)) == "done"


async def test_a_flow_that_asks_for_nothing(offer: Any) -> None:
    """A result may need no request at all."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        return "done"
        yield

    with Internet() as internet:
        assert await run(offer(flow)) == "done"
        assert internet.requests == []


async def test_a_failure_is_met_where_it_was_asked_for(offer: Any) -> None:
    """A flow that catches its request's error goes on, and what it returns is the result."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        try:
            yield post("/new", json={})
        except BadRequestError as error:
            return f"{error.status} {(yield post('/old', json={})).status}"
        return "new"

    with Internet() as internet:
        internet.at(HOST, 400, 200)
        assert await run(offer(flow)) == "400 200"


async def test_a_failed_load_is_met_where_it_was_asked_for(offer: Any) -> None:
    """Media that cannot be read is an error of the step that wanted it."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        try:
            yield Load(Media(b""))
        except InputError as error:
            return error.message
        return "loaded"

    assert "empty" in await run(offer(flow))


async def test_polls_are_repeated_and_submissions_are_not(offer: Any, pauses: list[float]) -> None:
    """One bad gateway must not lose a job that is paid for; nor may a job be submitted twice."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, int]:
        yield post("/jobs", json={})
        return (yield get("/jobs/1")).status

    with Internet() as internet:
        internet.at(HOST, 200, 502, httpx.ReadError("reset"), 500, 429, 200)
        assert await run(offer(flow)) == 200
        assert len(internet.requests) == 6
    assert len(pauses) == 4
    with Internet() as internet:
        internet.at(HOST, 502, 200)
        with pytest.raises(ServerError):
            await run(offer(flow))
        assert len(internet.requests) == 1


async def test_a_poll_that_never_succeeds_ends(
    offer: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience has an end even where no deadline was set."""
    now = [0.0]
    monkeypatch.setattr("hfclient.clock.now", lambda: now[0] + sum(pauses))

    def flow(call: Call, route: Any) -> Generator[Any, Any, int]:
        return (yield get("/jobs/1")).status

    with Internet() as internet:
        internet.at(HOST, 502)
        with pytest.raises(ServerError):
            await run(offer(flow))
        assert len(internet.requests) == len(pauses) + 1
    assert 500 < sum(pauses) <= 600


@pytest.mark.parametrize("end", ["return", "error", "cancel"])
async def test_a_flow_is_always_finished(offer: Any, end: str) -> None:
    """Whatever happens, the flow's own `finally` runs before the call is over."""
    closed: list[str] = []

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        try:
            yield post("/jobs", json={})
            return "done"
        finally:
            closed.append("closed")

    with Internet() as internet, anyio.CancelScope() as scope:
        internet.at(HOST, 400 if end == "error" else 200)

        async def cancel() -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        internet.pause = cancel if end == "cancel" else None
        try:
            assert await run(offer(flow)) == "done"
        except BadRequestError:
            assert end == "error"
    assert scope.cancelled_caught is (end == "cancel")
    assert closed == ["closed"]


async def test_a_flow_s_own_error_shows_no_key(offer: Any) -> None:
    """A provider that quotes an answer in its error cannot leak a key that was sent back."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        answer: Response = yield post("/jobs", json={})
        raise ResponseError(f"The answer is {answer.text()}.", body=answer.text())

    with Internet() as internet:
        internet.at(HOST, httpx.Response(200, content=f"your key is {KEY}".encode()))
        with pytest.raises(ResponseError, match="your key is") as caught:
            await run(offer(flow))
    assert KEY not in str(caught.value) + caught.value.body + repr(vars(caught.value))
    assert caught.value.provider == "acme"


async def test_a_flow_s_own_bug_is_not_hidden(offer: Any) -> None:
    """A programming error in a provider stays what it is."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, str]:
        return str((yield post("/jobs", json={})).json()["missing"])

    with Internet() as internet:
        internet.at(HOST, js({}))
        with pytest.raises(KeyError, match="missing"):
            await run(offer(flow))


async def test_answers_reach_the_flow_without_keys_in_their_headers(offer: Any) -> None:
    """Cookies, and a key that came back, are masked before a provider, and so `meta`, sees them."""

    def flow(call: Call, route: Any) -> Generator[Any, Any, Any]:
        return (yield post("/jobs", json={})).headers

    headers = {"set-cookie": "session=1234", "x-echo": f"Bearer {KEY}", "x-served-by": "a"}
    with Internet() as internet:
        internet.at(HOST, httpx.Response(200, headers=headers))
        seen = await run(offer(flow))
    assert seen["x-served-by"] == "a"
    assert "1234" not in str(seen)
    assert KEY not in str(seen)


class Torn(httpx.AsyncByteStream):
    """A body of these parts, an exception among them being raised in its place."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self._parts = parts

    async def __aiter__(self) -> Any:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            await anyio.lowlevel.checkpoint()
            yield part


def streamed(*parts: bytes | Exception, kind: str = "text/event-stream", status: int = 200) -> httpx.Response:
    headers = {"content-type": kind} if kind else {}
    return httpx.Response(status, headers=headers, stream=Torn(*parts))


def client_for(response: httpx.Response) -> Client:
    async def handle(request: httpx.Request) -> httpx.Response:
        return response

    http_client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return Client.endpoint("https://acme.invalid/v1", KEY, model="m", http_client=http_client)


async def read(response: httpx.Response) -> list[str]:
    async with client_for(response) as client:
        return [chunk.text async for chunk in client.chat.stream("x")]


async def test_a_body_that_breaks_after_its_end_is_whole() -> None:
    """Once [DONE] has come, the rest of the connection's fate is nobody's business."""
    response = streamed(EVENTS, httpx.ReadError("reset"))
    assert await read(response) == ["h", "i"]
    assert response.is_closed


async def test_what_came_before_an_error_is_read_first() -> None:
    """An error in the middle of a batch comes after the chunks that stand before it."""
    head, _, _ = EVENTS.partition(b"data: [DONE]")
    response = streamed(head + b'data: {"error": "overloaded"}\n\n')
    texts: list[str] = []

    async def read_all(client: Client) -> None:
        async for text in client.chat.stream("x").text():
            texts.append(text)

    async with client_for(response) as client:
        with pytest.raises(StreamFailedError, match="overloaded") as caught:
            await read_all(client)
    assert texts == ["h", "i"]
    assert caught.value.partial.text == "hi"
    assert response.is_closed


@pytest.mark.parametrize("tail", [b'data: {"cho', b"data: nothing", b'data: {"a": 1}"'])
async def test_an_event_torn_by_the_end_is_no_event(tail: bytes) -> None:
    """Half an event is not an error of its own: that the stream was cut off is what counts."""
    head, _, _ = EVENTS.partition(b"data: [DONE]")
    with pytest.raises(TruncatedStreamError) as caught:
        await read(streamed(head, tail))
    assert caught.value.partial.text == "hi"


@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "application/json", "TEXT/EVENT-STREAM", ""])
@pytest.mark.parametrize("split", [1, 2, 5, 1000])
async def test_events_are_known_by_their_first_bytes(kind: str, split: int) -> None:
    """Servers that call their stream something else are understood, however its bytes arrive."""
    parts = [EVENTS[start : start + split] for start in range(0, len(EVENTS), split)]
    assert await read(streamed(*parts, kind=kind)) == ["h", "i"]


@pytest.mark.parametrize(
    "first", [b": ping\n\n", b"event: message\n", b"id: 7\n", b"retry: 5\n", b"\xef\xbb\xbf", b"\r\n"]
)
async def test_every_beginning_of_a_stream_is_known(first: bytes) -> None:
    """A stream may begin with a comment, another field, a byte order mark or an empty line."""
    assert await read(streamed(first + EVENTS, kind="application/octet-stream")) == ["h", "i"]


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"error": "overloaded"}', "application/json", "application/json instead of a stream: overloaded"),
        (b'{"choices": []}', "application/json", "application/json instead of a stream."),
        (b"<html><body>Sign in</body></html>", "text/html; charset=utf-8", "text/html instead of a stream."),
        (b"", "", "no media type instead of a stream."),
        (b"x" * 200_000, "text/plain", "text/plain instead of a stream."),
    ],
)
async def test_what_is_no_stream_is_told_apart(body: bytes, kind: str, said: str) -> None:
    """JSON, HTML and nothing at all are typed errors with what was said, and the connection is given back."""
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    response = streamed(*parts, kind=kind)
    with pytest.raises(NotAStreamError, match=r"acme\.invalid answered with") as caught:
        await read(response)
    assert said in caught.value.message
    assert (caught.value.status, len(caught.value.body) <= 2000) == (200, True)
    assert response.is_closed


async def test_a_connection_lost_before_the_first_event() -> None:
    """A stream that breaks while its kind is still unclear has failed like any other request."""
    response = streamed(b"da", httpx.ReadError("reset"), kind="")
    with pytest.raises(ConnectionLostError):
        await read(response)
    assert response.is_closed


async def test_a_key_in_a_stream_s_error_is_masked() -> None:
    """A server that sends our key back in the middle of a stream does not get it into an error."""
    response = streamed(b'data: {"error": {"message": "bad key ' + KEY.encode() + b'"}}\n\n')
    with pytest.raises(StreamFailedError) as caught:
        await read(response)
    assert KEY not in str(caught.value) + repr(vars(caught.value))
    assert "bad key" in caught.value.message


async def test_a_stream_of_events_nobody_wants_is_empty() -> None:
    """Keep-alives alone are no answer, and the end after them is an early one."""
    with pytest.raises(HFClientError, match="cut off"):
        await read(streamed(b": ping\n\nevent: ping\ndata: x\n\n" * 3))


async def test_a_stream_s_plan_may_need_requests(offer: Any) -> None:
    """Planning a stream is a flow like any other: it may ask for something first."""

    def plan(call: Call, route: Any) -> Generator[Any, Any, StreamPlan[Any]]:
        session = (yield post("/sessions", json={})).json()["id"]
        return StreamPlan(post(f"/sessions/{session}/stream", json={}), read_chunk)

    with Internet() as internet:
        internet.at(HOST, js({"id": "s1"}), httpx.Response(200, headers=STREAM, content=EVENTS))
        async with offer(chat().run, plan) as client:
            assert (await client.chat.stream("x").final()).text == "hi"
        assert [request.url.path for _, request in internet.requests] == ["/sessions", "/sessions/s1/stream"]


async def test_a_plan_that_fails_opens_nothing(offer: Any) -> None:
    """The stream's own request is not sent when what it needs is missing."""

    def plan(call: Call, route: Any) -> Generator[Any, Any, StreamPlan[Any]]:
        yield post("/sessions", json={})
        raise AssertionError("not reached")

    with Internet() as internet:
        internet.at(HOST, 400)
        async with offer(chat().run, plan) as client:
            with pytest.raises(BadRequestError):
                await client.chat.stream("x").open()
        assert len(internet.requests) == 1


async def test_streams_are_opened_again_only_before_they_begin(pauses: list[float], offer: Any) -> None:
    """A refusal may be retried; once events have come, nothing is."""
    with Internet() as internet:
        ready = httpx.Response(200, headers=STREAM, content=EVENTS)
        internet.at(HOST, 503, 429, ready)
        async with offer(chat().run, chat().stream, retry=Retry(attempts=3, statuses={429, 503})) as client:
            stream = client.chat.stream("x")
            assert (await stream.final()).text == "hi"
            assert [attempt.status for attempt in stream.meta.attempts] == [503, 429, 200]
    assert len(pauses) == 2

"""A stream as its reader meets it, over real sockets: read, left, dropped, cut, stalled and broken."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client, Retry, Stream, Timeout
from hfclient.errors import (
    BadRequestError,
    ConnectionFailedError,
    DeadlineError,
    EventTooLargeError,
    HFClientError,
    InputError,
    NotAStreamError,
    RateLimitError,
    ResponseError,
    StreamClosedError,
    StreamError,
    StreamFailedError,
    TimedOutError,
    TruncatedStreamError,
)
from hfclient.types import ChatCompletion, ChatCompletionChunk
from tests.loopback import (
    Close,
    HoldUntilClosed,
    Loopback,
    Reset,
    Send,
    Step,
    answer,
    chat_chunks,
    frame,
    head,
    json_answer,
    sse_answer,
    truncated,
)

pytestmark = pytest.mark.anyio

Read = Callable[["Stream[ChatCompletionChunk, ChatCompletion]"], Any]

TOKEN = "hf_fake_0123456789abcdef"
TEXT = "One two three."
EVENTS = chat_chunks(TEXT)
DONE_FRAME = b"data: [DONE]\n\n"


def serving(*answers: list[Step]) -> Loopback:
    """Answers one request after another; the last answer is for all that follow."""
    waiting = list(answers)
    return Loopback(lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0])


def endpoint(server: Loopback, **options: Any) -> Client:
    return Client.endpoint(server.url, TOKEN, model="m", **options)


def at_once(**how: Any) -> list[Step]:
    """A whole stream in one HTTP chunk and one write, so that its end is there as soon as its beginning."""
    steps = sse_answer(EVENTS, events_per_chunk=100, **how)
    return [Send(b"".join(step.data for step in steps if isinstance(step, Send)))]


def stalled(*events: object) -> list[Step]:
    return sse_answer(events or EVENTS[:2], done=False, finish=[HoldUntilClosed()])


async def seen(server: Loopback, predicate: Callable[[], bool]) -> None:
    await anyio.to_thread.run_sync(server.wait_until, predicate)


async def all_closed(server: Loopback) -> None:
    await seen(server, lambda: server.connections_open == 0)


async def texts(stream: Stream[ChatCompletionChunk, ChatCompletion]) -> list[str]:
    return [chunk.text async for chunk in stream]


async def failure(server: Loopback, read: Read | None = None, **options: Any) -> HFClientError:
    """What a stream of this server's fails with."""
    async with endpoint(server, **options) as client:
        stream = client.chat.stream("hi")
        with pytest.raises(HFClientError) as caught:
            await (read or texts)(stream)
    await all_closed(server)
    return caught.value


async def test_it_is_read_chunk_by_chunk() -> None:
    """A reader gets every chunk as it came, and the end ends the loop; reading on gives nothing more."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            chunks = [chunk async for chunk in stream]
            assert [chunk.text for chunk in chunks] == ["One ", "two ", "three.", ""]
            assert chunks[-1].finish_reason == "stop"
            assert await texts(stream) == []
    assert server.requests[0].json()["stream"] is True


async def test_text_alone() -> None:
    """`text()` gives the text in pieces and passes over chunks that have none."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            assert [text async for text in client.chat.stream("hi").text()] == ["One ", "two ", "three."]


@pytest.mark.parametrize("read_before", [0, 1, 4])
async def test_final_has_everything_whatever_was_read_before(read_before: int) -> None:
    """`final` reads what has not been read and assembles all of it; asking again gives the same."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            async with client.chat.stream("hi") as stream:
                for _ in range(read_before):
                    await anext(stream)
                final = await stream.final()
                assert (final.text, final.finish_reason) == (TEXT, "stop")
                assert await stream.final() is final
            assert await stream.final() is final
        assert await stream.final() is final


async def test_meta_tells_where_the_stream_came_from() -> None:
    """`meta` is there once the stream is open, and the assembled answer carries its final form."""
    with serving(sse_answer(EVENTS, headers={"x-inference-provider": "groq"})) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            with pytest.raises(AttributeError, match="not been opened"):
                _ = stream.meta
            async with stream:
                assert (stream.meta.provider, stream.meta.status) == ("groq", 200)
                final = await stream.final()
    assert (final.meta.request_id, final.meta.model) == ("req-loopback", "m")
    assert final.meta is stream.meta
    assert final.meta.headers["content-type"] == "text/event-stream"


async def test_seconds_run_until_the_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds in `meta` go on while the stream does, and stop with it."""
    now = [100.0]
    monkeypatch.setattr("hfclient.clock.now", lambda: now[0])
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client, client.chat.stream("hi") as stream:
            now[0] += 2
            assert stream.meta.seconds == pytest.approx(2)
            now[0] += 3
            await stream.final()
            now[0] += 60
            assert stream.meta.seconds == pytest.approx(5)


async def test_a_connection_serves_one_stream_after_another() -> None:
    """Once a stream was read to its end, the next call goes over the same connection."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            for _ in range(5):
                await client.chat.stream("hi").final()
            assert server.connections_opened == 1


async def test_break_gives_back_a_connection_whose_body_has_ended() -> None:
    """Where all of the body had come by the time of the `break`, the next call needs no new connection."""
    with serving(at_once()) as server:
        async with endpoint(server) as client:
            for _ in range(3):
                stream = client.chat.stream("hi")
                async for _ in stream:
                    break
                await anyio.wait_all_tasks_blocked()
            await client.chat.stream("hi").final()
            assert (server.connections_opened, server.connections_open) == (1, 1)


async def test_break_closes_a_connection_whose_body_goes_on() -> None:
    """Where more was to come, `break` closes the connection at once, though the stream is still held."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            async for _ in stream:
                break
            await all_closed(server)
            with pytest.raises(StreamClosedError) as caught:
                await anext(stream)
            assert caught.value.partial.text == "One "


async def test_break_out_of_text_closes_too() -> None:
    """Leaving a loop over `text()` frees the connection as leaving one over the stream does."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            async for _ in stream.text():
                break
            await all_closed(server)


async def test_an_exception_in_the_loop_closes_the_connection() -> None:
    """What the reader raises goes through unchanged, and the connection is closed."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            with pytest.raises(ZeroDivisionError):  # noqa: PT012  the loop is what is tested
                async for _ in stream:
                    _ = 1 / 0
            await all_closed(server)


async def test_dropping_an_opened_stream_closes_it() -> None:
    """A stream that was opened and is no longer held by anybody closes its connection."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            await anext(stream)
            del stream
            gc.collect()
            await all_closed(server)


async def test_dropping_a_stream_from_another_thread_closes_it() -> None:
    """The garbage collector may find a stream in any thread; it is closed in its own loop."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            held = [client.chat.stream("hi")]
            await anext(held[0])
            await anyio.to_thread.run_sync(held.clear)
            await all_closed(server)


async def test_a_stream_never_opened_sends_nothing() -> None:
    """Making a stream costs no request, and dropping or closing it unused neither."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            dropped = client.chat.stream("hi")
            del dropped
            closed = client.chat.stream("hi")
            await closed.aclose()
        assert (server.requests, server.connections_opened) == ([], 0)


async def test_leaving_early_frees_the_connection() -> None:
    """Leaving `async with` before the end closes the connection, and what is left cannot be read."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            async with client.chat.stream("hi") as stream:
                await anext(stream)
            await all_closed(server)
            with pytest.raises(StreamClosedError):
                await stream.final()


async def test_leaving_twice_does_nothing_more() -> None:
    """`aclose` may be called again, before and after the stream's end."""
    with serving(stalled(), sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            for last in (anext, Stream.final):
                async with client.chat.stream("hi") as stream:
                    await last(stream)
                    await stream.aclose()
                await stream.aclose()


async def test_anext_reads_without_a_loop() -> None:
    """`anext` on the stream itself reads chunk after chunk, until `StopAsyncIteration`."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            assert (await anext(stream)).text == "One "
            assert len(await texts(stream)) == 3
            with pytest.raises(StopAsyncIteration):
                await anext(stream)


async def test_a_second_loop_goes_on_where_the_first_was_not_left() -> None:
    """While one reader still holds the stream, another that leaves does not close it."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            first = aiter(stream)
            assert (await anext(first)).text == "One "
            async for chunk in stream:
                assert chunk.text == "two "
                break
            assert [chunk.text async for chunk in first] == ["three.", ""]


async def test_two_readers_share_the_chunks() -> None:
    """Two tasks that read one stream get each chunk once between them, and both come to its end."""
    got: list[str] = []

    async def read(stream: Stream[ChatCompletionChunk, ChatCompletion]) -> None:
        async for chunk in stream:
            got.append(chunk.text)
            await anyio.lowlevel.checkpoint()

    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read, stream)
                tasks.start_soon(read, stream)
            assert "".join(got) == TEXT
    assert len(server.requests) == 1


async def test_closing_while_another_task_reads() -> None:
    """A reader that waits when somebody else closes the stream is told so, and nothing stays open."""
    caught: list[BaseException] = []

    async def read(stream: Stream[ChatCompletionChunk, ChatCompletion]) -> None:
        try:
            await texts(stream)
        except HFClientError as error:
            caught.append(error)

    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            async with anyio.create_task_group() as tasks:
                await anext(stream)
                tasks.start_soon(read, stream)
                await anyio.wait_all_tasks_blocked()
                await stream.aclose()
            await all_closed(server)
    assert [type(error) for error in caught] == [StreamClosedError]


async def test_cancelling_a_read_leaves_the_stream() -> None:
    """A read that is cancelled closes the connection, and reading on says that the stream was left."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            async with anyio.create_task_group() as tasks:
                assert [(await anext(stream)).text for _ in range(2)] == ["One ", "two "]
                tasks.start_soon(texts, stream)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            await all_closed(server)
            with pytest.raises(StreamClosedError) as caught:
                await stream.final()
            assert caught.value.partial.text == "One two "


async def test_cancelling_the_opening_closes_the_connection() -> None:
    """A call that is cancelled before the answer began leaves no connection, and the stream can be opened anew."""
    with serving([HoldUntilClosed()], sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.open)
                await seen(server, lambda: len(server.requests) == 1)
                tasks.cancel_scope.cancel()
            await all_closed(server)
            assert (await stream.final()).text == TEXT


async def test_a_closed_client_opens_no_stream() -> None:
    """Opening a stream of a closed client is the caller's error, and nothing is sent."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
        with pytest.raises(InputError, match="closed"):
            await stream.final()
    assert server.requests == []


async def test_closing_the_client_ends_its_streams() -> None:
    """A stream whose client was closed meanwhile fails with what had arrived, and can still be closed."""
    with serving(stalled()) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            await anext(stream)
        with pytest.raises(StreamError) as caught:
            await texts(stream)
        assert caught.value.partial.text.startswith("One ")
        await stream.aclose()
        await all_closed(server)


async def test_done_ends_the_stream_though_the_body_stays_open() -> None:
    """After [DONE] nothing is waited for; a server that holds the body open loses the connection."""
    with serving(sse_answer(EVENTS, finish=[HoldUntilClosed()])) as server:
        async with endpoint(server, timeout=3600) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT
            await all_closed(server)


@pytest.mark.parametrize("finish", [[Close()], [Reset()]])
async def test_what_happens_after_done_does_no_harm(finish: list[Step]) -> None:
    """A connection that breaks after [DONE] takes nothing from an answer that is whole."""
    with serving(sse_answer(EVENTS, finish=finish)) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT


async def test_a_finish_reason_is_an_end_without_done() -> None:
    """A body that ends after a finish reason is a success, [DONE] or not."""
    with serving(sse_answer(EVENTS, done=False)) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).finish_reason == "stop"


@pytest.mark.parametrize("finish", [[Close()], [Reset()]])
async def test_a_lost_farewell_is_forgiven_once_the_answer_is_whole(finish: list[Step]) -> None:
    """A connection that breaks after the finish reason has lost nothing of the answer."""
    with serving(sse_answer(EVENTS, done=False, finish=finish)) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT


async def test_done_without_a_finish_reason_is_an_end() -> None:
    """[DONE] says that the answer is whole, also where no finish reason was given."""
    with serving(sse_answer(EVENTS[:2])) as server:
        async with endpoint(server) as client:
            final = await client.chat.stream("hi").final()
    assert (final.text, final.finish_reason) == ("One two ", None)


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (sse_answer(EVENTS[:2], done=False), "body ended"),
        (sse_answer(EVENTS[:2], done=False, chunked=False), "body ended"),
        (sse_answer(EVENTS[:2], done=False, finish=[Close()]), "broke"),
        (sse_answer(EVENTS[:2], done=False, finish=[Reset()]), "broke"),
        (truncated(sse_answer(EVENTS[:3], done=False), drop=60), "broke"),
    ],
    ids=["proper end", "closed", "chunked body cut", "reset", "event torn"],
)
async def test_a_stream_that_ends_early_is_no_success(steps: list[Step], why: str) -> None:
    """Without finish reason and [DONE] the end is an error that holds what had arrived, and nothing is asked again."""
    with serving(steps) as server:
        error = await failure(server, retry=Retry(attempts=3, statuses={500}))
        assert isinstance(error, TruncatedStreamError)
        assert why in error.message
        assert error.partial.text == "One two "
        assert (error.status, error.model, error.task) == (200, "m", "conversational") or error.status is None
        assert len(server.requests) == 1


async def test_what_had_arrived_is_read_before_the_error() -> None:
    """A reader gets every chunk that came before the stream broke, then the error, then the same error again."""
    got: list[str] = []
    with serving(sse_answer([*EVENTS[:2], {"error": "boom"}], events_per_chunk=10)) as server:
        async with endpoint(server) as client:
            stream = client.chat.stream("hi")
            with pytest.raises(StreamFailedError) as first:  # noqa: PT012  what came before it counts
                async for chunk in stream:
                    got.append(chunk.text)
            with pytest.raises(StreamFailedError) as second:
                await stream.final()
    assert got == ["One ", "two "]
    assert first.value is second.value


ERROR_EVENTS = {
    "TGI": (frame({"error": "Model is overloaded", "error_type": "overloaded"}), "Model is overloaded"),
    "OpenAI": (frame({"error": {"message": "too slow", "type": "server_error", "code": "slow"}}), "too slow"),
    "named event": (b'event: error\ndata: {"message": "no capacity", "code": "slow"}\n\n', "no capacity"),
    "named event, text": (b"event: error\ndata: upstream went away\n\n", "upstream went away"),
    "beside empty choices": (frame({"choices": [], "error": {"message": "upstream", "code": 502}}), "upstream"),
    "beside a choice": (frame({**EVENTS[0], "error": {"message": "upstream", "code": 502}}), "upstream"),
    "vLLM": (frame({"error_type": "BadRequest", "error_message": "too long"}), "too long"),
    "object": (frame({"object": "error", "message": "max tokens", "type": "BadRequest", "code": 400}), "max tokens"),
    "detail": (frame({"detail": "worker died"}), "worker died"),
}


@pytest.mark.parametrize("shape", ERROR_EVENTS)
async def test_an_error_in_the_stream_is_told_in_the_servers_words(shape: str) -> None:
    """Every known shape of error event is the same typed error, with the server's words and what had arrived."""
    event, words = ERROR_EVENTS[shape]
    with serving(sse_answer([*EVENTS[:2], event])) as server:
        error = await failure(server)
    assert isinstance(error, StreamFailedError)
    assert words in str(error)
    assert error.partial.text == "One two "
    assert error.provider == "endpoint"
    if shape in {"OpenAI", "named event"}:
        assert error.code == "slow"


async def test_an_error_event_may_be_all_there_is() -> None:
    """An error that comes before any chunk has nothing partial in it."""
    with serving(sse_answer([{"error": {"message": "no capacity"}}])) as server:
        error = await failure(server)
    assert isinstance(error, StreamFailedError)
    assert error.partial is None


async def test_what_is_not_a_chunk_is_not_passed_over() -> None:
    """An event that is neither a chunk nor a known kind of error is an error that shows it."""
    with serving(sse_answer([EVENTS[0], {"surprise": 1}])) as server:
        error = await failure(server)
    assert isinstance(error, StreamFailedError)
    assert "surprise" in error.body


async def test_other_events_are_passed_over() -> None:
    """Pings, comments and empty data are no chunks and no errors."""
    noise = [b": ping\n\n", b"event: ping\ndata: {}\n\n", b"data:\n\n", b"retry: 10\n\n", b"id: 1\n\n"]
    with serving(sse_answer([*noise, EVENTS[0], *noise, *EVENTS[1:]])) as server:
        async with endpoint(server) as client:
            assert len(await texts(client.chat.stream("hi"))) == len(EVENTS)


@pytest.mark.parametrize(
    ("steps", "kind", "body"),
    [
        (json_answer({"error": "streaming is off"}), "json instead of a stream: streaming is off", "is off"),
        (json_answer({"choices": []}), "application/json", "choices"),
        (answer(b"<html><body>Sign in</body></html>", headers={"content-type": "text/html"}), "text/html", "Sign in"),
        (answer(b""), "no media type", ""),
        (answer(b"x" * 100_000, headers={"content-type": "text/plain"}), "text/plain", "xxx"),
    ],
    ids=["error", "completion", "page", "nothing", "long"],
)
async def test_what_is_no_stream_is_said_to_be_none(steps: list[Step], kind: str, body: str) -> None:
    """A success that is not a stream of events is an error that says what came, and shows its beginning."""
    with serving(steps) as server:
        error = await failure(server)
    assert isinstance(error, NotAStreamError)
    assert kind in error.message
    assert body in error.body
    assert error.status == 200


@pytest.mark.parametrize("kind", ["application/json", "", "text/plain; charset=utf-8"])
async def test_events_under_another_name_are_events(kind: str) -> None:
    """Servers that call their events JSON, or nothing, are believed by the first bytes."""
    with serving(sse_answer([b"\xef\xbb\xbf\n: hello\n\n", *EVENTS], headers={"content-type": kind})) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT


async def test_a_first_event_cut_in_its_name_is_still_an_event() -> None:
    """Under another media type, a first event whose name is torn in two is not mistaken for a page."""
    pieces = [b"da", b"ta: ", json.dumps(EVENTS[0]).encode(), b"\n\n", *map(frame, EVENTS[1:])]
    with serving(sse_answer(pieces, headers={"content-type": "text/plain"})) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_stream_is_read_as_it_arrives(encoding: str) -> None:
    """A compressed stream is decoded piece by piece: a chunk that was flushed can be read at once."""
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    pieces = [packer.compress(frame(event)) + packer.flush(zlib.Z_SYNC_FLUSH) for event in EVENTS[:2]]
    headers = {"content-encoding": encoding}
    with serving(sse_answer(pieces, done=False, headers=headers, finish=[HoldUntilClosed()])) as server:
        async with endpoint(server) as client, client.chat.stream("hi") as stream:
            assert [(await anext(stream)).text for _ in range(2)] == ["One ", "two "]


async def test_a_whole_compressed_stream() -> None:
    """A stream compressed as one piece is read to its end."""
    body = gzip.compress(b"".join(map(frame, EVENTS)) + DONE_FRAME)
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    with serving(answer(body, headers=headers)) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT


# Where decoding fails, httpx drops a generator of its own half-way, and trio remarks on it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_only_claims_to_be_compressed() -> None:
    """A body that cannot be decompressed is an answer that cannot be read."""
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    with serving(answer(b"data: not gzip at all\n\n", headers=headers)) as server:
        error = await failure(server)
    assert isinstance(error, ResponseError)
    assert "could not be read" in error.message


async def test_a_line_of_fifty_megabytes_is_refused() -> None:
    """One event larger than the limit is refused with what had arrived, and the limit can be raised."""
    large = chat_chunks("x" * 50_000_000)[0]
    with serving(sse_answer([EVENTS[0], large, EVENTS[-1]])) as server:
        error = await failure(server)
        assert isinstance(error, EventTooLargeError)
        assert "max_event_bytes" in error.advice
        assert error.partial.text == "One "
        async with endpoint(server, max_event_bytes=64 * 2**20) as client:
            assert len((await client.chat.stream("hi").final()).text) == 50_000_004


async def test_the_limit_holds_under_another_media_type_too() -> None:
    """The limit on an event's size holds from the first bytes on, whatever the stream is called."""
    large = chat_chunks("x" * 2000)[0]
    with serving(sse_answer([large], headers={"content-type": "text/plain"})) as server:
        error = await failure(server, max_event_bytes=1000)
    assert isinstance(error, EventTooLargeError)


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_error_on_opening_has_the_servers_words(*, chunked: bool) -> None:
    """A stream that is refused gives the server's own words, also where the refusal is itself streamed."""
    body = json.dumps({"error": {"message": "temperature must be below 2", "code": "bad_value"}}).encode()
    headers = {"content-type": "application/json"}
    if chunked:
        pieces = [body[:9], body[9:30], body[30:]]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        steps: list[Step] = [Send(head(422, {**headers, "transfer-encoding": "chunked"}) + sent)]
    else:
        steps = answer(body, status=422, headers=headers)
    with serving(steps) as server:
        async with endpoint(server) as client:
            for _ in range(3):
                with pytest.raises(BadRequestError, match="temperature must be below 2") as caught:
                    await client.chat.stream("hi").final()
                assert (caught.value.code, caught.value.request_id) == ("bad_value", "req-loopback")
            assert server.connections_opened == 1


@pytest.mark.parametrize("finish", [Close(), Reset(), HoldUntilClosed()])
async def test_a_refusal_that_is_cut_off_is_still_a_refusal(finish: Step) -> None:
    """A status says enough: where the rest of an error's body never comes, what had come is shown."""
    steps: list[Step] = [Send(head(429, {"content-length": "500"}) + b"slow down"), finish]
    with serving(steps) as server:
        error = await failure(server, timeout=0.2)
    assert isinstance(error, RateLimitError)


async def test_silence_within_a_stream() -> None:
    """A stream that falls silent for longer than `idle` fails with what had arrived."""
    with serving(stalled()) as server:
        error = await failure(server, timeout=Timeout(idle=0.05))
    assert isinstance(error, TimedOutError)
    assert not isinstance(error, DeadlineError)
    assert error.partial.text == "One two "


async def test_idle_does_not_bound_the_wait_for_the_beginning() -> None:
    """Until the answer begins, `read` is the limit, and `idle` is not."""
    with serving([HoldUntilClosed()]) as server:
        error = await failure(server, timeout=Timeout(read=0.05, idle=3600))
    assert isinstance(error, TimedOutError)


async def test_a_deadline_within_a_stream() -> None:
    """A deadline ends a stream that goes on for too long, and what had arrived is in the error."""
    with serving(stalled()) as server:
        error = await failure(server, deadline=0.3)
    assert isinstance(error, DeadlineError)
    assert error.partial.text == "One two "


async def test_a_deadline_before_the_stream() -> None:
    """A deadline also bounds the wait for the answer's beginning."""
    with serving([HoldUntilClosed()]) as server:
        error = await failure(server, deadline=0.1)
    assert isinstance(error, DeadlineError)
    assert error.partial is None


async def test_a_stream_within_its_deadline() -> None:
    """A deadline that is not reached changes nothing."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server, deadline=3600) as client:
            assert (await client.chat.stream("hi").final()).text == TEXT


async def test_done_alone_is_no_answer() -> None:
    """A stream that ends properly without ever holding anything is an error, not an empty answer."""
    with serving(sse_answer([])) as server:
        error = await failure(server)
    assert type(error) is ResponseError


async def test_line_separators_in_text_separate_nothing() -> None:
    """U+2028 and its like are characters of a text, not ends of a line."""
    odd = "a\u2028b\u2029c\u0085d\x0be\x1cf"
    event = json.dumps(chat_chunks("x")[0], ensure_ascii=False).replace('"x"', json.dumps(odd, ensure_ascii=False))
    event = event.replace("\x0b", "\\u000b").replace("\x1c", "\\u001c")
    with serving(sse_answer([b"data: %b\n\n" % event.encode(), EVENTS[-1]])) as server:
        async with endpoint(server) as client:
            assert (await client.chat.stream("hi").final()).text == odd


async def test_a_stream_is_asked_for_again_only_before_it_began() -> None:
    """A refusal to open is retried, and the attempts are told; what breaks later is not."""
    loading = json_answer({"error": "loading"}, status=503, headers={"retry-after": "0"})
    cut = sse_answer(EVENTS[:1], done=False, finish=[Close()])
    with serving(loading, sse_answer(EVENTS), loading, cut) as server:
        async with endpoint(server) as client:
            final = await client.chat.stream("hi").final()
            assert [attempt.status for attempt in final.meta.attempts] == [503, 200]
            with pytest.raises(TruncatedStreamError) as caught:
                await client.chat.stream("hi").final()
            told = [attempt.error for attempt in caught.value.attempts]
            assert told == ["ModelLoadingError", "TruncatedStreamError"]
    assert len(server.requests) == 4


async def test_a_connection_that_cannot_be_made() -> None:
    """A stream whose server is not there fails on opening, and again in the same way when it is read."""
    async with Client.endpoint("http://127.0.0.1:1", TOKEN, model="m", retry=False) as client:
        stream = client.chat.stream("hi")
        for _ in range(2):
            with pytest.raises(ConnectionFailedError):
                await anext(stream)


async def test_several_choices() -> None:
    """A stream of several choices is done once each has ended, and the end of one does not end it."""
    events = [
        {**EVENTS[0], "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}
        for index, delta, reason in [
            (0, {"content": "a"}, None),
            (1, {"content": "b"}, "stop"),
            (0, {"content": "c"}, "stop"),
        ]
    ]
    with serving(sse_answer(events, done=False), sse_answer(events[:2], done=False)) as server:
        async with endpoint(server) as client:
            final = await client.chat.stream("hi", n=2).final()
            assert [choice.message.content for choice in final.choices] == ["ac", "b"]
            with pytest.raises(TruncatedStreamError):
                await client.chat.stream("hi", n=2).final()


async def test_usage_after_the_finish_reason() -> None:
    """Usage that comes after the finish reason, in a chunk without choices, is part of the answer."""
    usage = {**EVENTS[0], "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}
    with serving(sse_answer([*EVENTS, usage])) as server:
        async with endpoint(server) as client:
            final = await client.chat.stream("hi").final()
    assert final.usage is not None
    assert final.usage.total_tokens == 12


async def test_the_openai_snippet() -> None:
    """`completions.create(stream=True)` gives a stream that has begun."""
    with serving(sse_answer(EVENTS)) as server:
        async with endpoint(server) as client:
            stream = await client.chat.completions.create(messages="hi", stream=True)
            assert len(server.requests) == 1
            assert "".join(await texts(stream)) == TEXT


class Pieces(httpx.AsyncByteStream):
    """A body that arrives in exactly these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


WHOLE = b"".join(map(frame, chat_chunks("Größe\u2028 ✓ done"))) + DONE_FRAME


async def final_of(pieces: list[bytes], kind: str) -> ChatCompletion:
    """The answer that a body in these pieces comes to."""
    reply = httpx.Response(200, headers={"content-type": kind}, stream=Pieces(pieces))
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply)) as http_client:
        client = Client.endpoint("http://localhost", model="m", http_client=http_client)
        return await client.chat.stream("hi").final()


async def test_a_stream_that_comes_byte_by_byte() -> None:
    """A stream that arrives a byte at a time is the stream that was sent."""
    pieces = [WHOLE[at : at + 1] for at in range(len(WHOLE))]
    assert (await final_of(pieces, "text/event-stream")).text == "Größe\u2028 ✓ done"


@given(st.sets(st.integers(0, len(WHOLE)), max_size=12), st.sampled_from(["text/event-stream", "application/json"]))
def test_a_stream_may_be_cut_anywhere(cuts: set[int], kind: str) -> None:
    """However the network cuts a stream into pieces, the answer is the same."""
    ends = [*sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    for backend in ("asyncio", "trio"):
        assert anyio.run(final_of, pieces, kind, backend=backend).text == "Größe\u2028 ✓ done"


async def test_leaving_after_the_finish_reason_is_an_end() -> None:
    """A reader who stops when the model has has the whole answer, although the farewell was not read."""
    with serving(stalled(*EVENTS)) as server:
        async with endpoint(server) as client:
            async with client.chat.stream("hi") as stream:
                async for chunk in stream:
                    if chunk.finish_reason:
                        break
            final = await stream.final()
            assert (final.text, final.finish_reason) == ("One two three.", "stop")


async def test_silence_after_the_finish_reason_is_an_end() -> None:
    """A server that has said everything and then hangs takes nothing away."""
    with serving(stalled(*EVENTS)) as server:
        async with endpoint(server, timeout=Timeout(idle=0.05)) as client:
            assert (await client.chat.stream("hi").final()).text == "One two three."


@pytest.mark.parametrize("body", [b'{"error": {"message": "model exploded"}}', b"<html><title>Sign in</title></html>"])
async def test_an_event_stream_without_events(body: bytes) -> None:
    """What calls itself a stream and holds none is told apart from one that was cut, and its words are kept."""
    with serving(answer(body, headers={"content-type": "text/event-stream"})) as server:
        async with endpoint(server) as client:
            with pytest.raises(NotAStreamError) as caught:
                await client.chat.stream("hi").final()
    assert ("model exploded" if b"error" in body else "Sign in") in f"{caught.value} {caught.value.body}"

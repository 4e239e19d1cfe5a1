"""What goes wrong between two sockets, and that nothing of it stays behind: no connection, no task, no memory."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import sys
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from hfclient import Client, Retry, Timeout
from hfclient.errors import (
    BadRequestError,
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineError,
    HFClientError,
    InputError,
    RateLimitError,
    ResponseError,
    StreamFailedError,
    TimedOutError,
    TruncatedStreamError,
)
from tests.loopback import (
    Close,
    Handler,
    HoldUntilClosed,
    Loopback,
    Pause,
    Received,
    Reset,
    Send,
    Step,
    answer,
    chat,
    chat_chunks,
    chat_completion,
    frame,
    head,
    json_answer,
    sse_answer,
    truncated,
)

pytestmark = pytest.mark.anyio

TOKEN = "hf_fake_0123456789abcdef"
EVENTS = chat_chunks("One two three.")
CHUNKED = {"content-type": "application/json", "transfer-encoding": "chunked"}


def always(steps: list[Step]) -> Handler:
    return lambda _: steps


def endpoint(server: Loopback, **options: Any) -> Client:
    return Client.endpoint(server.url, TOKEN, model="m", **options)


async def seen(server: Loopback, predicate: Callable[[], bool]) -> None:
    await anyio.to_thread.run_sync(lambda: server.wait_until(predicate, timeout=20))


@contextmanager
def no_task_left() -> Iterator[None]:
    """On asyncio, the tasks at the end are those of the beginning; trio sees to that by itself."""
    try:
        before = asyncio.all_tasks()
    except RuntimeError:
        yield
        return
    yield
    assert asyncio.all_tasks() == before


async def failure(steps: list[Step] | Handler, **options: Any) -> HFClientError:
    """What one chat call fails with; afterwards nothing is left."""
    with no_task_left(), Loopback(steps if callable(steps) else always(steps)) as server:
        async with endpoint(server, **options) as client:
            with pytest.raises(HFClientError) as caught:
                await client.chat("hi")
        await seen(server, lambda: server.connections_open == 0)
    return caught.value


async def many(count: int, work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """So many at once; what each came to, its error included."""
    outcomes: list[Any] = []

    async def one() -> None:
        try:
            outcomes.append(await work())
        except HFClientError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return outcomes


@pytest.mark.parametrize("steps", [[Close()], [Reset()]], ids=["closed", "reset"])
async def test_a_server_that_hangs_up_before_it_answers(steps: list[Step]) -> None:
    """A connection that breaks after the request is its own error; the work may be done, so it is not repeated."""
    requests: list[Received] = []

    def handle(request: Received) -> list[Step]:
        requests.append(request)
        return steps

    error = await failure(handle)
    assert type(error) is ConnectionLostError
    assert (error.provider, error.model, error.task) == ("endpoint", "m", "conversational")
    assert len(requests) == 1


@pytest.mark.parametrize("then", [Close(), Reset()], ids=["closed", "reset"])
async def test_an_answer_cut_in_its_body(then: Step) -> None:
    """Half an answer is a lost connection, however it was lost."""
    assert type(await failure(truncated(json_answer(chat_completion()), drop=20, then=then))) is ConnectionLostError


async def test_an_answer_cut_in_its_head() -> None:
    """Half a status line is a lost connection too."""
    assert type(await failure([Send(b"HTTP/1.1 20"), Close()])) is ConnectionLostError


async def test_an_answer_that_is_not_http() -> None:
    """A server that speaks something else is an error of ours, not of h11."""
    assert isinstance(await failure([Send(b"SSH-2.0-OpenSSH_9.0\r\n\r\n"), Close()]), ConnectionLostError)


async def test_a_kept_connection_that_died_meanwhile() -> None:
    """A server that closed an idle connection costs nothing: the next call goes over a new one."""
    with Loopback(always([*json_answer(chat_completion()), Close()])) as server:
        async with endpoint(server, retry=False) as client:
            for _ in range(3):
                assert (await client.chat("hi")).text == "Hello there."
                await seen(server, lambda: server.connections_open == 0)
            assert server.connections_opened == 3


@pytest.mark.parametrize(
    "steps",
    [[HoldUntilClosed()], [Send(head(200, {"content-length": "9"}) + b"{"), HoldUntilClosed()]],
    ids=["before the answer", "in the body"],
)
async def test_a_server_that_falls_silent(steps: list[Step]) -> None:
    """Silence beyond the timeout is an error, before the answer as within its body."""
    error = await failure(steps, timeout=0.1)
    assert type(error) is TimedOutError
    assert "timeout=" in error.advice


async def test_a_trickle_is_stopped_by_the_deadline() -> None:
    """A body that never falls silent never times out; the deadline ends it."""
    drip: list[Step] = [Send(head(200, {"content-length": "99999"}))]
    for _ in range(500):
        drip += [Send(b" "), Pause(0.01)]
    error = await failure(drip, timeout=Timeout(read=3600), deadline=0.2)
    assert isinstance(error, DeadlineError)


async def test_a_port_that_refuses() -> None:
    """Where nobody listens, nothing was sent, and the message says where it was tried."""
    with Loopback(chat()) as server:
        pass
    with no_task_left():
        async with endpoint(server, retry=False) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                await client.chat("hi")
    assert server.url in caught.value.advice


async def test_a_refused_connection_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that could not be made is tried again by default, since nothing was sent."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("hfclient.clock.sleep", sleep)
    with Loopback(chat()) as server:
        pass
    async with endpoint(server) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.chat("hi")
    assert len(pauses) == 1
    assert [attempt.error for attempt in caught.value.attempts] == ["ConnectionFailedError"] * 2


def plain_server() -> tuple[socket.socket, threading.Thread]:
    """A port that answers whatever comes first with a few words in plain text."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=answer_once)
    thread.start()
    return listener, thread


async def test_tls_to_a_port_without_it() -> None:
    """https to a port that speaks plain http is a connection that failed, with httpx's own error as its cause."""
    listener, thread = plain_server()
    with no_task_left(), listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with Client.endpoint(url, TOKEN, model="m", retry=False) as client:
            with pytest.raises(ConnectionFailedError) as caught:
                await client.chat("hi")
        await anyio.to_thread.run_sync(thread.join)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


async def test_tls_to_a_port_that_says_nothing() -> None:
    """A handshake that is never answered is a connection that could not be made in time."""
    with no_task_left(), Loopback(chat()) as server:
        url = server.url.replace("http", "https")
        async with Client.endpoint(url, TOKEN, model="m", retry=False, timeout=Timeout(connect=0.1)) as client:
            with pytest.raises(ConnectionFailedError, match="within"):
                await client.chat("hi")
        await seen(server, lambda: server.connections_open == 0)


async def test_certificates_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable that names certificates which are not there is the caller's to mend, and the message names it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with Client.endpoint("https://localhost:1", TOKEN, model="m") as client:
        with pytest.raises(InputError) as caught:
            await client.chat("hi")
    assert "SSL_CERT_FILE" in caught.value.advice


async def test_the_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls come first, the certificates are read by one of them."""
    read: list[ssl.SSLContext] = []
    create = httpx.create_ssl_context

    def counted() -> ssl.SSLContext:
        read.append(create())
        return read[-1]

    monkeypatch.setattr("httpx.create_ssl_context", counted)
    with Loopback(chat()) as server:
        async with endpoint(server) as client:
            await many(20, lambda: client.chat("hi"))
    assert len(read) == 1


async def test_a_host_nobody_knows() -> None:
    """A name that does not resolve is a connection that failed."""
    async with Client.endpoint("http://nobody.invalid", TOKEN, model="m", retry=False) as client:
        with pytest.raises(ConnectionFailedError):
            await client.chat("hi")


def chunked_error(status: int, body: bytes) -> list[Step]:
    half = len(body) // 2
    pieces = [body[:half], body[half:]]
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return [Send(head(status, CHUNKED) + sent + b"0\r\n\r\n")]


async def test_refused_streams_leave_no_connection_in_use() -> None:
    """A hundred streams refused with streamed error bodies all have the server's words and share few connections."""
    body = json.dumps({"error": {"message": "slow down", "code": "rate"}}).encode()
    with no_task_left(), Loopback(always(chunked_error(429, body))) as server:
        async with endpoint(server, max_connections=2, retry=False) as client:
            outcomes = await many(100, lambda: client.chat.stream("hi").final())
            assert {(type(error), error.code) for error in outcomes} == {(RateLimitError, "rate")}
            assert all("slow down" in error.message for error in outcomes)
            assert server.connections_opened <= 2
        await seen(server, lambda: server.connections_open == 0)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        (sse_answer([EVENTS[0], {"error": "boom"}]), StreamFailedError),
        (sse_answer(EVENTS[:1], done=False, finish=[Close()]), TruncatedStreamError),
        (sse_answer(EVENTS[:1], done=False, finish=[Reset()]), TruncatedStreamError),
        (sse_answer([EVENTS[0], {"error": "boom"}], done=False, finish=[HoldUntilClosed()]), StreamFailedError),
        (json_answer({"error": "no streams here"}), ResponseError),
    ],
    ids=["error event", "closed", "reset", "error event, held open", "no stream"],
)
async def test_broken_streams_leave_no_connection_in_use(steps: list[Step], kind: type[HFClientError]) -> None:
    """A hundred streams that break do so one after another over two places: each gives its place back."""
    with no_task_left(), Loopback(always(steps)) as server:
        async with endpoint(server, max_connections=2) as client:
            outcomes = await many(100, lambda: client.chat.stream("hi").final())
            assert all(isinstance(error, kind) for error in outcomes)
            assert len(outcomes) == 100
        await seen(server, lambda: server.connections_open == 0)


async def test_streams_never_iterated_hold_nothing() -> None:
    """Two hundred streams made and never read take no connection, and the client still works."""
    with no_task_left(), Loopback(chat()) as server:
        async with endpoint(server, max_connections=2) as client:
            held = [client.chat.stream("hi") for _ in range(200)]
            assert (await client.chat("hi")).text == "Hello there."
            assert len(server.requests) == 1
            del held
        await seen(server, lambda: server.connections_open == 0)


@pytest.mark.parametrize("leave", ["closed", "dropped", "left in a loop"])
async def test_streams_opened_and_left_free_their_places(leave: str) -> None:
    """Two hundred streams that are opened and left early, one way or another, never use up two places."""
    with no_task_left(), Loopback(always(sse_answer(EVENTS[:1], done=False, finish=[HoldUntilClosed()]))) as server:
        async with endpoint(server, max_connections=2) as client:
            for _ in range(200):
                stream = client.chat.stream("hi")
                if leave == "left in a loop":
                    async for _ in stream:
                        break
                    continue
                await stream.open()
                if leave == "closed":
                    await stream.aclose()
                del stream
            await seen(server, lambda: server.connections_open == 0)
        assert len(server.requests) == 200


async def test_three_hundred_calls_at_once() -> None:
    """Calls are not queued behind a hundred connections: all are in flight at once, and all are answered."""
    in_flight: list[int] = []

    def handle(_: Received) -> Iterator[Step]:
        in_flight.append(server.connections_open)
        yield Pause(0.5)
        yield from json_answer(chat_completion())

    with no_task_left(), Loopback(handle) as server:
        async with endpoint(server) as client:
            replies = await many(300, lambda: client.chat("hi"))
            assert [reply.text for reply in replies] == ["Hello there."] * 300
        await seen(server, lambda: server.connections_open == 0)
    assert max(in_flight) > 100


async def test_connections_stay_within_the_limit() -> None:
    """A thousand calls over at most fifty connections never open a fifty-first, and all are answered."""
    most = 0

    def handle(_: Received) -> list[Step]:
        nonlocal most
        most = max(most, server.connections_open)
        return json_answer(chat_completion())

    with no_task_left(), Loopback(handle) as server:
        async with endpoint(server, max_connections=50) as client:
            replies = await many(1000, lambda: client.chat("hi"))
            assert {reply.text for reply in replies} == {"Hello there."}
            assert len(server.requests) == 1000
        await seen(server, lambda: server.connections_open == 0)
    assert most <= 50


async def test_waiting_too_long_for_a_place() -> None:
    """With every connection in use, a call waits as long as `pool` allows, and says what would help."""
    with no_task_left(), Loopback(always([HoldUntilClosed()])) as server:
        client = endpoint(server, max_connections=1, timeout=Timeout(pool=0.05))
        async with client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.chat, "hi")
            await seen(server, lambda: len(server.requests) == 1)
            with pytest.raises(TimedOutError, match="connection") as caught:
                await client.chat("hi")
            assert "max_connections" in caught.value.advice
            tasks.cancel_scope.cancel()
        await seen(server, lambda: server.connections_open == 0)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole answers", "streams"])
async def test_cancelling_two_hundred_calls(streamed: bool) -> None:
    """Two hundred calls cancelled in flight close their connections at once, and the client goes on working."""
    waiting = sse_answer(EVENTS[:1], done=False, finish=[HoldUntilClosed()]) if streamed else [HoldUntilClosed()]
    answers = [waiting]

    async def call() -> None:
        await (client.chat.stream("hi").final() if streamed else client.chat("hi"))

    with no_task_left(), Loopback(lambda _: answers[0]) as server:
        async with endpoint(server) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(200):
                    tasks.start_soon(call)
                await seen(server, lambda: len(server.requests) == 200)
                tasks.cancel_scope.cancel()
            await seen(server, lambda: server.connections_open == 0)
            answers[0] = json_answer(chat_completion())
            assert (await client.chat("hi")).text == "Hello there."
        await seen(server, lambda: server.connections_open == 0)


def test_cancelling_the_tasks_of_asyncio() -> None:
    """asyncio's own cancellation, which strikes once and not again, closes connections as well."""

    async def main() -> None:
        async with endpoint(server) as client:
            tasks = [asyncio.ensure_future(client.chat.stream("hi").final()) for _ in range(20)]
            await seen(server, lambda: len(server.requests) == 20)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
            await seen(server, lambda: server.connections_open == 0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with Loopback(always(sse_answer(EVENTS[:1], done=False, finish=[HoldUntilClosed()]))) as server:
        asyncio.run(main())


@pytest.mark.parametrize("when", ["opening", "reading", "waiting to retry"])
async def test_a_cancelled_call_is_cancelled_not_failed(when: str) -> None:
    """Cancellation passes through every await of a call unchanged, and nothing of the call is left."""
    steps: dict[str, list[Step]] = {
        "opening": [HoldUntilClosed()],
        "reading": [Send(head(200, {"content-length": "9"}) + b"{"), HoldUntilClosed()],
        "waiting to retry": json_answer({"error": "loading"}, status=503, headers={"retry-after": "20"}),
    }
    outcomes: list[str] = []
    with no_task_left(), Loopback(always(steps[when])) as server:
        async with endpoint(server) as client, anyio.create_task_group() as tasks:

            async def call() -> None:
                try:
                    await client.chat("hi")
                except BaseException as error:
                    outcomes.append(type(error).__name__)
                    raise

            tasks.start_soon(call)
            await seen(server, lambda: len(server.requests) == 1)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await seen(server, lambda: server.connections_open == 0)
    assert outcomes in (["Cancelled"], ["CancelledError"])


def test_one_client_in_one_loop_after_another() -> None:
    """A client that was never closed works in the next event loop, and each loop's connections end with it."""

    async def call() -> str:
        return (await client.chat("hi")).text

    with Loopback(chat()) as server:
        client = endpoint(server)
        for backend in ("asyncio", "trio", "asyncio"):
            assert anyio.run(call, backend=backend) == "Hello there."
            server.wait_until(lambda: server.connections_open == 0)
        assert server.connections_opened == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_held_when_its_loop_ends(backend: str) -> None:
    """A stream that outlives its event loop keeps no connection, and being dropped then does no harm."""

    async def main() -> None:
        stream = client.chat.stream("hi")
        await stream.open()
        held.append(stream)

    held: list[Any] = []
    with Loopback(always(sse_answer(EVENTS[:1], done=False, finish=[HoldUntilClosed()]))) as server:
        client = endpoint(server)
        anyio.run(main, backend=backend)
        server.wait_until(lambda: server.connections_open == 0)
        held.clear()
        gc.collect()


# On trio it may be too late even for closing; then trio finds httpx's generators itself, and remarks on it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_dropped_as_the_last_thing_its_loop_sees(backend: str) -> None:
    """A stream dropped on the way out of the loop is closed with the loop, without a word."""

    async def main() -> None:
        stream = client.chat.stream("hi")
        async for _ in stream:
            break

    with Loopback(always(sse_answer(EVENTS[:1], done=False, finish=[HoldUntilClosed()]))) as server:
        client = endpoint(server)
        anyio.run(main, backend=backend)
        server.wait_until(lambda: server.connections_open == 0)
        gc.collect()


async def test_finished_streams_leave_no_memory() -> None:
    """What a finished stream held is freed: hundreds of them leave next to nothing behind."""
    steps = [step for step in sse_answer(EVENTS, events_per_chunk=10) if isinstance(step, Send)]
    with Loopback(always([Send(b"".join(step.data for step in steps))])) as server:
        async with endpoint(server) as client:

            async def run(count: int) -> None:
                for _ in range(count):
                    await client.chat.stream("hi").final()
                server.requests.clear()
                gc.collect()

            await run(30)
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                await run(300)
                retained = (tracemalloc.get_traced_memory()[0] - before) / 300
            finally:
                tracemalloc.stop()
    assert retained < 500


async def test_a_retried_call_uses_one_place() -> None:
    """A refused try has given its connection back before the next begins."""
    refused = answer(b"{}", status=500)
    answers = [refused, refused, json_answer(chat_completion())]
    retry = Retry(attempts=3, statuses={500}, longest_wait=0)
    with Loopback(lambda _: [*answers.pop(0)]) as server:
        async with endpoint(server, max_connections=1, retry=retry, timeout=5) as client:
            assert len((await client.chat("hi")).meta.attempts) == 3
            assert server.connections_opened == 1


async def test_a_huge_error_page_is_not_read_to_its_end() -> None:
    """An error whose body has no end is answered with its beginning, and the connection is closed."""
    page = [Send(head(422, {"content-type": "text/plain", "content-length": str(10**9)}))]
    with Loopback(always([*page, Send(b"too long: " + b"x" * 2**21), HoldUntilClosed()])) as server:
        async with endpoint(server) as client:
            with pytest.raises(BadRequestError, match="too long"):
                await client.chat("hi")
            await seen(server, lambda: server.connections_open == 0)


async def test_an_error_sent_as_a_stream() -> None:
    """A refusal that comes as a stream of events, as some servers send it, still has its words read."""
    body = frame({"error": {"message": "no capacity", "code": "busy"}})
    with Loopback(always(answer(body, status=429, headers={"content-type": "text/event-stream"}))) as server:
        async with endpoint(server) as client:
            with pytest.raises(RateLimitError, match="no capacity"):
                await client.chat.stream("hi").final()


OUT_OF_FILES = """
import os, resource, sys
import anyio
from hfclient import Client
from hfclient.errors import ConnectionFailedError

async def main():
    async with Client.endpoint("http://127.0.0.1:1", "hf_fake_0123456789", model="m", transport=sys.argv[2]) as client:
        async def fails():
            try:
                await client.chat("hi")
            except ConnectionFailedError as error:
                print("failed:", error.message)
        if sys.argv[3] == "used":
            await fails()
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            await fails()
        for file in held:
            os.close(file)

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("state", ["new", "used"])
@pytest.mark.parametrize(("anyio_backend", "kind"), [("asyncio", "httpx"), ("trio", "httpx"), ("asyncio", "aiohttp")])
async def test_a_process_without_files_left(anyio_backend: str, kind: str, state: str) -> None:
    """Where no file can be opened, the connection was not made, and nothing else comes up: retries need no file."""
    command = [sys.executable, "-c", OUT_OF_FILES, anyio_backend, kind, state]
    done = await anyio.run_process(command, check=False)
    said = done.stdout.decode().splitlines()
    assert (done.returncode, len(said)) == (0, 2 if state == "used" else 1), done.stderr.decode()[-2000:]
    assert all(line.startswith("failed:") for line in said)

"""The loopback server does what its steps say, as a bare HTTP client sees it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.loopback import (
    Close,
    HoldUntilClosed,
    Loopback,
    Pause,
    Received,
    Reset,
    Send,
    Step,
    answer,
    by_path,
    chat,
    chat_chunks,
    chat_completion,
    hub,
    json_answer,
    sse_answer,
    take_request,
    truncated,
    videos,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = b"".join(b"data: %b\n\n" % json.dumps({"n": n}, separators=(",", ":")).encode() for n in range(3))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


def broken_server() -> Loopback:
    return Loopback(lambda _: json_answer(1 / 0))


def test_it_answers_and_remembers_what_was_asked(client: httpx.Client) -> None:
    """A request is answered as the handler says and recorded whole, with its header names in lower case."""
    with Loopback(
        lambda request: json_answer({"path": request.path}, status=429, headers={"Retry-After": "3"})
    ) as server:
        reply = client.post(f"{server.url}/v1/chat?a=b", json={"model": "m"}, headers={"X-Thing": "1"})
    assert (reply.status_code, reply.json(), reply.headers["retry-after"]) == (429, {"path": "/v1/chat"}, "3")
    (seen,) = server.requests
    assert (seen.method, seen.target, seen.headers["x-thing"], seen.json()) == (
        "POST",
        "/v1/chat?a=b",
        "1",
        {"model": "m"},
    )


def test_a_chunked_request_body_arrives_whole(client: httpx.Client) -> None:
    """A body sent in chunks is put together again."""
    with Loopback(lambda request: answer(request.body)) as server:
        assert client.post(server.url, content=iter([b"one ", b"two"])).content == b"one two"
    assert server.requests[0].headers["transfer-encoding"] == "chunked"


def test_a_connection_is_kept_and_counted(client: httpx.Client) -> None:
    """Calls one after another share a connection, which is live until the client closes it."""
    with Loopback(lambda _: json_answer({})) as server:
        client.get(server.url)
        client.get(server.url)
        assert (server.connections_opened, server.connections_open) == (1, 1)
        client.close()
        server.wait_until(lambda: server.connections_open == 0)
    assert [request.connection for request in server.requests] == [1, 1]


def test_a_client_that_wants_no_second_call_is_hung_up_on(client: httpx.Client) -> None:
    """`Connection: close` is obeyed."""
    with Loopback(lambda _: json_answer({})) as server:
        client.get(server.url, headers={"connection": "close"})
        client.get(server.url, headers={"connection": "close"})
    assert [request.connection for request in server.requests] == [1, 2]


def test_waiting_for_what_never_comes_ends() -> None:
    """A predicate that does not come true is a TimeoutError, not a test that hangs."""
    with Loopback(lambda _: []) as server, pytest.raises(TimeoutError, match="0 connections, 0 requests"):
        server.wait_until(lambda: False, timeout=0.01)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_arrives_as_it_was_given(client: httpx.Client, *, chunked: bool) -> None:
    """Events come out as frames, with the closing one, whether the body is chunked or ends with the connection."""
    steps = sse_answer([{"n": 0}, {"n": 1}, b'data: {"n":2}\n\n'], chunked=chunked)
    with Loopback(lambda _: steps) as server:
        assert client.get(server.url).content == FRAMES + b"data: [DONE]\n\n"


@pytest.mark.parametrize(("per_chunk", "per_write", "writes"), [(1, 1, 4), (2, 1, 2), (1, 4, 1), (2, 2, 1)])
def test_frames_are_grouped_as_asked(client: httpx.Client, per_chunk: int, per_write: int, writes: int) -> None:
    """The grouping changes the writes and the chunks, never the bytes within."""
    events = [{"n": n} for n in range(3)]
    steps = sse_answer(events, pause=0.001, events_per_chunk=per_chunk, chunks_per_write=per_write)
    assert sum(isinstance(step, Pause) for step in steps) == writes
    with Loopback(lambda _: steps) as server:
        assert client.get(server.url).content == FRAMES + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([Close()], httpx.RemoteProtocolError),
        ([Reset()], httpx.ReadError),
        ([Send(b"HTTP/1.1 2"), Close()], httpx.RemoteProtocolError),
        (truncated(json_answer({"a": 1}), drop=3), httpx.RemoteProtocolError),
        (truncated(json_answer({"a": 1}), drop=3, then=Reset()), httpx.ReadError),
        (sse_answer([{"n": 0}], finish=[Close()]), httpx.RemoteProtocolError),
        (sse_answer([{"n": 0}], finish=[Pause(0.05), Reset()]), httpx.ReadError),
    ],
)
def test_a_fault_reaches_the_client(client: httpx.Client, steps: list[Step], error: type[httpx.HTTPError]) -> None:
    """A connection that ends before its answer does is an error, of a kind that tells a close from a reset."""
    with Loopback(lambda _: steps) as server, pytest.raises(error):
        client.get(server.url)


def test_a_held_connection_stays_until_the_client_leaves(client: httpx.Client) -> None:
    """A stall ends when the client hangs up, and the server notices."""
    with Loopback(lambda _: sse_answer([{"n": 0}], finish=[HoldUntilClosed()])) as server:
        with client.stream("GET", server.url) as reply:
            pieces = reply.iter_raw()
            assert next(pieces) == b'data: {"n":0}\n\n'
            assert server.connections_open == 1
        server.wait_until(lambda: server.connections_open == 0)


def test_leaving_during_a_pause_ends_it(client: httpx.Client) -> None:
    """A client that gives up frees its connection although the answer is still minutes away."""
    with Loopback(chat(delay=600)) as server:
        with pytest.raises(httpx.ReadTimeout):
            client.post(server.url, json={}, timeout=0.05)
        server.wait_until(lambda: server.connections_open == 0)
        assert server.failures == []


def test_stopping_ends_what_is_still_held() -> None:
    """The server does not wait for clients when it stops, and afterwards nobody answers at its address."""
    with Loopback(lambda _: [HoldUntilClosed()]) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        held = socket.create_connection((host, int(port)))
        server.wait_until(lambda: server.connections_open == 1)
    assert server.connections_open == 0
    held.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_a_broken_handler_fails_the_test(client: httpx.Client) -> None:
    """An error in a handler hangs up on the client and is raised where the server is closed."""
    with pytest.raises(ZeroDivisionError), broken_server() as server, pytest.raises(httpx.TransportError):
        client.get(server.url)


def test_a_handler_that_breaks_after_a_pause_fails_the_test_too(client: httpx.Client) -> None:
    """A handler may be a generator, and its late errors are not lost."""

    def handler(_: Received) -> Iterator[Step]:
        yield Pause(0.001)
        raise LookupError

    with pytest.raises(LookupError), Loopback(handler) as server, pytest.raises(httpx.TransportError):
        client.get(server.url)


def test_the_test_s_own_error_is_not_hidden(client: httpx.Client) -> None:
    """When both fail, the client's error is raised, with a note about the handler's."""
    with pytest.raises(httpx.RemoteProtocolError) as caught, broken_server() as server:
        client.get(server.url)
    assert "ZeroDivisionError" in caught.value.__notes__[0]


def test_the_hub_tells_a_model_s_mapping(client: httpx.Client) -> None:
    """Any model has the mapping, and other paths lead elsewhere."""
    mapping = {"groq": {"status": "live", "providerId": "g/m", "task": "conversational"}}
    with Loopback(by_path({"/api/": hub(mapping), "/v1/": chat()})) as server:
        found = client.get(f"{server.url}/api/models/org/m?expand[]=inferenceProviderMapping").json()
        assert (found["id"], found["inferenceProviderMapping"]) == ("org/m", mapping)
        assert client.get(f"{server.url}/api/models/").status_code == httpx.codes.NOT_FOUND
        assert client.get(f"{server.url}/elsewhere").status_code == httpx.codes.NOT_FOUND
        assert client.post(f"{server.url}/v1/chat/completions", json={}).json() == chat_completion()


@pytest.mark.parametrize(("seconds", "status", "files"), [(0.0, "completed", 1), (1e9, "processing", 0)])
def test_a_film_is_ready_in_its_time(client: httpx.Client, seconds: float, status: str, files: int) -> None:
    """A film is begun, asked after where the answer says, and fetched once it is ready; others are not known."""
    with Loopback(videos(seconds=seconds)) as server:
        begun = client.post(f"{server.url}/wavespeed/api/v3/film", json={"prompt": "a cat"}).json()["data"]
        told = client.get(begun["urls"]["get"]).json()["data"]
        assert (told["id"], told["status"], len(told["outputs"])) == (begun["id"], status, files)
        for url in told["outputs"]:
            assert client.get(url).headers["content-type"] == "video/mp4"
        assert client.get(f"{server.url}/api/v3/predictions/7/result").status_code == 404
        assert "wavespeed" in client.get(f"{server.url}/api/models/org/model").json()["inferenceProviderMapping"]


def test_a_chat_model_streams_when_asked(client: httpx.Client) -> None:
    """One path serves both forms, and the chunks spell the text."""
    with Loopback(chat()) as server:
        lines = client.post(server.url, json={"stream": True}).text.split("\n\n")
    assert lines == [f"data: {json.dumps(chunk, separators=(',', ':'))}" for chunk in chat_chunks()] + [
        "data: [DONE]",
        "",
    ]


@given(st.text(st.characters(codec="utf-8")))
def test_chunks_spell_their_text(text: str) -> None:
    """Put together, the chunks are the text, and exactly one of them ends it."""
    choices = [chunk["choices"][0] for chunk in chat_chunks(text)]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == text
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]


@given(bodies=st.lists(st.binary(min_size=1), max_size=4), cut=st.integers(0, 400), trailers=st.booleans())
def test_a_request_may_be_split_anywhere(bodies: list[bytes], cut: int, *, trailers: bool) -> None:
    """A request is taken once it is whole, wherever the network cut it, and what follows it is left alone."""
    chunks = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(body), body) for body in bodies)
    head = b"POST / HTTP/1.1\r\nA: 1\r\na: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire = head + chunks + b"0\r\n" + (b"Sum: 1\r\n" if trailers else b"") + b"\r\n"
    buffer = bytearray(wire[: min(cut, len(wire) - 1)])
    assert take_request(buffer) is None
    buffer += wire[len(buffer) :] + b"GET"
    taken = take_request(buffer)
    assert taken is not None
    assert (taken.body, taken.headers["a"], bytes(buffer)) == (b"".join(bodies), "1, 2", b"GET")


def test_it_runs_as_its_own_process(client: httpx.Client) -> None:
    """The process prints its address first, serves chat there, and ends with the one that started it."""
    command = [sys.executable, "-m", "tests.loopback", "--words", "3", "--until-stdin-closes"]
    here = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert client.post(url, json={}).json() == chat_completion()
        assert client.post(url, json={"stream": True}).text.count('"content":') == 3
        process.communicate()
    assert process.returncode == 0

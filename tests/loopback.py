"""A scriptable HTTP/1.1 server on 127.0.0.1, for the faults that only a real socket can have.

    with Loopback(lambda request: json_answer(chat_completion("hi"))) as server:
        httpx.post(f"{server.url}/v1/chat/completions", json={})

A handler turns a request into steps: bytes to send, pauses, ways to hang up. The server runs in its own thread, so its
clients may be on asyncio, on trio or on neither. `python -m tests.loopback` runs it in its own process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeAlias, assert_never, cast

if TYPE_CHECKING:
    from types import TracebackType

REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
BACKLOG = 1024
NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes, as they are."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds; what was sent before has left."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HoldUntilClosed:
    """Say nothing more, and keep the connection until the client hangs up."""


@dataclass(frozen=True, slots=True)
class Close:
    """Hang up properly, once everything is sent."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Hang up with a TCP reset."""


Step: TypeAlias = Send | Pause | HoldUntilClosed | Close | Reset
Steps: TypeAlias = Iterable[Step]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names are in lower case, connections are counted from 1."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def json(self) -> Any:
        return json.loads(self.body)


Handler: TypeAlias = Callable[[Received], Steps]


class Loopback:
    """The server, as a context manager; what it saw can be read while it runs and afterwards."""

    def __init__(self, handler: Handler, *, port: int = 0) -> None:
        self.handler = handler
        self.requests: list[Received] = []
        self.connections_opened = 0
        self.live: set[_Connection] = set()
        self.failures: list[BaseException] = []
        self._port = port

    @property
    def connections_open(self) -> int:
        return len(self.live)

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 5.0) -> None:
        """Block this thread until the predicate holds; under an event loop, call it through `anyio.to_thread`."""
        end = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > end:
                msg = f"not so within {timeout} s; {self.connections_open} connections, {len(self.requests)} requests"
                raise TimeoutError(msg)
            time.sleep(0.002)

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=BACKLOG)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._note_failure)
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="loopback", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self.failures and error is None:
            raise self.failures[0]
        if self.failures and error is not None:
            error.add_note(f"The loopback server failed too: {self.failures[0]!r}")

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        server = await self._loop.create_server(self._connection, sock=listener, backlog=BACKLOG)
        await self._stop.wait()
        server.close()
        for _ in range(3):  # a connection accepted just now becomes known a few turns of the loop later
            await asyncio.sleep(0)
        # Those that are being accepted are tasks of the loop; an abort too is done a turn later.
        while self.live or len(asyncio.all_tasks()) > 1:
            for connection in list(self.live):
                connection.transport.abort()
            await asyncio.sleep(0)

    def _connection(self) -> _Connection:
        self.connections_opened += 1
        return _Connection(self, self.connections_opened)

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context.get("exception") or RuntimeError(context["message"]))


class _Connection(asyncio.Protocol):
    """One connection: takes a request, plays the handler's steps, takes the next."""

    transport: asyncio.Transport

    def __init__(self, server: Loopback, number: int) -> None:
        self._server = server
        self._number = number
        self._buffer = bytearray()
        self._steps: Iterator[Step] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # asyncio does this itself only where it made the listener; without it, an answer in pieces takes 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._server.live.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take_next()

    def _take_next(self) -> None:
        if self._steps is not None:
            return
        request = take_request(self._buffer, self._number)
        if request is None:
            return
        self._server.requests.append(request)
        self._last = request.headers.get("connection", "").lower() == "close"
        self._steps = iter(self._server.handler(request))
        self._play()

    def _play(self) -> None:
        # asyncio hangs up after an error while reading, but not after one in a timer.
        try:
            self._take_steps()
        except BaseException:
            self.transport.abort()
            raise

    def _take_steps(self) -> None:
        for step in self._steps or ():
            match step:
                case Send(data):
                    self.transport.write(data)
                case Pause(seconds):
                    self._pause = asyncio.get_running_loop().call_later(seconds, self._play)
                    return
                case HoldUntilClosed():
                    return
                case Close():
                    self.transport.close()
                    return
                case Reset():
                    self._reset()
                    return
                case _:
                    assert_never(step)
        self._steps = None
        if self._last:
            self.transport.close()
        elif self._buffer:
            self._take_next()

    def _reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()


def take_request(buffer: bytearray, connection: int = 1) -> Received | None:
    """Take one whole request off the front of the buffer, or leave the buffer alone."""
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    first, *lines = buffer[:head_end].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = (part.strip() for part in line.partition(":"))
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    if headers.get("transfer-encoding", "").lower() == "chunked":
        found = _chunked_body(buffer, head_end + 4)
    else:
        found = _sized_body(buffer, head_end + 4, int(headers.get("content-length", 0)))
    if found is None:
        return None
    body, end = found
    del buffer[:end]
    return Received(method, target, headers, body, connection)


def _sized_body(buffer: bytearray, start: int, size: int) -> tuple[bytes, int] | None:
    end = start + size
    return (bytes(buffer[start:end]), end) if len(buffer) >= end else None


def _chunked_body(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    pieces: list[bytes] = []
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].partition(b";")[0], 16)
        if size == 0:
            return _after_trailers(buffer, line_end, b"".join(pieces))
        start = line_end + 2 + size + 2
        if len(buffer) < start:
            return None
        pieces.append(bytes(buffer[line_end + 2 : start - 2]))
    return None


def _after_trailers(buffer: bytearray, line_end: int, body: bytes) -> tuple[bytes, int] | None:
    # With no trailer the last chunk's line end and the empty line's are neighbours; with some, they enclose them.
    end = buffer.find(b"\r\n\r\n", line_end)
    return (body, end + 4) if end >= 0 else None


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A status line and headers, up to and including the empty line."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}", "x-request-id: req-loopback"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> list[Step]:
    """Any body, whole, with its length."""
    return [Send(head(status, {"content-length": str(len(body)), **(headers or {})}) + body)]


def json_answer(payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> list[Step]:
    body = json.dumps(payload).encode()
    return answer(body, status=status, headers={"content-type": "application/json", **(headers or {})})


def sse_answer(
    events: Iterable[object],
    *,
    done: bool = True,
    chunked: bool = True,
    pause: float = 0,
    headers: Mapping[str, str] | None = None,
    events_per_chunk: int = 1,
    chunks_per_write: int = 1,
    finish: Sequence[Step] | None = None,
) -> list[Step]:
    """A stream of server-sent events; bytes go out as they are, anything else as the JSON of a `data:` frame.

    `pause` comes after every write. `finish` takes the place of the body's proper end: `[Close()]` cuts the stream
    after its last event, `[Reset()]` breaks it, `[HoldUntilClosed()]` stalls it.
    """
    frames = [event if isinstance(event, bytes) else frame(event) for event in events]
    frames += [b"data: [DONE]\n\n"] if done else []
    bodies = [b"".join(group) for group in _groups(frames, events_per_chunk)]
    pieces = [b"%x\r\n%b\r\n" % (len(body), body) for body in bodies] if chunked else bodies
    framing = {"transfer-encoding": "chunked"} if chunked else {"connection": "close"}
    steps: list[Step] = [Send(head(200, {"content-type": "text/event-stream", **framing, **(headers or {})}))]
    for group in _groups(pieces, chunks_per_write):
        steps.append(Send(b"".join(group)))
        if pause:
            steps.append(Pause(pause))
    proper_end: list[Step] = [Send(b"0\r\n\r\n")] if chunked else [Close()]
    return [*steps, *(proper_end if finish is None else finish)]


def frame(payload: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(payload, separators=(",", ":")).encode()


def truncated(steps: Steps, *, drop: int, then: Step | None = None) -> list[Step]:
    """The same answer without its last `drop` bytes; then the connection is closed, or what `then` says."""
    kept: list[Step] = []
    for step in reversed([step for step in steps if not isinstance(step, Close)]):
        if isinstance(step, Send):
            cut = min(drop, len(step.data))
            drop -= cut
            kept.append(Send(step.data[: len(step.data) - cut]))
        else:
            kept.append(step)
    return [*reversed(kept), then or Close()]


def _groups(items: Sequence[bytes], size: int) -> Iterator[list[bytes]]:
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def chat_completion(text: str = "Hello there.", **fields: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "Qwen/Qwen3-32B",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        **fields,
    }


def chat_chunks(text: str = "Hello there.", **fields: object) -> list[dict[str, Any]]:
    """The text word by word, each in a chunk of the size providers send; the last carries the finish reason."""
    words = re.findall(r"\S+\s*|\s+", text)
    return [
        *(_chat_chunk({"role": "assistant", "content": word}, None, fields) for word in words),
        _chat_chunk({}, "stop", fields),
    ]


def _chat_chunk(delta: dict[str, Any], finish_reason: str | None, fields: dict[str, object]) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-loopback-5f0c2b7d",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "Qwen/Qwen3-32B",
        "system_fingerprint": "fp_loopback",
        "choices": [choice],
        **fields,
    }


def not_found(_: Received) -> list[Step]:
    return json_answer({"error": "Not found"}, status=404)


def by_path(handlers: Mapping[str, Handler]) -> Handler:
    """The first handler whose prefix the path has, or 404."""

    def handle(request: Received) -> Steps:
        found = next((handler for prefix, handler in handlers.items() if request.path.startswith(prefix)), not_found)
        return found(request)

    return handle


def hub(mapping: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Handler:
    """The Hub, where every model has this `inferenceProviderMapping`, in either of its two forms."""

    def handle(request: Received) -> Steps:
        prefix, model = request.path[:12], request.path[12:]
        if prefix != "/api/models/" or not model:
            return not_found(request)
        return json_answer({"_id": "loopback", "id": model, "inferenceProviderMapping": mapping})

    return handle


def chat(*, delay: float = 0, stream: Steps | None = None) -> Handler:
    """A chat model: one answer after `delay`, or the stream where the request asks for one."""
    whole: list[Step] = [*([Pause(delay)] if delay else []), *json_answer(chat_completion())]
    streamed = list(stream or sse_answer(chat_chunks()))
    return lambda request: streamed if request.json().get("stream") else whole


FILM = b"\0\0\0\x18ftypisom" + bytes(64 * 1024)


def videos(*, seconds: float = 1.0) -> Handler:
    """WaveSpeed's queue, where every film takes so many seconds, its files, and a Hub that knows of it."""
    begun: dict[str, float] = {}
    live = {"status": "live", "providerId": "film", "task": "text-to-video"}

    def prediction(request: Received) -> Steps:
        if request.method == "POST":
            name = str(len(begun))
            begun[name] = time.monotonic()
        else:
            name = request.path.split("/")[-2]
        if name not in begun:
            return not_found(request)
        here = f"http://{request.headers['host']}"
        done = time.monotonic() - begun[name] >= seconds
        told = {"id": name, "urls": {"get": f"{here}/api/v3/predictions/{name}/result"}, "error": ""}
        outputs = [f"{here}/files/{name}.mp4"] if done else []
        data = {**told, "status": "completed" if done else "processing", "outputs": outputs}
        return json_answer({"code": 200, "message": "success", "data": data})

    film = answer(FILM, headers={"content-type": "video/mp4"})
    return by_path({"/api/models/": hub({"wavespeed": live}), "/files/": lambda _: film, "/": prediction})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.loopback", description="Its first line is its address.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--serve", choices=["chat", "videos"], default="chat")
    parser.add_argument("--delay", type=float, default=0, help="seconds before a whole answer, or that a film takes")
    parser.add_argument("--words", type=int, default=50, help="chunks in a streamed answer")
    parser.add_argument("--pause", type=float, default=0, help="seconds after each write of a stream")
    parser.add_argument("--events-per-chunk", type=int, default=1)
    parser.add_argument("--chunks-per-write", type=int, default=1)
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    options = parser.parse_args(arguments)
    stream = sse_answer(
        chat_chunks("hello " * options.words),
        pause=options.pause,
        events_per_chunk=options.events_per_chunk,
        chunks_per_write=options.chunks_per_write,
    )
    serve = videos(seconds=options.delay) if options.serve == "videos" else chat(delay=options.delay, stream=stream)
    with Loopback(serve, port=options.port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        if options.until_stdin_closes:
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()

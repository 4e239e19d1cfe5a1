"""A server in a thread that keeps nothing: it takes bodies of any size, and gives files of any size.

    with Drain() as server:
        httpx.post(server.url, content=stream)
        assert server.taken[0].size == 500_000_000

A body is read, counted, digested and dropped. `stop_after` has it read so many bytes of a body and no more until
`go_on` is set: only then can it see that the other side has hung up, for that comes after what piled up.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Taken:
    """A request as far as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    size: int = 0
    digest: str = ""
    beginning: bytes = field(default=b"", repr=False)
    whole: bool = False

    @property
    def announced(self) -> int:
        return int(self.headers.get("content-length", 0))


@dataclass
class Drain:
    """`answers` says what to send for a request once its body has come, or once `stop_after` bytes of it have."""

    answers: Callable[[Taken], Iterable[bytes]] = lambda _: [OK]
    stop_after: int | None = None
    on_bytes: Callable[[Taken], None] = lambda _: None
    taken: list[Taken] = field(default_factory=list[Taken])
    connections_opened: int = 0
    connections_open: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="drain", daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.go_on.set()
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10.0) -> None:
        """Block this thread until the predicate holds; under an event loop, call it through `anyio.to_thread`."""
        end = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > end:
                raise TimeoutError(f"not so within {timeout} s: {self.connections_open} open, {self.taken}")
            time.sleep(0.002)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                self.connections_opened += 1
                self.connections_open += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with suppress(OSError), connection:
                while (request := self._request(connection)) is not None:
                    for part in self.answers(request):
                        connection.sendall(part)
                    if not request.whole:
                        self.go_on.wait()
                        while connection.recv(2**18):
                            pass
                        return
        finally:
            self.connections_open -= 1

    def _request(self, connection: socket.socket) -> Taken | None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(1)
            if not part:
                return None
            head += part
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        request = Taken(method, target, {name.lower(): value.strip() for name, _, value in pairs})
        self.taken.append(request)
        self._take_body(connection, request)
        return request

    def _take_body(self, connection: socket.socket, request: Taken) -> None:
        digest = hashlib.sha256()
        wanted = request.announced if self.stop_after is None else min(self.stop_after, request.announced)
        while request.size < wanted:
            part = connection.recv(min(2**18, wanted - request.size))
            if not part:
                raise ConnectionError
            request.size += len(part)
            request.beginning = request.beginning or part[:4096]
            digest.update(part)
            self.on_bytes(request)
        request.digest = digest.hexdigest()
        request.whole = request.size == request.announced


def file_of(size: int, *, headers: str = "", beginning: bytes = b"\x89PNG\r\n\x1a\n") -> Iterator[bytes]:
    """An answer of so many bytes, of which never more than a piece is there at a time."""
    yield f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n{headers}\r\n".encode()
    yield beginning[:size]
    left = size - len(beginning)
    piece = bytes(2**18)
    while left > 0:
        yield piece[:left]
        left -= len(piece)

"""Result files: fetched without keys, checked, retried, and on disk either whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from hfclient import Client
from hfclient.credentials import Key, origin_of
from hfclient.destination import Destination
from hfclient.download import PIECE, check_target
from hfclient.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    HFClientError,
    InputError,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
    ServerError,
    StatusError,
)
from hfclient.flow import Fetch, Fetched, Progress, Wait, get
from hfclient.provider import Provider, Task
from hfclient.providers.table import PROVIDERS
from hfclient.redact import Secret
from hfclient.registry import Registry
from hfclient.transport import Transport
from tests.carriers import open_paths, transport
from tests.drain import Drain, Taken, file_of
from tests.flows import CHAT
from tests.internet import Internet
from tests.loopback import Close, HoldUntilClosed, Loopback, Received, Send, Step, answer, head, truncated

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[1]
SECRET = "hf_fake_0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
LARGE = b"\x89PNG\r\n\x1a\n" + os.urandom(2 * PIECE + 17)
LIMIT = 2**30


def to(*servers: Loopback | Drain, **more: Any) -> Destination:
    covered = frozenset(origin_of(server.url) for server in servers)
    return Destination(
        "groq",
        servers[0].url if servers else "http://localhost:1",
        Key(Secret(SECRET), covered),
        **{"headers": {"x-api-key": SECRET}, "query": {"key": SECRET}, **more},
    )


async def fetch(
    url: str,
    *servers: Loopback | Drain,
    carrier: str = "httpx",
    limit: int = LIMIT,
    save_to: Path | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
    **more: Any,
) -> Fetched:
    """One file, over a transport of its own."""
    async with transport(carrier) as made:
        return await made.fetch(Fetch(url), to(*servers, **more), limit=limit, save_to=save_to, on_progress=on_progress)


def always(steps: list[Step]) -> Callable[[Received], list[Step]]:
    return lambda _: steps


def in_turn(*each: list[Step]) -> Callable[[Received], list[Step]]:
    answers = list(each)
    return lambda _: answers.pop(0)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def nothing_left(folder: Path, server: Loopback | Drain, *, but: tuple[str, ...] = ()) -> None:
    """Neither a file, finished or not, nor one that is open, nor a connection."""
    assert names_in(folder) == sorted(but)
    assert not [path for path in open_paths() if path.startswith(str(folder))]
    await anyio.to_thread.run_sync(server.wait_until, lambda: server.connections_open == 0)


# What is given.


async def test_a_file_in_memory(carrier: str) -> None:
    """Without a target the bytes are given, with their type and the address they came from."""
    with Loopback(always(answer(LARGE, headers={"content-type": "image/png; x=y"}))) as server:
        fetched = await fetch(f"{server.url}/a.bin?sig=1", carrier=carrier)
        assert server.requests[0].target == "/a.bin?sig=1"
    assert fetched == Fetched(LARGE, "image/png", f"{server.url}/a.bin?sig=1", None, len(LARGE))
    assert "PNG" not in repr(fetched)


async def test_a_file_on_disk(tmp_path: Path, carrier: str) -> None:
    """With a target the bytes are there once they are whole, and nothing lies beside them."""
    target = tmp_path / "film.png"
    with Loopback(always(answer(LARGE))) as server:
        fetched = await fetch(f"{server.url}/a", carrier=carrier, save_to=target)
        assert fetched == Fetched(None, "image/png", f"{server.url}/a", target, len(LARGE))
        assert target.read_bytes() == LARGE
        await nothing_left(tmp_path, server, but=("film.png",))


@pytest.mark.parametrize(
    ("path", "declared", "content", "media_type"),
    [
        ("/a", "image/webp", PNG, "image/webp"),
        ("/a", "application/octet-stream", PNG, "image/png"),
        ("/a", None, PNG, "image/png"),
        ("/talk.flac?sig=.png", "binary/octet-stream", b"???", "audio/flac"),
        ("/a", "model/gltf-binary", b"glTF", "model/gltf-binary"),
        ("/a", None, b"???", "application/octet-stream"),
    ],
)
async def test_what_a_file_is(path: str, declared: str | None, content: bytes, media_type: str, tmp_path: Path) -> None:
    """The label counts where it says something, then the first bytes, then the name in the address."""
    headers = {} if declared is None else {"content-type": declared}
    with Loopback(always(answer(content, headers=headers))) as server:
        for target in (None, tmp_path / "a"):
            assert (await fetch(server.url + path, save_to=target)).media_type == media_type


async def test_a_saved_file_is_like_any_other(tmp_path: Path) -> None:
    """It has the permissions of a file that is newly made, takes an older one's place, and follows a link."""
    target, real, link = tmp_path / "new", tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    (tmp_path / "like").touch()
    with Loopback(always(answer(PNG))) as server:
        await fetch(server.url, save_to=target)
        await fetch(server.url, save_to=target)
        await fetch(server.url, save_to=link)
    assert target.stat().st_mode == (tmp_path / "like").stat().st_mode
    assert (target.read_bytes(), real.read_bytes(), link.is_symlink()) == (PNG, PNG, True)


async def test_a_compressed_file(tmp_path: Path) -> None:
    """Compression is not asked for; where it comes all the same it is undone, and the limit is for the outcome."""
    packed = answer(gzip.compress(LARGE + bytes(10**7)), headers={"content-encoding": "gzip"})
    with Loopback(always(packed)) as server:
        fetched = await fetch(server.url)
        assert fetched.content == LARGE + bytes(10**7)
        assert server.requests[0].headers["accept-encoding"] == "identity"
        with pytest.raises(ResponseError, match="larger than"):
            await fetch(server.url, limit=10**7, save_to=tmp_path / "a")
        await nothing_left(tmp_path, server)


async def test_files_are_not_written_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, writing and renaming happen in worker threads."""
    threads: set[int] = set()
    for name in ("open", "replace", "unlink", "is_dir"):
        own = getattr(Path, name)

        def watched(self: Path, *args: Any, own: Any = own, **more: Any) -> Any:
            threads.add(threading.get_ident())
            return own(self, *args, **more)

        monkeypatch.setattr(Path, name, watched)
    with Loopback(always(answer(LARGE))) as server:
        await fetch(server.url, save_to=tmp_path / "a")
    assert threads
    assert threading.get_ident() not in threads


# What is refused.


@pytest.mark.parametrize(
    "url",
    [None, 3, "", "/a", "a", "ftp://host/a", "file:///etc/passwd", "data:image/png;base64,YQ==", "http://", "https:///a",
     "http://[::1", "http://a:b/", "http://exa mple.invalid/", "//host/a", "javascript:1"],
)  # fmt: skip
async def test_an_address_that_is_none(url: Any) -> None:
    """A result at an address that cannot be called is the provider's fault; nothing is sent."""
    with pytest.raises(ResponseError, match="groq names a result at an address that is none"):
        await fetch(url)


EXPIRED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"""


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, PermissionDeniedError), (404, NotFoundError), (410, NotFoundError), (400, StatusError), (500, ServerError)],
)
async def test_a_file_that_is_not_given(
    status: int, kind: type[StatusError], tmp_path: Path, pauses: list[float]
) -> None:
    """An error status is a typed error that names the host and says that links expire; the signature is not shown."""
    with Loopback(always(answer(EXPIRED, status=status, headers={"content-type": "application/xml"}))) as server:
        with pytest.raises(kind) as caught:
            await fetch(f"{server.url}/a?X-Signature=s3cr3t0123456789", save_to=tmp_path / "a", patience=0)
        await nothing_left(tmp_path, server)
    error = caught.value
    assert error.message.startswith(f"{server.url.removeprefix('http://')} answered {status}: ")
    assert "Request has expired" in error.message
    assert "expire" in error.advice
    assert (error.provider, error.status) == ("groq", status)
    assert "s3cr3t" not in str(error) + error.body


async def test_a_file_too_large_by_its_own_account(tmp_path: Path, carrier: str) -> None:
    """A length over the limit fails at once, and the limit's option is named."""
    huge: list[Step] = [Send(head(200, {"content-length": "1001"}) + b"x"), HoldUntilClosed()]
    with Loopback(always(huge)) as server:
        for target in (None, tmp_path / "a"):
            with pytest.raises(ResponseError, match="larger than 1,000 bytes") as caught:
                await fetch(server.url, carrier=carrier, limit=1000, save_to=target)
            assert "max_download_bytes=" in caught.value.advice
        await nothing_left(tmp_path, server)
        assert len(server.requests) == 2


async def test_a_file_that_grows_too_large(tmp_path: Path, carrier: str) -> None:
    """Where no length is told, the limit ends the download when it is passed, and not before."""
    endless: list[Step] = [Send(head(200, {"transfer-encoding": "chunked"}) + b"3e8\r\n" + bytes(1000) + b"\r\n")]
    with Loopback(always([*endless, Send(b"1\r\nx\r\n"), HoldUntilClosed()])) as server:
        for target in (None, tmp_path / "a"):
            with pytest.raises(ResponseError, match="larger than 1,000 bytes"):
                await fetch(server.url, carrier=carrier, limit=1000, save_to=target)
        await nothing_left(tmp_path, server)
        server.handler = always([*endless, Send(b"0\r\n\r\n")])
        assert (await fetch(server.url, carrier=carrier, limit=1000)).size == 1000


async def test_an_empty_file(tmp_path: Path) -> None:
    """A result without a byte is none."""
    with Loopback(always(answer(b""))) as server:
        with pytest.raises(ResponseError, match="is empty"):
            await fetch(server.url, save_to=tmp_path / "a")
        await nothing_left(tmp_path, server)


# Attempts.


CUTS: dict[str, list[Step]] = {
    "length": truncated(answer(LARGE), drop=1000),
    "chunks": [Send(head(200, {"transfer-encoding": "chunked"}) + b"10\r\n0123"), Close()],
    "500": answer(b"", status=500),
    "429": answer(b"", status=429),
    "no answer": [Close()],
}


@pytest.mark.parametrize("fault", CUTS)
async def test_what_may_pass_is_tried_again(fault: str, tmp_path: Path, carrier: str, pauses: list[float]) -> None:
    """A file that breaks off, or a host that stumbles, is asked again, from the start; the work is paid for."""
    target = tmp_path / "a"
    with Loopback(in_turn(CUTS[fault], CUTS[fault], answer(LARGE))) as server:
        fetched = await fetch(server.url, carrier=carrier, save_to=target)
        assert (fetched.size, target.read_bytes()) == (len(LARGE), LARGE)
        await nothing_left(tmp_path, server, but=("a",))
    by_aiohttp = carrier == "aiohttp" and fault == "no answer"  # which asks once more by itself
    assert len(pauses) == 2 - by_aiohttp
    assert "range" not in server.requests[-1].headers


async def test_a_length_that_nobody_checked(tmp_path: Path, pauses: list[float]) -> None:
    """A carrier may not care whether as much came as was announced; it is checked all the same."""
    replies = [httpx.Response(200, headers={"content-length": "9"}, stream=Body(b"x" * size)) for size in (8, 10, 9)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: replies.pop(0))) as client:
        made = Transport(http_client=client, max_connections=1)
        step = Fetch("http://files.invalid/a")
        fetched = await made.fetch(step, to(), limit=LIMIT, save_to=tmp_path / "a", on_progress=None)
    assert (fetched.size, len(pauses)) == (9, 2)


class Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


async def test_patience_ends(tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no time left for another attempt, the last one's error is told, and nothing is left."""
    monkeypatch.setattr("hfclient.clock.now", lambda: sum(pauses))
    with Loopback(always(truncated(answer(LARGE), drop=1))) as server:
        with pytest.raises(ConnectionLostError) as caught:
            await fetch(server.url, save_to=tmp_path / "a", patience=20.0)
        await nothing_left(tmp_path, server)
    assert sum(pauses) < 20
    assert len(server.requests) > 3
    assert caught.value.provider == "groq"


async def test_a_host_that_is_not_there(pauses: list[float]) -> None:
    """A host that cannot be reached is named."""
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1 could not be reached"):
        await fetch("http://127.0.0.1:1/a", patience=0)


# Where to.


async def test_targets_that_cannot_be_written_to(tmp_path: Path) -> None:
    """A directory, a missing folder, a device or an impossible name is told before anything is paid for or sent."""
    (tmp_path / "file").touch()
    for target, words in [
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "a", "no directory .*none"),
        (tmp_path / "file" / "a", "no directory"),
        (Path("a\0b"), "cannot be written"),
        (Path("/dev/null"), "is not a file"),
    ]:
        with pytest.raises(InputError, match=words):
            await check_target(target)
        with Loopback(always(answer(PNG))) as server:
            with pytest.raises(InputError, match=words):
                await fetch(server.url, save_to=target)
            assert server.connections_opened == 0
    await check_target(tmp_path / "new")
    await check_target(tmp_path / "file")
    assert names_in(tmp_path) == ["file"]


async def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that nothing may be written to is told beforehand, with the reason."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="cannot be written: nothing may be written to"):
        await check_target(tmp_path / "a")


@pytest.mark.parametrize("moment", ["open", "write", "replace"])
async def test_a_disk_that_fails(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails, at whichever moment, the error says so, is not retried, and nothing is left."""
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_: Any, **__: Any) -> Any:
        raise full

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        writelines = fail

    own = Path.open
    if moment == "write":
        monkeypatch.setattr(Path, "open", lambda self, *args, **more: Full(own(self, *args, **more)))
    else:
        monkeypatch.setattr(Path, moment, fail)
    with Loopback(always(answer(LARGE))) as server:
        with pytest.raises(InputError, match="a' cannot be written: No space left"):
            await fetch(server.url, save_to=tmp_path / "a")
        assert len(server.requests) == 1
        await nothing_left(tmp_path, server)


# Ways to end.


def stalled(*, after: int) -> list[Step]:
    return [Send(head(200, {"content-length": str(len(LARGE))}) + LARGE[:after]), HoldUntilClosed()]


@pytest.mark.parametrize("after", [0, 100, PIECE + 2**18], ids=["at once", "early", "once written"])
async def test_cancelling_in_the_middle(after: int, tmp_path: Path, carrier: str) -> None:
    """A download that is cancelled leaves no file, no open file and no connection; an older file stays as it was."""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    begun = lambda: bool(server.requests) and (after < PIECE or len(names_in(tmp_path)) > 1)  # noqa: E731
    with Loopback(always(stalled(after=after))) as server:
        async with transport(carrier) as made, anyio.create_task_group() as tasks:

            async def run() -> None:
                await made.fetch(Fetch(server.url), to(), limit=LIMIT, save_to=target, on_progress=None)

            tasks.start_soon(run)
            await anyio.to_thread.run_sync(server.wait_until, begun)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await nothing_left(tmp_path, server, but=("a",))
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["httpx", "aiohttp"])
def test_asyncios_own_cancelling_in_the_middle(kind: str, tmp_path: Path) -> None:
    """A task that asyncio cancels, at any moment of a download, leaves nothing behind either."""

    async def main() -> None:
        with Loopback(always(answer(LARGE))) as server:
            async with transport(kind) as made:
                for turns in range(0, 120, 3):
                    target = tmp_path / "a"
                    task = asyncio.create_task(
                        made.fetch(Fetch(server.url), to(), limit=LIMIT, save_to=target, on_progress=None)
                    )
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                    assert set(names_in(tmp_path)) <= {"a"}
                    target.unlink(missing_ok=True)
            await nothing_left(tmp_path, server)

    asyncio.run(main())


# Keys, and redirects.


async def test_no_key_goes_to_a_files_host(carrier: str, tmp_path: Path) -> None:
    """Neither key nor header nor query of the call goes to a result's host, even its own, nor along a redirect."""
    with Loopback(always(answer(PNG))) as provider, Loopback(always(answer(PNG))) as files:

        def redirect(request: Received) -> list[Step]:
            where = {"/0": f"{provider.url}/1", "/2": "/3"}.get(request.path)
            return answer(b"", status=302, headers={"location": where}) if where else answer(PNG)

        files.handler = redirect
        provider.handler = always(answer(b"", status=307, headers={"location": f"{files.url}/2"}))
        fetched = await fetch(f"{files.url}/0?sig=1", provider, files, carrier=carrier, save_to=tmp_path / "a")
        requests = [*provider.requests, *files.requests]
    assert fetched.size == len(PNG)
    assert [request.target for request in files.requests] == ["/0?sig=1", "/2", "/3"]
    assert [request.target for request in provider.requests] == ["/1"]
    for request in requests:
        assert SECRET not in str(request)
        assert not {"authorization", "x-api-key"} & request.headers.keys()


async def test_a_key_that_a_files_host_sends_back(tmp_path: Path) -> None:
    """Whatever a file's host says, no key of the call shows in the error, though it look like none."""
    plain = "fake and plain words"
    refusal = answer(f"no {plain}".encode(), status=403)
    with Loopback(always(refusal)) as server, pytest.raises(PermissionDeniedError, match="answered 403: no") as caught:
        await fetch(server.url, server, headers={"x-api-key": plain})
    assert plain not in str(caught.value) + caught.value.body


async def test_redirects_come_to_an_end() -> None:
    """A sixth redirect is one too many."""
    with Loopback(always(answer(b"", status=302, headers={"location": "/"}))) as server:
        with pytest.raises(ResponseError, match="more than 5 times"):
            await fetch(server.url)
        assert len(server.requests) == 6


@pytest.mark.parametrize("target", ["http://files.invalid/a", "ftp://files.invalid/a", "file:///etc/passwd"])
async def test_redirects_that_are_not_followed(target: str) -> None:
    """A file is not fetched in the clear where its link was not, nor by other means than http."""
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": target})

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        made = Transport(http_client=client, max_connections=1)
        with pytest.raises(ResponseError, match="which is not followed") as caught:
            await made.fetch(Fetch("https://files.invalid/a"), to(), limit=LIMIT, save_to=None, on_progress=None)
    assert asked == ["https://files.invalid/a"]
    assert "base_url" not in str(caught.value)


# Progress.


async def test_each_percent_is_told_once(carrier: str) -> None:
    """However many pieces come, progress is told once for each percent, and at the end it is whole."""
    told: list[tuple[int, int | None]] = []
    pieces: list[Step] = [Send(bytes(100)) for _ in range(1000)]
    with Loopback(always([Send(head(200, {"content-length": "100000"})), *pieces])) as server:
        await fetch(server.url, carrier=carrier, on_progress=lambda *each: told.append(each))
    assert told[-1] == (100_000, 100_000)
    percents = [size * 100 // (total or 1) for size, total in told]
    assert len(set(percents)) == len(percents) <= 100
    assert percents == sorted(percents)


async def test_each_mebibyte_is_told_where_the_size_is_unknown() -> None:
    """Without a length, progress is told for each MiB."""
    told: list[tuple[int, int | None]] = []
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    pieces: list[Step] = [Send(chunk) for _ in range(40)]
    whole: list[Step] = [Send(head(200, {"transfer-encoding": "chunked"})), *pieces, Send(b"0\r\n\r\n")]
    with Loopback(always(whole)) as server:
        await fetch(server.url, on_progress=lambda *each: told.append(each))
    assert [total for _, total in told] == [None, None]
    assert [size // 2**20 for size, _ in told] == [1, 2]


async def test_a_listener_that_fails(tmp_path: Path) -> None:
    """What a listener raises ends the download, and nothing is left."""
    with Loopback(always(answer(LARGE))) as server:
        with pytest.raises(ZeroDivisionError):
            await fetch(server.url, save_to=tmp_path / "a", on_progress=lambda *_: 1 // 0)  # type: ignore[arg-type]
        await nothing_left(tmp_path, server)


# As a flow's step.

KEY = "acme_fake_0123456789"
HOST = "acme.invalid"


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a flow the only thing that a provider called acme does, and gives a client for it."""

    def client(run: Any, **options: Any) -> Client:
        acme = Provider("acme", f"https://{HOST}", {CHAT: Task(run)}, routed=False, mapped=False)
        monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([*PROVIDERS, acme]))
        return Client(provider="acme", model="m", keys={"acme": KEY}, **options)

    return client


async def run(client: Client, **parts: Any) -> Any:
    call = client.defaults.call(CHAT, "x", model=None, parameters={}, options={})
    async with client:
        return await client.dispatcher.run(replace(call, **parts))


def film(call: Any, route: Any) -> Generator[Any, Any, Fetched]:
    state = (yield get("/jobs/1")).json()
    fetched: Fetched = yield Fetch(state["url"])
    return fetched


def internet_with(*answers: Any) -> Internet:
    internet = Internet()
    internet.at(HOST, httpx.Response(200, json={"url": "https://files.invalid/film.mp4"}))
    internet.at("files.invalid", *answers)
    return internet


async def test_a_flow_fetches_its_result(offer: Any, tmp_path: Path) -> None:
    """Where it goes, how large it may be and who hears of it are the call's; the provider's key stays at home."""
    told: list[Progress] = []
    with internet_with(httpx.Response(200, content=PNG)) as internet:
        saved = await run(offer(film), save_to=tmp_path / "a", on_progress=told.append)
        loaded = await run(offer(film))
        with pytest.raises(ResponseError, match="larger than 10 bytes") as caught:
            await run(offer(film), max_download_bytes=10)
        assert [internet.asked[:2], len(internet.asked)] == [[HOST, "files.invalid"], 6]
        assert {KEY in str(request.headers) for place, request in internet.requests if place != HOST} == {False}
    assert (saved.content, saved.path, (tmp_path / "a").read_bytes()) == (None, tmp_path / "a", PNG)
    assert (loaded.content, loaded.path) == (PNG, None)
    assert told == [Progress("downloading", fraction=1.0)]
    assert (caught.value.provider, caught.value.model) == ("acme", "m")


async def test_a_flow_may_go_on_after_a_file_that_failed(offer: Any, pauses: list[float]) -> None:
    """What goes wrong is raised at the flow's own yield."""

    def flow(call: Any, route: Any) -> Generator[Any, Any, str]:
        try:
            yield Fetch("https://files.invalid/a")
        except HFClientError as error:
            return f"{error.status}"
        return "given"

    with internet_with(404):
        assert await run(offer(flow)) == "404"


async def test_the_deadline_bounds_the_attempts(
    offer: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's host is asked no longer than the call may take, and each attempt is in the story that is told."""
    monkeypatch.setattr("hfclient.clock.now", lambda: sum(pauses))

    def slow_film(call: Any, route: Any) -> Generator[Any, Any, Fetched]:
        yield Wait(50.0)
        return (yield from film(call, route))

    with internet_with(502) as internet, pytest.raises(ServerError) as caught:
        await run(offer(slow_film), deadline=80.0)
    assert 3 < len(internet.asked) < 30
    assert 50 < sum(pauses) <= 80
    assert len(caught.value.attempts) == len(internet.asked) - 1


# Memory.

MEASURED = """
import json, sys, tracemalloc
from pathlib import Path
import anyio
from hfclient.destination import Destination
from hfclient.flow import Fetch
from hfclient.transport import Transport

def high_water():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

async def main(url, target, kind, traced):
    transport = Transport(kind=kind, max_connections=3)
    to = Destination("somebody", url)
    async def fetch(size):
        step = Fetch(f"{url}/{size}")
        return await transport.fetch(step, to, limit=10**9, save_to=Path(target), on_progress=lambda *_: None)
    await fetch(3 * 2**20)
    if traced == "traced":
        tracemalloc.start()
    before = high_water()
    size = (await fetch(200 * 10**6)).size
    print(json.dumps([size, high_water() - before, tracemalloc.get_traced_memory()[1]]))
    await transport.aclose()

anyio.run(main, *sys.argv[2:], backend=sys.argv[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("backend", "kind", "traced"),
    [("asyncio", "httpx", ""), ("asyncio", "httpx", "traced"), ("trio", "httpx", ""), ("asyncio", "aiohttp", "")],
)
def test_memory_does_not_grow_with_a_file(backend: str, kind: str, traced: str, tmp_path: Path) -> None:
    """200 MB are saved while no more than 16 MB of memory come on top, as Python and the system count them."""
    target = tmp_path / "film"

    def answers(request: Taken) -> Iterator[bytes]:
        return file_of(int(request.target.strip("/")))

    with Drain(answers) as server:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, backend, server.url, str(target), kind, traced],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    size, *risen = json.loads(done.stdout)
    assert size == target.stat().st_size == 200 * 10**6
    assert max(risen) < 16 * 2**20, risen


async def test_many_downloads_at_once(tmp_path: Path) -> None:
    """A hundred files at once come out right, each under its own name."""
    contents = [hashlib.sha256(bytes([number])).digest() * 10_000 for number in range(100)]
    with Loopback(lambda request: answer(contents[int(request.path[1:])])) as server:
        made = Transport(max_connections=100)
        async with anyio.create_task_group() as tasks:

            async def one(number: int) -> None:
                target = tmp_path / str(number)
                await made.fetch(Fetch(f"{server.url}/{number}"), to(), limit=LIMIT, save_to=target, on_progress=None)

            for number in range(100):
                tasks.start_soon(one, number)
        await made.aclose()
    assert [(tmp_path / str(number)).read_bytes() for number in range(100)] == contents

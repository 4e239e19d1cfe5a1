"""Bodies that are streamed from disk: whole, of a known length, never on the event loop, and nothing stays open."""

from __future__ import annotations

import asyncio
import email.parser
import email.policy
import errno
import hashlib
import io
import json
import os
import string
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hfclient import Timeout
from hfclient.credentials import Key, origin_of
from hfclient.destination import Destination
from hfclient.errors import InputError, StatusError, TimedOutError
from hfclient.flow import post
from hfclient.media import Media
from hfclient.redact import Secret
from hfclient.retry import Retry
from hfclient.upload import LARGEST_WHOLE, PIECE, Body, Sending, Stored, kept_or_loaded, multipart
from tests.carriers import open_paths, transport
from tests.drain import OK, Drain, Taken
from tests.loopback import Loopback, answer

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[1]
SECRET = "hf_fake_0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n"
LARGE = PNG + os.urandom(3 * PIECE + 17)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    return file


def to(server: Loopback | Drain, **more: Any) -> Destination:
    return Destination("somebody", server.url, Key(Secret(SECRET), frozenset({origin_of(server.url)})), **more)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def seen(server: Loopback | Drain, predicate: Callable[[], bool]) -> None:
    await anyio.to_thread.run_sync(server.wait_until, predicate)


async def closed(server: Drain, file: Path) -> None:
    """Nothing of an upload is left: not the file, and not the connection."""
    assert str(file) not in open_paths()
    server.go_on.set()
    await seen(server, lambda: server.connections_open == 0)


# What is sent.


async def test_a_file_is_sent_as_it_lies_on_disk(large: Path, carrier: str) -> None:
    """A raw body from disk arrives whole, with its length and the type that its first bytes tell."""
    with Drain() as server:
        async with transport(carrier) as made:
            reply = await made.send(post("/x", content=Media(large)), to(server))
        (request,) = server.taken
        await closed(server, large)
    assert reply.content == b"ok"
    assert request.digest == digest(LARGE)
    assert (request.headers["content-length"], request.headers["content-type"]) == (str(len(LARGE)), "image/png")
    assert "transfer-encoding" not in request.headers
    assert request.headers["authorization"] == f"Bearer {SECRET}"


async def test_a_file_within_a_form(large: Path, carrier: str) -> None:
    """A multipart body that holds a file from disk has a length too, and parses into what went in."""
    with Loopback(lambda _: answer(b"ok")) as server:
        async with transport(carrier) as made:
            files = {"image": ("ä.png", Media(large), "image/png"), "mask": ("m.png", b"mask", "image/x-mask")}
            await made.send(post("/x", files=files, data={"prompt": "a cat"}), to(server))
        (request,) = server.requests
    assert request.headers["content-length"] == str(len(request.body))
    assert parsed(request.headers["content-type"], request.body) == [
        ("prompt", None, None, b"a cat"),
        ("image", "ä.png", "image/png", LARGE),
        ("mask", "m.png", "image/x-mask", b"mask"),
    ]


async def test_an_open_file_is_sent_from_where_it_stands(large: Path, carrier: str) -> None:
    """An open file is sent from its position, which is afterwards what it was, and it stays its owner's to close."""
    with Drain() as server, large.open("rb") as file:
        file.seek(100)
        async with transport(carrier) as made:
            for _ in range(2):
                await made.send(post("/x", content=Media(file, "audio/x-mine")), to(server))
                assert (file.tell(), file.closed) == (100, False)
        assert [request.digest for request in server.taken] == [digest(LARGE[100:])] * 2
        assert server.taken[0].headers["content-type"] == "audio/x-mine"


class Crowded(io.BytesIO):
    """A file that lets other threads run before it reads, and notices where one has moved it meanwhile."""

    moved = False

    def read(self, size: int | None = -1, /) -> bytes:
        before = self.tell()
        for _ in range(20):
            time.sleep(0)
            self.moved |= self.tell() != before
        return super().read(size)


async def test_calls_that_share_an_open_file() -> None:
    """One open file, given to many calls at once, reaches each of them whole: none moves it while another reads."""
    file = Crowded(LARGE)
    with Drain() as server:
        async with transport() as made, anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(made.send, post("/x", content=Media(file)), to(server))
        assert [request.digest for request in server.taken] == [digest(LARGE)] * 8
    assert not file.moved


class Watched(io.BytesIO):
    """A file that remembers which threads read it, and how much at a time."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.threads: set[int] = set()
        self.largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.threads.add(threading.get_ident())
        self.largest = max(self.largest, len(content))
        return content


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
async def test_files_are_not_read_on_the_event_loop(form: bool, carrier: str) -> None:
    """A file is read in worker threads, a piece at a time."""
    file = Watched(LARGE)
    request = post("/x", files={"f": ("f", Media(file), "x/y")}) if form else post("/x", content=Media(file))
    with Drain() as server:
        async with transport(carrier) as made:
            await made.send(request, to(server))
        assert server.taken[0].whole
    assert threading.get_ident() not in file.threads
    assert file.largest == PIECE


@pytest.mark.parametrize(
    ("media", "headers", "kind"),
    [
        (Media(PNG), {}, "image/png"),
        (Media(PNG, "image/x-mine"), {}, "image/x-mine"),
        (Media(PNG), {"content-type": "image/x-own"}, "image/x-own"),
        (Media(b"???"), {}, "application/octet-stream"),
        (Media("data:audio/ogg;base64,YWJj"), {}, "audio/ogg"),
        (b"???", {}, None),
    ],
)
async def test_a_raw_body_is_labelled(media: Media | bytes, headers: dict[str, str], kind: str | None) -> None:
    """A request's own label wins, then the media's, then what its bytes tell; bare bytes are left to the provider."""
    with Loopback(lambda _: answer(b"ok")) as server:
        async with transport() as made:
            await made.send(post("/x", content=media, headers=headers), to(server))
        assert server.requests[0].headers.get("content-type") == kind


@pytest.mark.parametrize("suffix", ["flac", "mp3", "m4a", "unknown"])
@pytest.mark.parametrize("size", [10, 2 * PIECE], ids=["small", "large"])
async def test_a_file_is_known_by_its_name(suffix: str, size: int, tmp_path: Path) -> None:
    """Where the first bytes tell nothing, the name does, whether the file is loaded or streamed."""
    file = tmp_path / f"talk.{suffix}"
    file.write_bytes(bytes(size))
    kinds = {"flac": "audio/flac", "mp3": "audio/mpeg", "m4a": "audio/mp4", "unknown": "application/octet-stream"}
    with Drain() as server:
        async with transport() as made:
            await made.send(post("/x", content=Media(file)), to(server))
            with file.open("rb") as opened:
                await made.send(post("/x", content=Media(opened)), to(server))
        assert [request.headers["content-type"] for request in server.taken][:1] == [kinds[suffix]]
        assert [request.size for request in server.taken] == [size, size]


@pytest.mark.parametrize(
    ("media", "kind"), [(Media(PNG), "image/png"), (Media(PNG, "x/own"), "x/own"), (b"?", "application/octet-stream")]
)
async def test_a_file_in_a_form_may_be_labelled_by_what_it_is(media: Media | bytes, kind: str) -> None:
    """Where a request gives no type for a file in a form, it is found as for a raw body."""
    with Loopback(lambda _: answer(b"ok")) as server:
        async with transport() as made:
            await made.send(post("/x", files={"f": ("f", media, "")}), to(server))
        (request,) = server.requests
    assert parsed(request.headers["content-type"], request.body)[0][2] == kind


async def test_a_form_keeps_its_own_label(large: Path) -> None:
    """The boundary must be told, so a header of the caller's does not take the place of a form's content-type."""
    with Loopback(lambda _: answer(b"ok")) as server:
        async with transport() as made:
            destination = to(server, headers={"content-type": "application/json"})
            await made.send(post("/x", files={"f": ("f", Media(large), "x/y")}), destination)
        (request,) = server.requests
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert len(parsed(request.headers["content-type"], request.body)) == 1


async def test_media_at_an_address_is_fetched_first() -> None:
    """An address as the body is fetched, without the key, and then sent with the label it came with."""
    with Loopback(lambda _: answer(PNG, headers={"content-type": "image/webp"})) as host, Drain() as server:
        async with transport() as made:
            await made.send(post("/x", content=Media(f"{host.url}/a")), to(server))
            files = {"f": ("f", Media(f"{host.url}/a"), "image/png")}
            await made.send(post("/x", files=files), to(server))
        raw, form = server.taken
        assert {SECRET in str(request.headers) for request in host.requests} == {False}
    assert (raw.digest, raw.headers["content-type"]) == (digest(PNG), "image/webp")
    assert PNG in form.beginning


async def test_large_bytes_go_in_pieces(carrier: str) -> None:
    """A large body in memory, JSON too, is handed on in pieces, so that a timeout bounds each and not the whole."""
    body = {"image": "A" * LARGEST_WHOLE}
    with Drain() as server:
        async with transport(carrier) as made:
            await made.send(post("/x", json=body), to(server))
            await made.send(post("/x", content=LARGE), to(server))
        first, second = server.taken
    assert first.digest == digest(json.dumps(body, separators=(",", ":")).encode())
    assert first.headers["content-type"] == "application/json"
    assert second.digest == digest(LARGE)


# What cannot be sent.


def impossible(tmp_path: Path) -> dict[str, tuple[Any, str]]:
    (tmp_path / "empty").touch()
    with (tmp_path / "gone").open("wb") as gone:
        gone.write(LARGE)
    shut = (tmp_path / "gone").open("rb")
    shut.close()
    at_its_end = io.BytesIO(LARGE)
    at_its_end.seek(0, os.SEEK_END)
    return {
        "missing": (tmp_path / "none", "There is no file"),
        "directory": (tmp_path, "is a directory"),
        "empty": (tmp_path / "empty", "is empty"),
        "no name": (Path("a\0b"), "cannot be read"),
        "closed": (shut, "cannot be read: .*closed file"),
        "read": (at_its_end, "is empty"),
        "text": (io.StringIO("x" * len(LARGE)), "gives str, not bytes"),
        "bytes": (b"", "is empty"),
    }


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
@pytest.mark.parametrize("what", ["missing", "directory", "empty", "no name", "closed", "read", "text", "bytes"])
async def test_what_cannot_be_read_is_not_sent(what: str, form: bool, tmp_path: Path) -> None:
    """Media that is not there, or empty, is the caller's error; not even a connection is opened for it."""
    source, words = impossible(tmp_path)[what]
    media = Media(source)
    request = post("/x", files={"f": ("f", media, "x/y")}) if form else post("/x", content=media)
    with Drain() as server:
        async with transport() as made:
            with pytest.raises(InputError, match=words):
                await made.send(request, to(server))
        assert server.connections_opened == 0


async def test_an_unreadable_file_is_not_sent(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file without permission is told as a small one is."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with Drain() as server:
        async with transport() as made:
            with pytest.raises(InputError, match="large' cannot be read: Permission denied"):
                await made.send(post("/x", content=Media(large)), to(server))
        assert server.connections_opened == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
async def test_what_has_no_length_is_loaded(tmp_path: Path) -> None:
    """A pipe has no length that could be announced, so it is read to its end first; a retry has its bytes still."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(LARGE))
    writer.start()
    statuses = iter([503, 200])
    with Drain(
        lambda _: [f"HTTP/1.1 {next(statuses)} X\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n".encode()]
    ) as server:
        async with transport() as made:
            await made.send(post("/x", content=Media(pipe)), to(server))
        assert [request.digest for request in server.taken] == [digest(LARGE)] * 2
    writer.join()


@pytest.mark.parametrize("change", ["shrank", "grew"])
@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
async def test_a_file_that_changes_while_it_is_sent(change: str, form: bool, tmp_path: Path, carrier: str) -> None:
    """A file that shrinks or grows on the way is an error that says so; the server never has a whole body."""
    file = tmp_path / "growing"
    file.write_bytes(bytes(64 * PIECE))
    size = 32 * PIECE if change == "shrank" else 65 * PIECE
    media = Media(file)
    request = post("/x", files={"f": ("f", media, "x/y")}) if form else post("/x", content=media)
    with Drain(on_bytes=lambda _: os.truncate(file, size)) as server:
        async with transport(carrier) as made:
            with pytest.raises(InputError, match=rf"growing' {change} while it was sent") as caught:
                await made.send(request, to(server))
        await closed(server, file)
        assert [request.whole for request in server.taken] == [False]
    assert "nothing writes to it" in caught.value.advice


async def test_a_file_that_vanishes_before_it_is_sent(large: Path, carrier: str) -> None:
    """What is gone when its turn comes is told in the same words as what was never there."""
    statuses = iter([503])

    def answers(_: Taken) -> Iterator[bytes]:
        large.unlink()
        yield f"HTTP/1.1 {next(statuses)} X\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n".encode()

    with Drain(answers) as server:
        async with transport(carrier) as made:
            with pytest.raises(InputError, match="There is no file"):
                await made.send(post("/x", content=Media(large)), to(server))


def test_a_file_that_shrinks_while_the_answer_comes(tmp_path: Path) -> None:
    """Where a server begins to answer before it has the whole body, it is still told that it never got it."""
    file = tmp_path / "shrinking"
    file.write_bytes(bytes(64 * PIECE))
    early = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning"

    async def main() -> None:
        with Drain(lambda _: [early], stop_after=1000) as server:

            async def change() -> None:
                await seen(server, lambda: bool(server.taken) and server.taken[0].size == 1000)
                os.truncate(file, 60 * PIECE)
                server.go_on.set()

            async with transport("aiohttp") as made, anyio.create_task_group() as tasks:
                tasks.start_soon(change)
                with pytest.raises(InputError, match="shrank"):
                    await made.send(post("/x", content=Media(file)), to(server, timeout=Timeout(read=0.5, idle=0.5)))
            await closed(server, file)

    anyio.run(main)


# Attempts, redirects, and ways to end.


async def test_another_attempt_sends_it_all_again(large: Path, carrier: str, pauses: list[float]) -> None:
    """A retry opens its file again and sends it whole, an open file from where it stood."""
    statuses = iter([503, 200] * 2)
    with Drain(lambda _: [f"HTTP/1.1 {next(statuses)} X\r\ncontent-length: 0\r\n\r\n".encode()]) as server:
        async with transport(carrier) as made:
            await made.send(post("/x", content=Media(large)), to(server))
            with large.open("rb") as file:
                file.seek(7)
                await made.send(post("/x", content=Media(file)), to(server))
        digests = [request.digest for request in server.taken]
    assert digests == [digest(LARGE)] * 2 + [digest(LARGE[7:])] * 2
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_sends_it_all_again(status: int, large: Path, carrier: str) -> None:
    """A redirect within the origin takes the whole file along."""

    def answers(request: Taken) -> list[bytes]:
        moved = f"HTTP/1.1 {status} X\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n".encode()
        return [moved if request.target == "/here" else OK]

    with Drain(answers) as server:
        async with transport(carrier) as made:
            await made.send(post("/here", files={"f": ("f", Media(large), "x/y")}), to(server))
        assert [(request.target, request.whole) for request in server.taken] == [("/here", True), ("/there", True)]


async def test_a_server_that_stops_reading(large: Path, tmp_path: Path, carrier: str) -> None:
    """A server that takes no more is bounded by the write timeout, and nothing stays open."""
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(64 * 2**20)
    with Drain(lambda _: [], stop_after=1000) as server:
        async with transport(carrier) as made:
            with pytest.raises(TimedOutError, match=r"silent for 0\.2 s"):
                await made.send(post("/x", content=Media(file)), to(server, timeout=Timeout(write=0.2)))
        await closed(server, file)


async def test_a_silent_server_after_an_upload(large: Path, carrier: str) -> None:
    """The wait for the answer begins when all is sent, and has its own limit."""
    hold = threading.Event()

    def answers(_: Taken) -> Iterator[bytes]:
        hold.wait(10)
        yield OK

    with Drain(answers) as server:
        async with transport(carrier) as made:
            with pytest.raises(TimedOutError, match=r"silent for|longer than"):
                await made.send(post("/x", content=Media(large)), to(server, timeout=Timeout(read=0.2)))
        hold.set()
        await closed(server, large)


REFUSAL = b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoo much"


async def test_a_server_that_refuses_early(tmp_path: Path, carrier: str) -> None:
    """A refusal that comes in the middle of the body ends the call, at the latest when the write timeout is over."""
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(64 * 2**20)
    with Drain(lambda _: [REFUSAL], stop_after=1000) as server:
        async with transport(carrier) as made:
            with pytest.raises(StatusError if carrier == "aiohttp" else TimedOutError):
                await made.send(post("/x", content=Media(file)), to(server, timeout=Timeout(write=0.2), retry=Retry(1)))
        await closed(server, file)


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
async def test_cancelling_in_the_middle(form: bool, tmp_path: Path, carrier: str) -> None:
    """A call that is cancelled while it sends leaves no open file and no open connection."""
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(64 * 2**20)
    request = post("/x", files={"f": ("f", Media(file), "x/y")}) if form else post("/x", content=Media(file))
    with Drain(lambda _: [], stop_after=1000) as server:
        async with transport(carrier) as made:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(made.send, request, to(server))
                await seen(server, lambda: bool(server.taken) and server.taken[0].size == 1000)
                assert str(file) in open_paths()
                tasks.cancel_scope.cancel()
            await closed(server, file)


@pytest.mark.parametrize("kind", ["httpx", "aiohttp"])
def test_asyncios_own_cancelling_in_the_middle(kind: str, tmp_path: Path) -> None:
    """A task that asyncio cancels, at any moment of an upload, leaves no open file and no open connection either."""
    file = tmp_path / "large"
    file.write_bytes(bytes(4 * PIECE))

    async def main() -> None:
        with Drain(lambda _: [], stop_after=1000) as server:
            async with transport(kind) as made:
                for turns in range(0, 60, 3):
                    task = asyncio.create_task(made.send(post("/x", content=Media(file)), to(server)))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    # A thread that was looking at the file's beginning closes it a moment later.
                    await seen(server, lambda: str(file) not in open_paths())
                await closed(server, file)

    asyncio.run(main())


def test_a_body_is_sent_once() -> None:
    """A body on its way cannot be begun anew: what sent half of it would send the other half as the whole."""

    async def main() -> None:
        sending = Sending(Body((LARGE,)))
        assert len(await anext(aiter(sending))) == PIECE
        with pytest.raises(httpx.StreamConsumed):
            aiter(sending)
        await sending.aclose()

    anyio.run(main)


def test_a_body_that_was_closed_does_not_end_well() -> None:
    """Whoever still asks for pieces after the close must not take the silence for the end."""

    async def main() -> None:
        sending = Sending(Body((LARGE,)))
        pieces = aiter(sending)
        await sending.aclose()
        with pytest.raises(httpx.StreamClosed):
            await anext(pieces)

    anyio.run(main)


# Forms, against two implementations of others.


def parsed(media_type: str, body: bytes) -> list[tuple[str, str | None, str | None, bytes]]:
    """A form's fields as the standard library reads them: name, file name, type, content."""
    whole = b"content-type: " + media_type.encode() + b"\r\n\r\n" + body
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(whole)
    assert message.defects == []
    found = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        labelled = part.get_content_type() if "content-type" in part else None
        found.append((str(name), part.get_filename(), labelled, part.get_payload(decode=True)))
    return found


def made(body: Body) -> bytes:
    return b"".join(body.pieces())


NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["Cc"]), min_size=1)
FIELDS = st.dictionaries(NAMES, st.text(st.characters(codec="utf-8")), max_size=3)
FILES = st.lists(st.tuples(NAMES, NAMES, st.binary(), st.sampled_from(["image/png", "audio/x-wav"])), max_size=3)


@given(FIELDS, FILES)
def test_forms_are_httpxs_to_the_byte(data: dict[str, str], files: list[tuple[str, str, bytes, str]]) -> None:
    """With the same boundary, httpx's own encoder makes the same bytes of the same form."""
    body = multipart(data, files)
    if not files:
        return
    theirs = httpx.Request(
        "POST",
        "http://localhost",
        data=data,
        files=[(name, (filename, content, kind)) for name, filename, content, kind in files],
        headers={"content-type": body.media_type or ""},
    )
    assert made(body) == theirs.read()
    assert body.length == int(theirs.headers["content-length"])


# Of all that may stand between quotation marks, the email parser rewrites some: angle brackets, escapes, RFC 2231.
SIMPLE = st.text(string.ascii_letters + string.digits + "._-;:=,()[]+@#&!/", min_size=1)


@given(
    st.dictionaries(SIMPLE, st.text(st.characters(codec="utf-8"))),
    st.lists(st.tuples(SIMPLE, SIMPLE, st.binary(), st.just("image/png")), min_size=1, max_size=3),
)
@example({"a": "\r\n--\r\n"}, [("f", "f", b"\r\n\r\n--", "image/png")])
def test_forms_are_read_by_the_standard_library(data: dict[str, str], files: list[tuple[str, str, bytes, str]]) -> None:
    """The email parser, which knows nothing of forms, finds in one what went in."""
    body = multipart(data, files)
    found = parsed(body.media_type or "", made(body))
    assert found == [
        *((name, None, None, value.encode()) for name, value in data.items()),
        *((name, filename, kind, content) for name, filename, content, kind in files),
    ]


TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS, TEXTS, TEXTS)
@example('a"b\r\nc', 'd"e\r\nf: g', "")
def test_no_name_breaks_out_of_its_quotation_marks(name: str, filename: str, value: str) -> None:
    """Quotation marks and line ends in names are written as browsers write them, so that a name stays one."""
    body = multipart({name: value}, [(name, filename, b"content", "x/y")])
    boundary = (body.media_type or "").partition("boundary=")[2]

    def quoted(text: str) -> str:
        return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")

    assert made(body).decode() == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted(name)}"\r\n\r\n{value}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted(name)}"; filename="{quoted(filename)}"\r\n'
        f"Content-Type: x/y\r\n\r\ncontent\r\n--{boundary}--\r\n"
    )


def test_half_a_character_in_a_form() -> None:
    """A lone surrogate, which UTF-8 cannot hold, becomes the replacement character, as in browsers."""
    body = made(multipart({"a\ud83d": "b\ud83d"}, [("f", "caf\udce9.png", b"x", "x/y")])).decode()
    assert [part in body for part in ('name="a\ufffd"', "b\ufffd", 'filename="caf\ufffd.png"')] == [True] * 3


def test_a_media_type_adds_no_headers() -> None:
    """A file's type in a form is one line of ASCII, or the caller's error."""
    for kind in ("audio/wav\r\nx: y", "audio/\u00e4", "a\nb"):
        with pytest.raises(InputError, match="no media type"):
            multipart({}, [("f", "f", b"x", kind)])


def test_boundaries_differ() -> None:
    """No two forms have the same boundary, so that none can be guessed."""
    assert len({multipart({}, []).media_type for _ in range(100)}) == 100


# What stays on disk, and what does not.


def test_only_what_is_large_and_can_be_read_again_stays_where_it_is(large: Path, tmp_path: Path) -> None:
    """Small files are read at once, large ones found ready; so are open files."""
    (tmp_path / "small").write_bytes(PNG)
    assert kept_or_loaded(Media(large)) == Stored(large, 0, len(LARGE), "image/png")
    assert not isinstance(kept_or_loaded(Media(tmp_path / "small")), Stored)
    file: IO[bytes]
    with large.open("rb") as file:
        file.seek(9)
        assert kept_or_loaded(Media(file)) == Stored(file, 9, len(LARGE) - 9, "application/octet-stream")
        assert file.tell() == 9
        file.seek(len(LARGE) - 9)
        assert not isinstance(kept_or_loaded(Media(file)), Stored)


def test_a_raw_file_that_reads_less_than_asked(large: Path) -> None:
    """A file without a buffer may give less than was asked for, and is sent whole all the same."""

    class Slow(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 1000) if size and size > 0 else -1)

    with Slow(str(large)) as file:
        stored = kept_or_loaded(Media(file))  # type: ignore[arg-type]
        assert isinstance(stored, Stored)
        assert b"".join(stored.pieces()) == LARGE


# Memory.

MEASURED = """
import json, resource, sys, tracemalloc
from pathlib import Path
import anyio
from hfclient.destination import Destination
from hfclient.flow import post
from hfclient.media import Media
from hfclient.transport import Transport

def high_water():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

async def main(url, file, small, kind, form, traced):
    transport = Transport(kind=kind, max_connections=3)
    to = Destination("somebody", url)
    def request(path):
        media = Media(Path(path))
        return post("/x", files={"f": ("f", media, "x/y")}) if form == "form" else post("/x", content=media)
    await transport.send(request(small), to)
    if traced == "traced":
        tracemalloc.start()
    before, resident = high_water(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    await transport.send(request(file), to)
    risen = [high_water() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident]
    print(json.dumps(risen + ([tracemalloc.get_traced_memory()[1]] if traced == "traced" else [])))
    await transport.aclose()

anyio.run(main, *sys.argv[2:], backend=sys.argv[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("backend", "kind", "form", "traced"),
    [
        ("asyncio", "httpx", "raw", "traced"),
        ("asyncio", "httpx", "form", "traced"),
        ("trio", "httpx", "form", ""),
        ("asyncio", "aiohttp", "raw", ""),
    ],
)
def test_memory_does_not_grow_with_a_file(backend: str, kind: str, form: str, traced: str, tmp_path: Path) -> None:
    """Half a gigabyte is sent while no more than 32 MB of memory come on top, as Python and the system count them."""
    size = 500 * 10**6
    file, small = tmp_path / "film.mp4", tmp_path / "small.mp4"
    for path, length in ((file, size), (small, 2 * PIECE)):
        with path.open("wb") as opened:
            opened.write(b"\x00\x00\x00\x20ftypisom")
            opened.truncate(length)
    with Drain() as server:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, backend, server.url, str(file), str(small), kind, form, traced],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert server.taken[-1].whole
        assert server.taken[-1].size >= size
    risen = json.loads(done.stdout)
    assert max(risen) < 32 * 2**20, risen

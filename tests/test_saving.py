"""`save_to=`: a result on disk, whole or not at all, however it comes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from hfclient import Client, Provider, Task
from hfclient.call import Call
from hfclient.errors import HFClientError, InputError, NotFoundError, ResponseError
from hfclient.flow import Flow, Progress, Response, post
from hfclient.providers.files import from_address, from_base64, from_body
from hfclient.providers.table import PROVIDERS
from hfclient.registry import Registry
from hfclient.route import Route
from hfclient.types import Image, Meta
from tests.test_dispatch import CancelAt

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(3000)
ENCODED = base64.b64encode(PNG).decode()
FILE = "https://files.example/cat.png"
BEFORE = b"what was there"


def paint(call: Call, route: Route) -> Flow[Image]:
    """A picture in the answer, in base64 within it, or at an address."""
    reply: Response = yield post("/paint", json={"prompt": call.inputs})
    if reply.media_type == "image/png":
        return from_body(Image, reply)
    answer = reply.json()
    if "url" in answer:
        return (yield from from_address(Image, answer["url"]))
    return from_base64(Image, answer["image"])


class Slow(httpx.AsyncByteStream):
    """A body in parts, before each of which others may run; an exception among them is raised in its place."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await anyio.lowlevel.checkpoint()
            if isinstance(part, Exception):
                raise part
            yield part


def body(content: bytes = PNG) -> httpx.Response:
    parts = [content[start : start + 1000] for start in range(0, len(content), 1000)]
    return httpx.Response(
        200, headers={"content-type": "image/png", "content-length": str(len(content))}, stream=Slow(*parts)
    )


def js(payload: object) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, stream=Slow(json.dumps(payload).encode()))


WAYS: dict[str, Any] = {
    "body": body,
    "base64": lambda: js({"image": ENCODED}),
    "data": lambda: js({"url": f"data:image/png;base64,{ENCODED}"}),
    "address": lambda: js({"url": FILE}),
}


class Painter:
    """The provider, and the host of its files."""

    def __init__(self, answer: Any, *files: Any) -> None:
        self._answer = answer
        self._files = list(files) or [body]
        self.requests: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.host)
        if request.url.host == "files.example":
            answer = self._files.pop(0) if len(self._files) > 1 else self._files[0]
            return answer() if callable(answer) else httpx.Response(answer)
        return self._answer()  # type: ignore[no-any-return]

    async def paint(self, **options: Any) -> Any:
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        async with Client(provider="painter", keys={"painter": "painter_fake_key"}, http_client=http_client) as client:
            return await client.text_to_image("a cat", model="m", **options)


@pytest.fixture(autouse=True)
def _painter(monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"text-to-image": Task(paint)}
    painter = Provider("painter", "https://api.painter.example", task, ("PAINTER_KEY",), routed=False, mapped=False)
    monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([*PROVIDERS, painter]))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A place where there is something already."""
    (tmp_path / "cat.png").write_bytes(BEFORE)
    return tmp_path / "cat.png"


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def whole_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("way", WAYS)
async def test_a_result_lies_where_it_was_wanted(way: str, target: Path) -> None:
    """In the answer or at an address: it is on disk, knows where, and reads its content from there."""
    image = await Painter(WAYS[way]).paint(save_to=target)
    assert (type(image), image.path, image.media_type) == (Image, target, "image/png")
    assert whole_in(target.parent) == {"cat.png": PNG}
    assert (image.content, image.size) == (PNG, len(PNG))
    assert isinstance(image.meta, Meta)
    put(target, b"changed since")
    assert image.content == b"changed since"


@pytest.mark.parametrize("way", WAYS)
async def test_without_a_place_it_is_in_memory(way: str) -> None:
    """Nothing is written that nobody asked for."""
    image = await Painter(WAYS[way]).paint()
    assert (image.path, image.content) == (None, PNG)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: js({"image": "?"}),
        lambda: js({"image": ""}),
        lambda: js({"image": None}),
        lambda: js({"url": 3}),
        lambda: js({"url": "nowhere"}),
        lambda: httpx.Response(200, headers={"content-type": "image/png"}, content=b""),
        lambda: httpx.Response(404, json={"error": "no"}),
    ],
)
async def test_an_answer_that_is_no_file_leaves_what_was_there(answer: Any, target: Path) -> None:
    """The error is a typed one, and the file is as it was."""
    with pytest.raises(HFClientError):
        await Painter(answer).paint(save_to=target)
    assert whole_in(target.parent) == {"cat.png": BEFORE}


def short() -> httpx.Response:
    """It says that it is longer than it is."""
    return httpx.Response(200, headers={"content-length": "3008"}, stream=Slow(PNG[:1500]))


def torn() -> httpx.Response:
    return httpx.Response(200, stream=Slow(PNG[:1500], httpx.ReadError("reset")))


@pytest.mark.parametrize("fault", [short, torn, 502])
async def test_a_download_that_breaks_is_begun_again(fault: Any, target: Path, pauses: list[float]) -> None:
    """From its start, and what is there in the end is whole."""
    painter = Painter(WAYS["address"], fault, fault, body)
    assert (await painter.paint(save_to=target)).content == PNG
    assert painter.requests == ["api.painter.example", *["files.example"] * 3]
    assert whole_in(target.parent) == {"cat.png": PNG}


@pytest.mark.parametrize("fault", [short, torn, 502, 404])
async def test_a_download_that_never_succeeds_leaves_what_was_there(
    fault: Any, target: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience has an end, and half a file is no file."""
    monkeypatch.setattr("hfclient.clock.now", lambda: sum(pauses))
    with pytest.raises(HFClientError) as caught:
        await Painter(WAYS["address"], fault).paint(save_to=target)
    assert isinstance(caught.value, NotFoundError) == (fault == 404)
    assert (caught.value.provider, caught.value.task) == ("painter", "text-to-image")
    assert whole_in(target.parent) == {"cat.png": BEFORE}


@pytest.mark.parametrize("way", WAYS)
async def test_a_file_that_is_too_large_is_not_kept(way: str, target: Path) -> None:
    """`max_download_bytes` bounds what comes in the answer, and what is fetched, be its size announced or not."""
    for options in ({}, {"save_to": target}):
        for file in (body, lambda: httpx.Response(200, stream=Slow(PNG))):
            with pytest.raises(ResponseError, match=r"larger than 3,007 bytes") as caught:
                await Painter(WAYS[way], file).paint(max_download_bytes=len(PNG) - 1, **options)
            assert "Raise max_download_bytes" in caught.value.advice
    assert whole_in(target.parent) == {"cat.png": BEFORE}
    assert (await Painter(WAYS[way]).paint(max_download_bytes=len(PNG))).size == len(PNG)


@pytest.mark.parametrize("way", WAYS)
async def test_cancelling_at_any_point_leaves_a_whole_file(way: str, target: Path) -> None:
    """The one that was there or the one that was wanted, and no part of either beside it."""
    waits = nth = 0
    while nth <= waits:
        nth += 1
        put(target, BEFORE)
        with anyio.CancelScope() as scope:
            cancelling = CancelAt(Painter(WAYS[way]).paint(save_to=target), scope, nth)
            await cancelling
        waits = cancelling.waits
        found = whole_in(target.parent)
        assert found in ({"cat.png": BEFORE}, {"cat.png": PNG}), nth
        assert scope.cancelled_caught or nth > waits - 6, nth
    assert waits > 5


async def test_a_listener_that_fails_leaves_what_was_there(target: Path) -> None:
    """What `on_progress` raises in the middle of a download ends it cleanly."""

    def listen(progress: Progress) -> None:
        if progress.state == "downloading":
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await Painter(WAYS["address"]).paint(save_to=target, on_progress=listen)
    assert whole_in(target.parent) == {"cat.png": BEFORE}


async def test_a_result_that_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that gives something else where a file is to be saved does not make the option vanish."""

    def write(call: Call, route: Route) -> Flow[str]:
        yield from ()
        return "a cat, in words"

    odd = Provider("painter", "https://api.painter.example", {"text-to-image": Task(write)}, routed=False, mapped=False)
    monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([odd]))
    with pytest.raises(InputError, match="no file, but of type str") as caught:
        await Painter(None).paint(save_to=tmp_path / "x")
    assert caught.value.advice == "Ask for it without save_to=…."
    assert whole_in(tmp_path) == {}

"""Requests that travel together: in order, a few at a time, and all or none."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from hfclient import Client
from hfclient.errors import BadRequestError, DeadlineError, InputError, ResponseError
from hfclient.remote import AT_ONCE
from hfclient.types import Embeddings

pytestmark = pytest.mark.anyio

KEY = "hf_fake_0123456789abcdef"


class Embedder:
    """Gives each text the vector (its number, 1), and counts how many requests are under way."""

    def __init__(self, *, openai: bool = True) -> None:
        self._openai = openai
        self.batches: list[list[str]] = []
        self.under_way = self.most = self.left = 0
        self.before: Callable[[list[str]], Awaitable[None]] | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        said = json.loads(request.content)
        texts = said["input" if self._openai else "inputs"]
        self.batches.append(texts)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await anyio.lowlevel.checkpoint()
            if self.before is not None:
                await self.before(texts)
        except BaseException:
            self.left += 1
            raise
        finally:
            self.under_way -= 1
        return httpx.Response(200, json=self._answer([texts] if isinstance(texts, str) else texts))

    def _answer(self, texts: list[str]) -> Any:
        rows = [[int(text), 1] for text in texts]
        if not self._openai:
            return rows
        # As they please: the number says which is which.
        data = [{"index": index, "embedding": row} for index, row in enumerate(rows)][::-1]
        return {"model": "served", "data": data, "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)}}

    def client(self, **options: Any) -> Client:
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        address = f"https://mine.example{'/v1' if self._openai else ''}"
        return Client.endpoint(address, KEY, **{"model": "m", "http_client": http_client, **options})


async def embed(embedder: Embedder, count: int, **options: Any) -> Embeddings:
    async with embedder.client() as client:
        return await client.feature_extraction([str(number) for number in range(count)], **options)


def numbers_in(vectors: Embeddings) -> list[float]:
    return [row[0] for row in vectors]  # type: ignore[misc]


@pytest.mark.parametrize(("openai", "longest"), [(True, 1024), (False, 32)], ids=["openai", "hf"])
async def test_ten_thousand_texts(openai: bool, longest: int) -> None:
    """A list of any length is one call: sent in as many requests as the provider takes at once, and given back in the
    order of the texts, with the sum of what they cost."""
    embedder = Embedder(openai=openai)
    vectors = await embed(embedder, 10_000)
    assert vectors.shape == (10_000, 2)
    assert numbers_in(vectors) == list(range(10_000))
    assert {len(batch) for batch in embedder.batches[:-1]} == {longest}
    assert sum(map(len, embedder.batches)) == 10_000
    if openai:
        assert vectors.usage is not None
        assert (vectors.usage.prompt_tokens, vectors.usage.total_tokens, vectors.model) == (10_000, 10_000, "served")
    assert vectors.meta.status == 200


@pytest.mark.parametrize("size", [1, 7, 10, 11])
async def test_the_size_of_a_batch_can_be_said(size: int) -> None:
    """`batch_size` texts go into one request, the last has the rest; it is not sent itself."""
    embedder = Embedder()
    assert numbers_in(await embed(embedder, 10, batch_size=size)) == list(range(10))
    assert sorted(map(len, embedder.batches), reverse=True) == sorted(
        [size] * (10 // size) + [10 % size] * bool(10 % size), reverse=True
    )


@pytest.mark.parametrize("size", [0, -1])
async def test_a_size_that_makes_no_sense(size: int) -> None:
    """Nothing is sent."""
    embedder = Embedder()
    with pytest.raises(InputError, match=f"batch_size={size} is not a whole number above 0"):
        await embed(embedder, 3, batch_size=size)
    with pytest.raises(InputError, match="batch_size='x'"):
        await embed(embedder, 3, extra_body={"batch_size": "x"})
    assert embedder.batches == []


async def test_a_text_alone_stays_alone() -> None:
    """One text is sent as a text, and gives one row."""
    embedder = Embedder()
    async with embedder.client() as client:
        vectors = await client.feature_extraction("7")
    assert (embedder.batches, numbers_in(vectors)) == (["7"], [7])


async def test_a_few_at_a_time() -> None:
    """However many there are, no more than four are under way, and as soon as one is back the next sets out."""
    embedder = Embedder()
    waiting: list[anyio.Event] = []

    async def wait(_: list[str]) -> None:
        waiting.append(anyio.Event())
        if len(waiting) == AT_ONCE:
            for event in waiting:
                event.set()
        await waiting[-1].wait() if len(waiting) <= AT_ONCE else None

    embedder.before = wait
    assert numbers_in(await embed(embedder, 40, batch_size=2)) == list(range(40))
    assert embedder.most == AT_ONCE == 4
    assert embedder.under_way == 0


async def test_answers_may_come_in_any_order() -> None:
    """What is overtaken on the way is back in its place."""
    embedder = Embedder()
    second = anyio.Event()

    async def overtaken(texts: list[str]) -> None:
        if texts == ["0"]:
            await second.wait()
        if texts == ["9"]:
            second.set()

    embedder.before = overtaken
    assert numbers_in(await embed(embedder, 10, batch_size=1)) == list(range(10))


async def test_the_first_to_fail_ends_them_all() -> None:
    """What is still under way is cancelled, what has not been sent is not, and the error is the first one's, alone."""
    embedder = Embedder()

    async def fail(texts: list[str]) -> None:
        if texts == ["2"]:
            raise httpx.UnsupportedProtocol("no such thing")
        if texts > ["2"]:
            await anyio.sleep_forever()

    embedder.before = fail
    with pytest.raises(InputError, match="no such thing") as caught:
        await embed(embedder, 100, batch_size=1)
    assert len(embedder.batches) <= 6
    assert (embedder.under_way, embedder.left > 0) == (0, True)
    assert caught.value.task == "feature-extraction"


async def test_a_refused_part_refuses_the_whole() -> None:
    """No vector is given where one of them is missing."""
    answers = [
        httpx.Response(200, json={"data": [{"embedding": [1]}]}),
        httpx.Response(413, json={"error": "too long"}),
    ]
    http_client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answers.pop(0)))
    async with Client.endpoint("https://mine.example/v1", KEY, model="m", http_client=http_client) as client:
        with pytest.raises(BadRequestError, match="too long"):
            await client.feature_extraction(["a", "b"], batch_size=1)


async def test_parts_that_do_not_fit_each_other() -> None:
    """Vectors of several lengths are no block of numbers."""
    answers = [[1, 2], [1, 2, 3]]

    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"embedding": answers.pop(0)}]})

    http_client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    async with Client.endpoint("https://mine.example/v1", KEY, model="m", http_client=http_client) as client:
        with pytest.raises(ResponseError, match="ragged"):
            await client.feature_extraction(["a", "b"], batch_size=1)


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_leaving_leaves_nothing_under_way(how: str) -> None:
    """A call that is cancelled, or has no more time, takes all its requests along."""
    embedder = Embedder()
    with anyio.CancelScope() as scope:

        async def leave(_: list[str]) -> None:
            if embedder.under_way == AT_ONCE and how == "cancelled":
                scope.cancel()
            await anyio.sleep_forever()

        embedder.before = leave
        try:
            await embed(embedder, 100, batch_size=1, deadline=0.05 if how == "out of time" else None)
        except DeadlineError:
            assert how == "out of time"
    assert scope.cancelled_caught is (how == "cancelled")
    assert (embedder.under_way, embedder.left) == (0, len(embedder.batches))


async def test_each_is_retried_for_itself(pauses: list[float]) -> None:
    """A part that is not ready is asked for again; those that are there are not."""
    embedder = Embedder()
    failed: list[str] = []

    async def fail(texts: list[str]) -> None:
        if texts == ["3"] and not failed:
            failed.append("3")
            raise httpx.ConnectError("refused")

    embedder.before = fail
    vectors = await embed(embedder, 10, batch_size=1)
    assert numbers_in(vectors) == list(range(10))
    assert len(embedder.batches) == 11
    assert [attempt.error for attempt in vectors.meta.attempts] == ["ConnectionFailedError", None]
    assert len(pauses) == 1

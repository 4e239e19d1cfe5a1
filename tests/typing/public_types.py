"""The public types, pinned: this file is checked by mypy and pyright, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, assert_type

from pydantic import BaseModel

from hfclient import Client, Mapped, Stream, chat_completion, user
from hfclient.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Items,
    Meta,
    Model,
    ModelProvider,
    ParsedChatCompletion,
    Pricing,
    ToolCall,
    Usage,
)


class City(BaseModel):
    name: str


async def whole_answers(client: Client) -> None:
    reply = await client.chat("hi", model="m", temperature=0.5, provider=["groq", "together"], timeout=5)
    assert_type(reply, ChatCompletion)
    assert_type(reply.text, str)
    assert_type(reply.reasoning, str | None)
    assert_type(reply.tool_calls, tuple[ToolCall, ...])
    assert_type(reply.usage, Usage | None)
    assert_type(reply.meta, Meta)
    assert_type(await client.chat_completion("hi", model="m"), ChatCompletion)
    assert_type(await chat_completion(client, [{"role": "user", "content": "hi"}]), ChatCompletion)


async def parsed_answers(client: Client) -> None:
    reply = await client.chat.parse("hi", response_format=City)
    assert_type(reply, ParsedChatCompletion[City])
    assert_type(reply.parsed, City)
    assert_type(reply.parsed.name, str)


async def streams(client: Client) -> None:
    stream = client.chat.stream("hi")
    assert_type(stream, Stream[ChatCompletionChunk, ChatCompletion])
    async for chunk in stream:
        assert_type(chunk, ChatCompletionChunk)
    async for text in stream.text():
        assert_type(text, str)
    assert_type(await stream.final(), ChatCompletion)
    async with client.chat.stream("hi") as opened:
        assert_type(opened, Stream[ChatCompletionChunk, ChatCompletion])


async def many(client: Client, numbers: AsyncIterator[int], either: Literal["raise", "return"]) -> None:
    async def half(number: int) -> float:
        return number / 2

    assert_type(client.map(half, [1, 2]), Mapped[float])
    assert_type(client.map(half, numbers, concurrency=2, on_error="raise"), Mapped[float])
    assert_type(client.map(half, range(3), on_error="return"), Mapped[float | Exception])
    assert_type(client.map(half, range(3), on_error=either), Mapped[float | Exception])
    assert_type(client.map(lambda question: client.chat(question, model="m"), ["a", "b"]), Mapped[ChatCompletion])
    async for reply in client.map(client.chat, ["a", "b"]):
        assert_type(reply, ChatCompletion)
    async with client.map(half, numbers) as halves:
        assert_type(halves, Mapped[float])
        assert_type(halves.done, int)
        assert_type(await anext(halves), float)


async def like_openai(client: Client) -> None:
    assert_type(await client.chat.completions.create(model="m", messages=[]), ChatCompletion)
    stream = await client.chat.completions.create(model="m", messages=[], stream=True)
    assert_type(stream, Stream[ChatCompletionChunk, ChatCompletion])
    either = await client.chat.completions.create(messages=iter([user("hi")]), stream=bool(stream), tools=iter([]))
    assert_type(either, ChatCompletion | Stream[ChatCompletionChunk, ChatCompletion])


async def models(client: Client) -> None:
    found = await client.models.list("chat", "groq", search="qwen", limit=None)
    assert_type(found, Items[Model])
    assert_type(found.meta, Meta)
    model = await client.models.get("m")
    assert_type(model, Model)
    assert_type(model.cheapest, ModelProvider | None)
    assert_type(found[0].providers[0].throughput, float | None)
    assert_type(found[0].providers[0].price, Pricing | None)
    assert_type((await client.chat("hi")).cost, float | None)
    assert_type(client.providers(), dict[str, tuple[str, ...]])


def copies(client: Client) -> None:
    assert_type(client.with_options(model="m"), Client)
    assert_type(Client.endpoint("http://localhost:8080"), Client)
    assert_type(Client.endpoint("http://localhost:8080", "key", model="m", timeout=5, max_connections=3), Client)


def slips(client: Client) -> None:
    """A type checker sees them before the program runs."""
    Client(modle="m")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.with_options(modle="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.with_options(max_connections=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.map(len, ["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.map(client.chat, [5])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.map(client.chat, ["a"], on_error="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]
    Client.endpoint("http://localhost:8080", modle="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

"""The public types, pinned: this file is checked by mypy and pyright, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, assert_type

from pydantic import BaseModel

import hfclient
from hfclient import Client, Job, Mapped, Progress, Stream, chat_completion, user
from hfclient.types import (
    Answer,
    Audio,
    Box,
    Caption,
    ChatCompletion,
    ChatCompletionChunk,
    DetectedObject,
    Embeddings,
    Entity,
    FilledMask,
    Image,
    Items,
    Label,
    Meta,
    Model,
    ModelProvider,
    ParsedChatCompletion,
    Pricing,
    RawAnswer,
    Segment,
    Summary,
    TableAnswer,
    TextGeneration,
    TextGenerationChunk,
    ToolCall,
    Track,
    Transcript,
    TranscriptChunk,
    Translation,
    Usage,
    Video,
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


async def texts(client: Client) -> None:
    assert_type(await client.text_classification("I like it."), Items[Label])
    assert_type(await client.zero_shot_classification("Red.", ["a", "b"]), Items[Label])
    assert_type(await client.token_classification("Sarah"), Items[Entity])
    assert_type(await client.fill_mask("<mask>"), Items[FilledMask])
    assert_type(await client.question_answering("Who?", "She."), Items[Answer])
    assert_type(await client.table_question_answering({"a": [1, "b"]}, "Who?"), TableAnswer)
    assert_type(await client.summarization("Long."), Summary)
    assert_type(await client.translation("Hi", src_lang="en", tgt_lang="fr"), Translation)
    assert_type(await client.feature_extraction(["a", "b"], batch_size=3), Embeddings)
    assert_type(await client.sentence_similarity("a", ["b"]), Items[float])
    assert_type(await client.tabular_classification({"a": ["1"]}), Items[str | int | float])
    assert_type(await client.tabular_regression({"a": ["1"]}), Items[float])
    generated = await client.text_generation("Once", max_new_tokens=3, provider="auto")
    assert_type(generated, TextGeneration)
    assert_type(generated.text, str)
    stream = client.text_generation_stream("Once")
    assert_type(stream, Stream[TextGenerationChunk, TextGeneration])
    assert_type(await stream.final(), TextGeneration)


async def pictures_sounds_and_films(client: Client, image: Image) -> None:
    assert_type(await client.image_classification("cat.png"), Items[Label])
    assert_type(await client.zero_shot_image_classification(b"", ["a"]), Items[Label])
    assert_type(await client.object_detection(Path("cat.png")), Items[DetectedObject])
    assert_type((await client.object_detection(b""))[0].box, Box)
    assert_type(await client.image_segmentation(b""), Items[Segment])
    assert_type((await client.image_segmentation(b""))[0].mask, Image)
    assert_type(await client.image_to_text(b""), Caption)
    assert_type(await client.visual_question_answering(b"", "What?"), Items[Answer])
    assert_type(await client.document_question_answering(b"", "What?"), Items[Answer])
    assert_type(await client.text_to_image("a cat", height=512, save_to=Path("cat.png")), Image)
    assert_type(await client.image_to_image(b"", "a dog", target_size={"width": 1, "height": 2}), Image)
    assert_type(await client.image_text_to_image(None, "a dog"), Image)
    assert_type(await client.text_to_video("a cat", on_progress=print), Video)
    assert_type(await client.image_to_video(b"", prompt="It walks."), Video)
    assert_type(await client.image_text_to_video(b"", "It walks."), Video)
    transcript = await client.automatic_speech_recognition("talk.flac", return_timestamps="word")
    assert_type(transcript, Transcript)
    assert_type(transcript.chunks, tuple[TranscriptChunk, ...] | None)
    assert_type(await client.audio_classification(b""), Items[Label])
    assert_type(await client.audio_to_audio(b""), Items[Track])
    assert_type((await client.audio_to_audio(b""))[0].audio, Audio)
    assert_type(await client.text_to_speech("Hi", top_k=3, save_to="hi.wav"), Audio)
    assert_type(await client.text_to_audio("Rain"), Audio)
    assert_type(image.meta, Meta)


async def functions(client: Client) -> None:
    """A method and its function have one type."""
    assert_type(await hfclient.text_to_image(client, "a cat"), Image)
    assert_type(await hfclient.feature_extraction(client, "a"), Embeddings)
    assert_type(await hfclient.automatic_speech_recognition(client, b""), Transcript)
    assert_type(hfclient.text_generation_stream(client, "a"), Stream[TextGenerationChunk, TextGeneration])


async def jobs(client: Client) -> None:
    job = await client.submit("text-to-video", "a cat", num_frames=48)
    assert_type(job, Job)
    assert_type(job.id, str)
    assert_type(job.meta, Meta)
    assert_type(job.provider, str)
    assert_type(job.model, str | None)
    progress = await job.status(timeout=5)
    assert_type(progress, Progress)
    assert_type(progress.position, int | None)
    assert_type(progress.logs, tuple[str, ...])
    assert_type(job.to_dict(), dict[str, Any])
    assert_type(Job.from_dict(job.to_dict()), Job)
    assert_type(Job.from_dict(job.to_dict(), client), Job)
    answer = await client.request("depth-estimation", b"", {"a": 1}, model="m")
    assert_type(answer, RawAnswer)
    assert_type(answer.content, bytes)


async def slips_in_tasks(client: Client, job: Job) -> None:
    """What is wrong with a task's arguments is seen before the program runs, too."""
    await client.text_to_image("a cat", heigth=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.text_to_image("a cat", height="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.text_classification("x", save_to="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.image_to_text(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.image_to_image(b"", target_size={"width": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await job.status(save_to="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

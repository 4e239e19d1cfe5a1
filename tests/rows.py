"""A row for each task, and a service that answers: what the tests of task functions have in common."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from hfclient import Client, tasks
from hfclient.media import Media
from hfclient.tasks.arguments import Form, form_of
from hfclient.types import (
    Answer,
    Audio,
    Box,
    Caption,
    DetectedObject,
    Embeddings,
    Entity,
    FilledMask,
    Image,
    Items,
    Label,
    Segment,
    Summary,
    TableAnswer,
    TextGeneration,
    Track,
    Transcript,
    Translation,
    Video,
)

KEY = "hf_fake_0123456789abcdef"
MODEL = "org/model"
HOST = "https://mine.example"

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
FLAC = b"fLaC" + bytes(16)
MP4 = b"\0\0\0\x18ftypmp42" + bytes(16)
PNG_TEXT, FLAC_TEXT = (base64.b64encode(content).decode() for content in (PNG, FLAC))

TABLE = {"Repository": ["Transformers", "Datasets"], "Stars": ["36542", "4512"]}
LABELS = [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]
OF_LABELS = Items([Label(label="good", score=0.75), Label(label="bad", score=0.25)])


@dataclass(frozen=True)
class Row:
    """A task: what it is called with, the call and the body that come of it, an answer and the result."""

    arguments: tuple[Any, ...]
    inputs: Any
    body: Any
    answer: Any
    result: Any
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def response(self) -> httpx.Response:
        if isinstance(self.answer, bytes):
            kinds = {PNG: "image/png", FLAC: "audio/flac", MP4: "video/mp4"}
            return httpx.Response(200, content=self.answer, headers={"content-type": kinds[self.answer]})
        return httpx.Response(200, json=self.answer)


def text_row(answer: Any, result: Any) -> Row:
    return Row(("Hello there.",), "Hello there.", {"inputs": "Hello there."}, answer, result)


def media_row(media: bytes, answer: Any, result: Any) -> Row:
    return Row((media,), Media(media), media, answer, result)


ROWS: dict[str, Row] = {
    "audio_classification": media_row(FLAC, LABELS, OF_LABELS),
    "audio_to_audio": media_row(
        FLAC,
        [{"label": "speech", "content-type": "audio/flac", "blob": FLAC_TEXT}],
        Items([Track.model_validate({"label": "speech", "content-type": "audio/flac", "audio": Audio.of(FLAC)})]),
    ),
    "automatic_speech_recognition": media_row(FLAC, {"text": "Hi."}, Transcript(text="Hi.")),
    "document_question_answering": Row(
        (PNG, "How much?"),
        {"image": Media(PNG), "question": "How much?"},
        {"inputs": {"question": "How much?", "image": PNG_TEXT}},
        [{"answer": "$5", "score": 0.5, "start": 3, "end": 4}],
        Items([Answer(answer="$5", score=0.5, start=3, end=4)]),
    ),
    "feature_extraction": Row(
        (["a", "b"],), ["a", "b"], {"inputs": ["a", "b"]}, [[1, 2], [3, 4]], Embeddings.from_rows([[1, 2], [3, 4]])
    ),
    "fill_mask": text_row(
        [{"sequence": "Hello you.", "score": 0.5, "token": 7, "token_str": "you"}],
        Items([FilledMask(sequence="Hello you.", score=0.5, token=7, token_str="you")]),
    ),
    "image_classification": media_row(PNG, LABELS, OF_LABELS),
    "image_segmentation": media_row(
        PNG,
        [{"label": "cat", "score": 0.5, "mask": PNG_TEXT}],
        Items([Segment(label="cat", score=0.5, mask=Image.of(PNG))]),
    ),
    "image_text_to_image": Row(
        (PNG, "On the moon"),
        Media(PNG),
        {"inputs": PNG_TEXT, "parameters": {"prompt": "On the moon"}},
        PNG,
        Image.of(PNG),
        {"prompt": "On the moon"},
    ),
    "image_text_to_video": Row(
        (PNG, "It walks."),
        Media(PNG),
        {"inputs": PNG_TEXT, "parameters": {"prompt": "It walks."}},
        MP4,
        Video.of(MP4),
        {"prompt": "It walks."},
    ),
    "image_to_image": media_row(PNG, PNG, Image.of(PNG)),
    "image_to_text": media_row(PNG, [{"generated_text": "a cat"}], Caption(generated_text="a cat")),
    "image_to_video": media_row(PNG, MP4, Video.of(MP4)),
    "object_detection": media_row(
        PNG,
        [{"label": "cat", "score": 0.5, "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}],
        Items([DetectedObject(label="cat", score=0.5, box=Box(xmin=1, ymin=2, xmax=3, ymax=4))]),
    ),
    "question_answering": Row(
        ("Where?", "She lives in London."),
        {"question": "Where?", "context": "She lives in London."},
        {"inputs": {"question": "Where?", "context": "She lives in London."}},
        {"answer": "London", "score": 0.5, "start": 13, "end": 19},
        Items([Answer(answer="London", score=0.5, start=13, end=19)]),
    ),
    "sentence_similarity": Row(
        ("It is sunny.", ["The sun shines.", "It rains."]),
        {"sentence": "It is sunny.", "other_sentences": ["The sun shines.", "It rains."]},
        {"inputs": {"source_sentence": "It is sunny.", "sentences": ["The sun shines.", "It rains."]}},
        [0.75, 0.25],
        Items([0.75, 0.25]),
    ),
    "summarization": text_row([{"summary_text": "Hi."}], Summary(summary_text="Hi.")),
    "table_question_answering": Row(
        (TABLE, "How many stars?"),
        {"table": TABLE, "query": "How many stars?"},
        {"inputs": {"table": TABLE, "query": "How many stars?"}},
        {"answer": "36542", "coordinates": [[0, 1]], "cells": ["36542"], "aggregator": "NONE"},
        TableAnswer(answer="36542", coordinates=((0, 1),), cells=("36542",), aggregator="NONE"),
    ),
    "tabular_classification": Row((TABLE,), TABLE, {"inputs": {"data": TABLE}}, ["a", 1], Items(["a", 1])),
    "tabular_regression": Row((TABLE,), TABLE, {"inputs": {"data": TABLE}}, [1.5, 2], Items([1.5, 2])),
    "text_classification": text_row([LABELS], OF_LABELS),
    "text_generation": text_row([{"generated_text": "Goodbye."}], TextGeneration(generated_text="Goodbye.")),
    "text_to_audio": text_row(FLAC, Audio.of(FLAC)),
    "text_to_image": text_row(PNG, Image.of(PNG)),
    "text_to_speech": text_row(FLAC, Audio.of(FLAC)),
    "text_to_video": text_row(MP4, Video.of(MP4)),
    "token_classification": text_row(
        [{"word": "London", "score": 0.5, "entity_group": "LOC", "start": 1, "end": 7}],
        Items([Entity(word="London", score=0.5, entity_group="LOC", start=1, end=7)]),
    ),
    "translation": text_row([{"translation_text": "Salut."}], Translation(translation_text="Salut.")),
    "visual_question_answering": Row(
        (PNG, "What is it?"),
        {"image": Media(PNG), "question": "What is it?"},
        {"inputs": {"question": "What is it?", "image": PNG_TEXT}},
        [{"answer": "a cat", "score": 0.5}],
        Items([Answer(answer="a cat", score=0.5)]),
    ),
    "zero_shot_classification": Row(
        ("Tomatoes are red.", ("good", "bad")),
        {"text": "Tomatoes are red.", "candidate_labels": ("good", "bad")},
        {"inputs": "Tomatoes are red.", "parameters": {"candidate_labels": ["good", "bad"]}},
        LABELS,
        OF_LABELS,
    ),
    "zero_shot_image_classification": Row(
        (PNG, ["good", "bad"]),
        {"image": Media(PNG), "candidate_labels": ["good", "bad"]},
        {"inputs": PNG_TEXT, "parameters": {"candidate_labels": ["good", "bad"]}},
        LABELS,
        OF_LABELS,
    ),
}
FUNCTIONS = {function.__name__: function for function in tasks.TASK_FUNCTIONS}
FORMS: dict[str, Form] = {name: form_of(function) for name, function in FUNCTIONS.items()}
FILES = sorted(name for name, form in FORMS.items() if "save_to" in form.options)
OF_MEDIA = sorted(name for name, row in ROWS.items() if any(isinstance(each, bytes) for each in row.arguments))

each_task = pytest.mark.parametrize("name", sorted(ROWS))


class Service:
    """Answers requests with what it is told, and keeps them; `pause` runs before each answer."""

    def __init__(self, *answers: httpx.Response | int) -> None:
        self._answers = list(answers)
        self.pause: Callable[[], Awaitable[None]] | None = None
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        if self.pause is not None:
            await self.pause()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, int):
            return httpx.Response(answer, json={"error": "not today"})
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def request(self) -> httpx.Request:
        (request,) = self.requests
        return request

    @property
    def body(self) -> Any:
        """What was sent: JSON, or the media itself."""
        content = self.request.content
        return json.loads(content) if self.request.headers["content-type"] == "application/json" else content


@asynccontextmanager
async def asking(service: Service, **options: Any) -> AsyncIterator[Client]:
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(service)) as http_client,
        Client.endpoint(HOST, KEY, **{"model": MODEL, **options}, http_client=http_client) as client,
    ):
        yield client


async def ask(service: Service, name: str, *arguments: Any, **options: Any) -> Any:
    async with asking(service) as client:
        return await getattr(client, name)(*arguments, **options)

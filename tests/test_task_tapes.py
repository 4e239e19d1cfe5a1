"""Answers that hf-inference really gave to its other tasks, replayed through the tasks' own functions."""

from __future__ import annotations

import base64
import json
from array import array
from typing import Any

import pytest

from hfclient import Client
from hfclient.errors import ModelLoadingError, ResponseError
from hfclient.types import Embeddings, File
from tests.samples import SAMPLES
from tests.tapes import ERRORS, HERE, body_of, client_for, exchanges, words_of

pytestmark = [pytest.mark.anyio, *HERE]

TASKS = sorted(set(SAMPLES) - {"text-generation"})
# A classifier that was asked to write down what is said.
OTHER_ANSWERS = {"200a0b465d6efcb2", "d8f1238a54a25843"}
# Where a file stands within an answer, and what we call it.
FILES = {"mask": "mask", "blob": "audio"}


def recorded() -> list[Any]:
    found = [param for task in TASKS for param in exchanges(f"hf-inference__{task}.json") if param.values[0]]
    return found or [pytest.param({}, id="none")]


async def asked(client: Client, exchange: dict[str, Any]) -> Any:
    task = exchange["task"]
    inputs = {"text": "a"} if task == "feature-extraction" else SAMPLES[task].inputs
    return await getattr(client, task.replace("-", "_"))(**inputs)


def told_in(exchange: dict[str, Any]) -> Any:
    """What the tape says, by the simplest reading there is: one answer, or a list of them."""
    content = body_of(exchange)
    if exchange["response"]["headers"].get("content-type", "").startswith(("image/", "audio/")):
        return content
    payload = json.loads(content)
    match exchange["task"], payload:
        case "feature-extraction", [float(), *_]:
            return [payload]
        case "text-classification", [list() as labels]:
            return labels
        case "zero-shot-classification", [dict() as older] | (dict() as older):
            return [dict(zip(("label", "score"), pair, strict=True)) for pair in zip(*two_lists(older), strict=True)]
        case "question-answering", dict():
            return [payload]
        case "summarization" | "translation" | "image-to-text", [first, *_]:
            return first
        case _:
            return payload


def two_lists(older: dict[str, Any]) -> tuple[list[str], list[float]]:
    return older["labels"], older["scores"]


def plain(result: Any) -> Any:
    """A result as JSON would have it."""
    if isinstance(result, File):
        return result.content
    if isinstance(result, Embeddings):
        return result.tolist()
    if hasattr(result, "model_fields_set"):
        known = {name: getattr(result, name) for name in type(result).model_fields}
        return {name: plain(value) for name, value in {**known, **(result.model_extra or {})}.items()}
    return [plain(item) for item in result] if isinstance(result, list | tuple) else result


def compare(ours: Any, told: Any) -> None:
    """Everything that is told is there, and nothing is told otherwise."""
    if isinstance(told, dict):
        for name, value in told.items():
            if name in FILES:
                assert ours[FILES[name]] == base64.b64decode(value)
            else:
                compare(ours[name], value)
    elif isinstance(told, list):
        assert len(ours) == len(told)
        for mine, theirs in zip(ours, told, strict=True):
            compare(mine, theirs)
    else:
        assert ours == told


@pytest.mark.parametrize("exchange", recorded())
async def test_every_recorded_answer_is_read_with_nothing_lost(exchange: dict[str, Any]) -> None:
    """A success is the task's result with all that is on the tape; an error is typed and keeps the server's words."""
    async with client_for(exchange, provider="hf-inference", model="org/model") as client:
        status = exchange["response"]["status"]
        if exchange["id"] in OTHER_ANSWERS:
            with pytest.raises(ResponseError, match="no Transcript"):
                await asked(client, exchange)
        elif status >= 400:
            with pytest.raises(ERRORS[status]) as caught:
                await asked(client, exchange)
            assert (caught.value.status, caught.value.task) == (status, exchange["task"])
            assert words_of(exchange)[:100] in caught.value.message
            if isinstance(caught.value, ModelLoadingError):
                assert caught.value.retry_after == json.loads(body_of(exchange)).get("estimated_time")
        else:
            result = await asked(client, exchange)
            told = told_in(exchange)
            if exchange["task"] == "feature-extraction":
                told = [array("f", row).tolist() for row in told]
            compare(plain(result), told)
            assert result.meta.provider == "hf-inference"
            if isinstance(result, File):
                assert result.media_type == exchange["response"]["headers"]["content-type"]


def test_the_tapes_are_all_there() -> None:
    """A glob that finds nothing must not pass for a success."""
    found = [param.values[0] for param in recorded()]
    assert len(found) > 130
    assert len({exchange["task"] for exchange in found}) >= 21
    assert len([exchange for exchange in found if exchange["response"]["status"] >= 400]) > 15


def test_the_comparison_notices() -> None:
    """What is missing, different or too much is seen."""
    compare({"a": 1, "more": 2}, {"a": 1})
    for ours, told in (({}, {"a": 1}), ({"a": 1}, {"a": 2}), ([1, 2], [1]), ({"mask": b"x"}, {"mask": "eQ=="})):
        with pytest.raises((AssertionError, KeyError)):
            compare(ours, told)

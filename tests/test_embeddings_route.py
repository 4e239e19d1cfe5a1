"""Embeddings over OpenAI's route: what each provider is sent, and long lists in batches that it takes."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from hfclient.errors import InputError, ResponseError
from hfclient.flow import Several, post
from hfclient.providers.embeddings import LONGEST_BATCH
from hfclient.providers.table import PROVIDERS
from tests.asking import ROWS, THEIRS, asked, asked_by_them, flow_of
from tests.flows import play, reply

FEATURES = "feature-extraction"
ADDRESSES = {"deepinfra": "/v1/openai/embeddings", "scaleway": "/v1/embeddings", "together": "/v1/embeddings"}
every_row = pytest.mark.parametrize("name", ADDRESSES)


def embeddings(name: str, inputs: object, **parts: Any) -> Any:
    return flow_of(name, asked(FEATURES, inputs, **parts))


def answer(*rows: Any) -> dict[str, Any]:
    return {"data": [{"index": place, "embedding": row} for place, row in enumerate(rows)], "model": "served"}


def test_who_does_it() -> None:
    """Beside hf-inference, which has a protocol of its own for it."""
    assert {row.name for row in PROVIDERS if FEATURES in row.tasks} == {*ADDRESSES, "hf-inference"}


@every_row
@pytest.mark.parametrize("inputs", ["Hello", ["Hello", "Good morning"]])
def test_texts_are_one_request(name: str, inputs: object) -> None:
    """The model first and nobody else's; a text alone stays alone, and what is told stands beside it."""
    call = asked(FEATURES, inputs, {"dimensions": 64}, {"user": "me", "model": "somebody/else"})
    step = next(flow_of(name, call))
    body = {"model": THEIRS, "input": inputs, "dimensions": 64, "user": "me"}
    assert step == Several((post(ADDRESSES[name], json=body),))
    assert next(iter(step.requests[0].json)) == "model"


@every_row
def test_long_lists_go_in_batches(name: str) -> None:
    """DeepInfra takes 1,024 texts at once; the rows come back in the order of the texts, whatever their numbers."""
    texts = [str(number) for number in range(LONGEST_BATCH + 2)]
    steps, vectors = play(
        embeddings(name, texts),
        [reply(answer(*([float(place)] for place in range(LONGEST_BATCH)))), reply(answer([1024.0], [1025.0]))],
    )
    (several,) = steps
    assert [len(request.json["input"]) for request in several.requests] == [1024, 2]
    assert vectors.shape == (1026, 1)
    assert [row[0] for row in vectors.tolist()] == [float(text) for text in texts]


def test_the_caller_may_want_smaller_batches() -> None:
    """`batch_size` is ours to read, and no provider is told it."""
    several = next(embeddings("together", ["a", "b", "c"], parameters={"batch_size": 2}))
    assert [request.json for request in several.requests] == [
        {"model": THEIRS, "input": ["a", "b"]},
        {"model": THEIRS, "input": ["c"]},
    ]
    with pytest.raises(InputError, match="batch_size=0"):
        next(embeddings("together", ["a"], parameters={"batch_size": 0}))


@every_row
def test_base64_is_read_and_rows_are_put_in_order(name: str) -> None:
    """Vectors as base64 are float32, and an index says which text a row belongs to."""
    packed = base64.b64encode(struct.pack("<2f", 0.5, -0.25)).decode()
    payload = {"data": [{"index": 1, "embedding": [1.0, 2.0]}, {"index": 0, "embedding": packed}]}
    flow = embeddings(name, ["a", "b"], parameters={"encoding_format": "base64"})
    steps, vectors = play(flow, [reply(payload)])
    assert steps[0].requests[0].json["encoding_format"] == "base64"  # type: ignore[union-attr]
    assert vectors.tolist() == [[0.5, -0.25], [1.0, 2.0]]


@every_row
def test_an_error_that_came_as_a_success_is_one(name: str) -> None:
    """And an answer without vectors is another."""
    with pytest.raises(ResponseError, match="overloaded"):
        play(embeddings(name, "a"), [reply({"error": {"message": "overloaded"}})])
    with pytest.raises(ResponseError, match="no embeddings"):
        play(embeddings(name, "a"), [reply({"data": []})])


@every_row
@pytest.mark.parametrize("inputs", ["Hello", ["Hello", "Good morning"]])
def test_the_request_is_the_official_clients(name: str, inputs: object) -> None:
    """Address and body agree with huggingface_hub's."""
    call = asked(FEATURES, inputs, {"dimensions": 64, "encoding_format": "float", "normalize": True}, {"user": "me"})
    theirs = asked_by_them(name, call)
    (ours,) = next(flow_of(name, call)).requests
    assert (ROWS[name].url + ours.path, ours.json) == (theirs.url, theirs.json)

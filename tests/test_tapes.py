"""Answers that the Hub and the providers really gave, replayed through our own decoding.

The recordings lie beside the project and are no part of it; without them, these tests are skipped.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from hfclient.errors import NotAStreamError, ResponseError
from hfclient.hub import read_mapping
from hfclient.types import ChatCompletion
from tests.tapes import ERRORS, HERE, body_of, client_for, exchanges, words_of

pytestmark = [pytest.mark.anyio, *HERE]

# Not chats in OpenAI's form: Cohere's native API, and conversations as hf-inference had them until 2024.
OTHER_PROTOCOLS = ("https://api.cohere.com/v2/chat", "https://api-inference.huggingface.co/models/microsoft/")
# A recording of a body that was compressed in a way we do not ask for.
UNREADABLE = {"a4678dfebe100cde"}
# Answered before a tool call's arguments had their name in Text Generation Inference.
NO_ARGUMENTS = {"84145895392dc80c", "a95ee9269992db24"}


def pieces_of(exchange: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices on the tape, whole or piece by piece, by the simplest reading there is."""
    body = body_of(exchange).decode()
    if not exchange["response"].get("sse"):
        return [json.loads(body)]
    lines = [line.removeprefix("data:").strip() for line in body.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def said_in(exchange: dict[str, Any]) -> dict[str, Any]:
    """The text, finish reason, tool calls and usage on the tape."""
    told: dict[str, Any] = {"text": "", "finish_reason": None, "names": [], "arguments": "", "usage": None}
    for piece in pieces_of(exchange):
        told["usage"] = piece.get("usage") or told["usage"]
        for choice in piece.get("choices") or []:
            message = choice.get("message") or choice.get("delta") or {}
            told["text"] += message.get("content") or ""
            told["finish_reason"] = choice.get("finish_reason") or told["finish_reason"]
            calls = message.get("tool_calls") or []
            for call in [calls] if isinstance(calls, dict) else calls:
                function = call.get("function") or {}
                told["names"] += [function["name"]] if function.get("name") else []
                arguments = function.get("arguments") or ""
                told["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)
    return told


def is_chat(exchange: dict[str, Any]) -> bool:
    return not exchange["request"]["url"].startswith(OTHER_PROTOCOLS) and exchange["id"] not in UNREADABLE


@pytest.mark.parametrize("exchange", exchanges("*__conversational*.json"))
async def test_every_recorded_answer_is_read_as_it_was_meant(exchange: dict[str, Any]) -> None:
    """Text, tool calls, finish reason and usage are those on the tape; errors are typed and keep the server's words."""
    if exchange["response"]["status"] >= 400:
        await refused_as_recorded(exchange)
    elif not is_chat(exchange):
        await refused_as_no_chat(exchange)
    else:
        compare(await answer_to(exchange), exchange)


async def answer_to(exchange: dict[str, Any]) -> ChatCompletion:
    async with client_for(exchange) as client:
        if not exchange["response"].get("sse"):
            return await client.chat("x")
        stream = client.chat.stream("x")
        read = "".join([text async for text in stream.text()])
        final = await stream.final()
    assert final.text == read
    return final


def compare(answer: ChatCompletion, exchange: dict[str, Any]) -> None:
    told = said_in(exchange)
    assert answer.text == told["text"]
    assert answer.finish_reason == told["finish_reason"]
    assert [call.function.name for call in answer.tool_calls] == told["names"]
    if exchange["id"] not in NO_ARGUMENTS:
        assert "".join(call.function.arguments for call in answer.tool_calls) == told["arguments"]
    if told["usage"] is None:
        assert answer.usage is None
    else:
        assert answer.usage is not None
        counts = ("prompt_tokens", "completion_tokens", "total_tokens")
        assert {name: getattr(answer.usage, name) for name in counts} == {name: told["usage"][name] for name in counts}


async def refused_as_recorded(exchange: dict[str, Any]) -> None:
    status = exchange["response"]["status"]
    async with client_for(exchange) as client:
        with pytest.raises(ERRORS[status]) as caught:
            await client.chat("x")
        with pytest.raises(ERRORS[status]):
            await client.chat.stream("x").open()
    assert caught.value.status == status
    assert words_of(exchange)[:100] in caught.value.message


async def refused_as_no_chat(exchange: dict[str, Any]) -> None:
    """What is no chat in OpenAI's form is a typed error, and never an empty answer."""
    async with client_for(exchange) as client:
        with pytest.raises(ResponseError, match="no chat completion"):
            await client.chat("x")
        with pytest.raises(NotAStreamError):
            await client.chat.stream("x").open()


@pytest.mark.parametrize("exchange", exchanges("hub__model-info.json"))
def test_every_recorded_model_is_read(exchange: dict[str, Any]) -> None:
    """The mapping's every row is read, with nothing lost; a model without one is served by nobody."""
    if exchange["response"]["status"] >= 300:
        pytest.skip("a redirect")
    info = json.loads(body_of(exchange))
    mapping = info.get("inferenceProviderMapping") or {}
    rows = list(mapping.values()) if isinstance(mapping, dict) else mapping
    entries = read_mapping(info)
    assert [(entry.provider_id, entry.task, entry.status) for entry in entries] == [
        (row["providerId"], row["task"], row["status"]) for row in rows
    ]
    if isinstance(mapping, dict):
        assert [entry.provider for entry in entries] == list(mapping)


def test_the_tapes_are_all_there() -> None:
    """A glob that finds nothing must not pass for a success."""
    chats = [param.values[0] for param in exchanges("*__conversational*.json")]
    assert len([exchange for exchange in chats if is_chat(exchange)]) > 90
    assert len(exchanges("hub__model-info.json")) > 5

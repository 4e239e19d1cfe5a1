"""`client.chat.completions.create` takes what the OpenAI SDK's takes, and sends it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from hfclient import Client, Stream
from hfclient.errors import InputError
from hfclient.tasks.chat import ChatOptions
from hfclient.types import ChatCompletion
from tests.internet import HF, MODEL, Internet

pytestmark = pytest.mark.anyio

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
MESSAGES = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]

# Every parameter of the SDK's create that goes into the body, each with a value its documentation shows.
IN_THE_BODY: dict[str, Any] = {
    "messages": MESSAGES,
    "model": MODEL,
    "audio": {"format": "wav", "voice": "alloy"},
    "frequency_penalty": -1.5,
    "function_call": "auto",
    "functions": [{"name": "f", "parameters": {"type": "object"}}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 100,
    "max_tokens": 100,
    "metadata": {"team": "a"},
    "modalities": ["text", "audio"],
    "moderation": {"mode": "off"},
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "Hi"},
    "presence_penalty": 0.5,
    "prompt_cache_key": "key-1",
    "prompt_cache_options": {"scope": "org"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "user-1",
    "seed": 42,
    "service_tier": "flex",
    "stop": ["\n", "END"],
    "store": True,
    "stream": True,
    "stream_options": {"include_usage": False},
    "temperature": 0.7,
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "tools": [TOOL],
    "top_logprobs": 3,
    "top_p": 0.9,
    "user": "user-1",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
AROUND_IT: dict[str, Any] = {
    "extra_headers": {"x-trace": "t"},
    "extra_query": {"api-version": "2"},
    "extra_body": {"top_k": 5},
    "timeout": 20.0,
}
WHOLE = {name: value for name, value in IN_THE_BODY.items() if name not in {"stream", "stream_options"}}


@pytest.mark.parametrize("name", sorted(set(WHOLE) - {"messages", "model"}))
async def test_every_parameter_is_sent(name: str) -> None:
    """Each parameter goes into the body under its own name, as it was given, and alone."""
    with Internet() as internet:
        async with Client(HF) as client:
            reply = await client.chat.completions.create(model=MODEL, messages=MESSAGES, **{name: WHOLE[name]})
        assert internet.body("router") == {"model": MODEL, "messages": MESSAGES, name: WHOLE[name]}
    assert isinstance(reply, ChatCompletion)


async def test_all_parameters_at_once() -> None:
    """Nothing is lost among many, and what belongs around the body stays out of it."""
    with Internet() as internet:
        async with Client(HF) as client:
            stream = await client.chat.completions.create(**IN_THE_BODY, **AROUND_IT)
            await stream.final()
        request = internet.sent("router")
        assert internet.body("router") == {**IN_THE_BODY, "top_k": 5}
    assert (request.headers["x-trace"], request.url.query) == ("t", b"api-version=2")
    assert request.extensions["timeout"]["write"] == 20.0


async def test_none_means_that_nothing_is_said() -> None:
    """Programs often pass every parameter on, most of them None."""
    nothing: dict[str, Any] = dict.fromkeys([*WHOLE, *AROUND_IT])
    with Internet() as internet:
        async with Client(HF) as client:
            await client.chat.completions.create(**{**nothing, "messages": MESSAGES, "model": MODEL})
        assert internet.body("router") == {"model": MODEL, "messages": MESSAGES}


@pytest.mark.parametrize("stream", [None, False])
async def test_without_stream_there_is_an_answer(*, stream: Any) -> None:
    """The snippet of every model page runs as it stands."""
    with Internet() as internet:
        async with Client(HF) as client:
            reply = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
        assert "stream" not in internet.body("router")
    assert reply.choices[0].message.content == "hi"


async def test_with_stream_there_are_chunks() -> None:
    """`stream=True` gives a stream that has begun, to be read chunk by chunk."""
    with Internet() as internet:
        async with Client(HF) as client:
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            assert internet.body("router")["stream"] is True
            assert [chunk.choices[0].delta.content async for chunk in stream] == ["h", "i"]
            assert isinstance(stream, Stream)


async def test_a_pydantic_model_is_taken_too() -> None:
    """As the SDK's parse does, and as our own chat does."""

    class Answer(BaseModel):
        text: str

    with Internet() as internet:
        async with Client(HF) as client:
            await client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=Answer)
        assert internet.body("router")["response_format"]["json_schema"]["name"] == "Answer"


class NotGiven:
    """As the SDK has it: a word for nothing."""


async def test_the_sdks_words_for_nothing_are_nothing() -> None:
    """`NOT_GIVEN` and `omit` are left out wherever they stand, among the headers too."""
    omit: Any = type("Omit", (), {})()
    nothing: dict[str, Any] = dict.fromkeys(set(WHOLE) - {"messages", "model"}, NotGiven())
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            await client.chat.completions.create(
                messages=MESSAGES,
                stream=omit,
                model=omit,
                **nothing,
                timeout=omit,
                extra_headers={"x-a": omit, "x-b": "b"},
            )
        request = internet.sent("router")
        assert internet.body("router") == {"model": MODEL, "messages": MESSAGES}
    assert "x-a" not in request.headers
    assert request.headers["x-b"] == "b"


async def test_what_can_be_gone_through_once_is_taken() -> None:
    """Messages and tools may be any iterable."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            await client.chat.completions.create(messages=(each for each in MESSAGES), tools=iter([TOOL]))
        assert internet.body("router") == {"model": MODEL, "messages": MESSAGES, "tools": [TOOL]}


@pytest.mark.parametrize("messages", [{"role": "user"}, 5])
async def test_what_is_no_row_of_messages_is_refused(messages: Any) -> None:
    """A single mapping is not a list of its keys."""
    async with Client(HF, model=MODEL) as client:
        with pytest.raises(InputError, match="messages is of type"):
            await client.chat.completions.create(messages=messages)


async def test_a_query_may_hold_numbers() -> None:
    """They go as an address writes them."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            await client.chat.completions.create(messages=MESSAGES, extra_query={"n": 2, "x": True, "f": 0.5})
        assert internet.sent("router").url.query == b"n=2&x=true&f=0.5"


async def test_a_timeout_of_httpx_is_taken() -> None:
    """The SDK's Timeout is httpx's own."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            await client.chat.completions.create(messages=MESSAGES, timeout=httpx.Timeout(20.0, read=30.0))
        assert internet.sent("router").extensions["timeout"]["write"] == 20.0


@pytest.mark.parametrize("stream", [1, "true", 0])
async def test_stream_is_yes_or_no(stream: Any) -> None:
    """Anything else is a slip, and would change what comes back."""
    async with Client(HF, model=MODEL) as client:
        with pytest.raises(InputError, match="stream="):
            await client.chat.completions.create(messages=MESSAGES, stream=stream)


async def test_a_wrong_name_is_refused() -> None:
    """A typo is no silent no-op."""
    with Internet() as internet:
        async with Client(HF) as client:
            with pytest.raises(InputError, match="Did you mean 'temperature'"):
                await client.chat.completions.create(model=MODEL, messages=MESSAGES, temprature=1)  # type: ignore[call-overload]
        assert internet.requests == []


async def test_chat_takes_them_too() -> None:
    """There is one list of parameters, not two that drift apart."""
    own = {"messages", "model", "response_format", "stream"}
    assert set(IN_THE_BODY) | set(AROUND_IT) <= set(ChatOptions.__annotations__) | own
    with Internet() as internet:
        async with Client(HF) as client:
            await client.chat(**WHOLE, **AROUND_IT)
        assert internet.body("router") == {**WHOLE, "top_k": 5}

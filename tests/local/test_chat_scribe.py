"""The chunks that a chat is told in, without a model: as OpenAI's API sends them."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient.assembly import ChatAssembly
from hfclient.call import Call
from hfclient.errors import InputError
from hfclient.local.chat import ChatHandler, ChatScribe
from hfclient.local.engine import Generation, Written
from hfclient.local.writer import Pieces
from hfclient.types import ChatCompletion, ChatCompletionChunk

PARTS = st.lists(
    st.builds(
        Pieces,
        content=st.sampled_from(["", "a", "Ü", " b"]),
        reasoning=st.sampled_from(["", "hm", "\n"]),
        logprobs=st.sampled_from([(), ({"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []},)]),
    ),
    min_size=1,
    max_size=6,
)


class Script:
    """A writer that says what it was told to say."""

    def __init__(self, pieces: list[Pieces], reasoning_tokens: int = 0) -> None:
        self.pieces = deque(pieces)
        self.reasoning_tokens = reasoning_tokens
        self.over = False

    def write(self, written: Written) -> Pieces:
        told = self.pieces.popleft()
        self.over = not self.pieces
        return told


def call(place: int) -> dict[str, Any]:
    return {"index": place, "id": f"call_{place}", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def told(*scripts: list[Pieces], tell_usage: bool = True, **written: Any) -> list[ChatCompletionChunk]:
    """All chunks of these choices, written in turn, with the farewell."""
    generations = [Generation(id=10 + place, tokens=[0] * 7, max_tokens=99) for place in range(len(scripts))]
    writers: list[Any] = [Script(list(script), reasoning_tokens=place + 1) for place, script in enumerate(scripts)]
    scribe = ChatScribe("m", generations, writers, tell_usage=tell_usage)
    chunks: list[ChatCompletionChunk] = []
    for turn in range(max(map(len, scripts))):
        for place, script in enumerate(scripts):
            if turn < len(script):
                new, over = scribe.write(Written(10 + place, 1, **written))
                assert over == (turn == len(script) - 1)
                chunks += new
    return chunks + scribe.farewell()


def whole(chunks: list[ChatCompletionChunk]) -> ChatCompletion:
    assembly = ChatAssembly()
    for chunk in chunks:
        assembly.add(chunk)
    result = assembly.result()
    assert result
    assert assembly.whole()
    return result


def test_the_chunks_of_a_chat() -> None:
    """The role comes first and once, an empty piece not at all, the reason at the end, the usage by itself."""
    chunks = told(
        [Pieces(), Pieces(reasoning="hm"), Pieces(content="a"), Pieces(content="b", finish_reason="stop")], cached=3
    )
    assert [
        (choice.index, choice.delta.role, choice.delta.reasoning_content, choice.delta.content, choice.finish_reason)
        for chunk in chunks
        for choice in chunk.choices
    ] == [(0, "assistant", "hm", None, None), (0, None, None, "a", None), (0, None, None, "b", "stop")]
    assert chunks[-1].choices == ()
    assert [chunk.usage is None for chunk in chunks] == [True, True, True, False]
    (head,) = {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}
    assert head[0].startswith("local-")
    assert head[1:] == (head[1], "m", "chat.completion.chunk")
    usage = whole(chunks).usage
    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 4, 11)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (3, 1)


def test_a_chat_that_says_nothing_is_an_answer() -> None:
    """Its one chunk has the role and the reason, so that there is a message."""
    (chunk,) = told([Pieces(finish_reason="stop")], tell_usage=False)
    assert (chunk.choices[0].delta.role, chunk.choices[0].delta.content, chunk.finish_reason) == (
        "assistant", None, "stop",
    )  # fmt: skip
    reply = whole([chunk])
    assert (reply.text, reply.finish_reason, reply.usage) == ("", "stop", None)


def test_calls_come_with_all_that_belongs_to_them() -> None:
    """Index, id, type, name and arguments."""
    chunks = told([Pieces(content="So: "), Pieces(tool_calls=[call(0), call(1)], finish_reason="tool_calls")])
    (choice,) = chunks[1].choices
    assert [delta.model_dump() for delta in choice.delta.tool_calls or ()] == [call(0), call(1)]
    reply = whole(chunks)
    assert [(each.id, each.type, each.function.name) for each in reply.tool_calls] == [
        ("call_0", "function", "f"),
        ("call_1", "function", "f"),
    ]
    assert (reply.text, reply.finish_reason) == ("So: ", "tool_calls")


def test_several_choices_are_told_apart() -> None:
    """Each has its role and its reason; tokens are counted together, the prompt once."""
    chunks = told(
        [Pieces(content="a"), Pieces(content="b", finish_reason="stop")], [Pieces(content="c", finish_reason="length")]
    )
    reply = whole(chunks)
    assert [(each.index, each.message.content, each.finish_reason) for each in reply.choices] == [
        (0, "ab", "stop"),
        (1, "c", "length"),
    ]
    assert [choice.delta.role for chunk in chunks for choice in chunk.choices] == ["assistant", "assistant", None]
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (7, 3, 3)


@given(st.lists(PARTS, min_size=1, max_size=3), st.sampled_from(["stop", "length"]))
def test_nothing_is_lost_between_pieces_and_answer(scripts: list[list[Pieces]], reason: str) -> None:
    """Put together again, the chunks hold all that the writers said, choice by choice."""
    for script in scripts:
        script[-1].finish_reason = reason
    reply = whole(told(*scripts))
    assert len(reply.choices) == len(scripts)
    for choice, script in zip(reply.choices, scripts, strict=True):
        assert choice.message.content == "".join(pieces.content for pieces in script)
        assert (choice.message.reasoning or "") == "".join(pieces.reasoning for pieces in script)
        assert choice.finish_reason == reason
        logprobs = choice.logprobs.content if choice.logprobs else ()
        assert len(logprobs or ()) == sum(len(pieces.logprobs) for pieces in script)
    assert reply.usage
    assert reply.usage.completion_tokens == sum(map(len, scripts))


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("choice", "offered", "forced"),
    [
        (None, 1, None),
        ("auto", 1, None),
        ("none", 0, None),
        ("required", 1, ""),
        ("any", 1, ""),
        ("f", 1, "f"),
        ({"type": "function", "function": {"name": "f"}}, 1, "f"),
        ({"name": "f"}, 1, "f"),
    ],
)
def test_which_tools_may_be_called(choice: Any, offered: int, forced: str | None) -> None:
    """`tool_choice` in all of its forms."""
    asked = ChatHandler().read(read_of(tools=[TOOL], tool_choice=choice))
    assert (len(asked.tools), asked.forced) == (offered, forced)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"tool_choice": "required"}, "tools= offers none"),
        ({"tool_choice": "g", "tools": [TOOL]}, "asks for g, and tools= has f"),
        ({"tools": [{"type": "web_search"}]}, r"tools\[0\] is no function"),
        ({"tools": [TOOL, {"type": "function", "function": "f"}]}, r"tools\[1\] is no function"),
        ({"tools": [{"name": "f", "parameters": []}]}, r"tools\[0\] is no function"),
        ({"stream_options": "x"}, "stream_options is of type str"),
        ({"response_format": "json"}, "response_format is of type str"),
    ],
    ids=str,
)
def test_what_is_refused_when_it_is_read(parameters: dict[str, Any], said: str) -> None:
    """Before any model is looked for."""
    with pytest.raises(InputError, match=said):
        ChatHandler().read(read_of(**parameters))


def read_of(**parameters: Any) -> Call:
    return Call("conversational", [{"role": "user", "content": "Hi"}], parameters=parameters)

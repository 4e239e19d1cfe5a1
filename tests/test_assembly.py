"""A chat put together from its chunks is the chat the provider cut up, however it cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient.assembly import ChatAssembly
from hfclient.types import ChatCompletion, ChatCompletionChunk

LOGPROB = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": [{"token": "Hi", "logprob": -0.1}]}


def chunk(*choices: dict[str, Any], **fields: Any) -> ChatCompletionChunk:
    head = {"id": "chat-1", "created": 1700000000, "model": "m"}
    return ChatCompletionChunk.model_validate({**head, "choices": choices, **fields})


def piece(delta: dict[str, Any] | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta or {}, **fields}


def call_piece(arguments: Any = None, *, name: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"function": function, **fields}


def assembled(*chunks: ChatCompletionChunk) -> ChatCompletion:
    assembly = ChatAssembly()
    for each in chunks:
        assembly.add(each)
    result = assembly.result()
    assert result is not None
    return result


def calls_of(*pieces: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of the tool calls in these pieces, each piece in a chunk of its own."""
    whole = assembled(*(chunk(piece({"tool_calls": [each]})) for each in pieces))
    return [(call.id, call.function.name, call.function.arguments) for call in whole.tool_calls]


def test_text_comes_together() -> None:
    """Text is joined in the order it came, under the first chunk's id, model and time."""
    whole = assembled(
        chunk(piece({"role": "assistant", "content": ""})),
        chunk(piece({"content": "Hello"}), id="another"),
        chunk(piece({"content": " there"})),
        chunk(piece(finish_reason="stop"), system_fingerprint="fp_1"),
    )
    assert (whole.text, whole.finish_reason, whole.message.role) == ("Hello there", "stop", "assistant")
    assert (whole.id, whole.model, whole.created, whole.object) == ("chat-1", "m", 1700000000, "chat.completion")
    assert whole.system_fingerprint == "fp_1"


def test_nothing_is_no_completion() -> None:
    """Without a single choice there is no completion, however many chunks came."""
    assembly = ChatAssembly()
    assert assembly.result() is None
    assembly.add(chunk(usage={"prompt_tokens": 1}))
    assert assembly.result() is None
    assert not assembly.whole()


def test_whole_only_when_every_choice_has_ended() -> None:
    """An answer is whole once each of its choices has a finish reason, and not before."""
    assembly = ChatAssembly()
    steps = [(piece({"content": "a"}), False), (piece({"content": "b"}, 1, finish_reason="stop"), False)]
    for what, expected in [*steps, (piece(finish_reason="length"), True)]:
        assembly.add(chunk(what))
        assert assembly.whole() is expected


def test_choices_keep_apart() -> None:
    """Choices that take turns, or come in one chunk, or in any order, are each their own text, by index."""
    whole = assembled(
        chunk(piece({"content": "b1"}, 1)),
        chunk(piece({"content": "a1"}), piece({"content": "b2"}, 1)),
        chunk(piece({"content": "a2"}, finish_reason="stop"), piece(index=1, finish_reason="length")),
    )
    assert [(each.index, each.message.content, each.finish_reason) for each in whole.choices] == [
        (0, "a1a2", "stop"),
        (1, "b1b2", "length"),
    ]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_under_either_name(name: str) -> None:
    """Reasoning is joined under both names providers have for it, apart from the text."""
    whole = assembled(chunk(piece({name: "Let me "})), chunk(piece({name: "think."})), chunk(piece({"content": "42"})))
    assert (whole.reasoning, whole.text) == ("Let me think.", "42")


def test_reasoning_under_both_names_counts_once() -> None:
    """A provider that sends its reasoning under both names at once has said it once."""
    whole = assembled(*(chunk(piece({"reasoning": text, "reasoning_content": text})) for text in ("a", "b")))
    assert whole.reasoning == "ab"


def test_refusal_is_joined() -> None:
    """A refusal that comes in pieces is one refusal."""
    whole = assembled(chunk(piece({"refusal": "I can"})), chunk(piece({"refusal": "not."})))
    assert whole.message.refusal == "I cannot."


def test_tool_calls_by_index() -> None:
    """Pieces with an index belong to the call with that index."""
    assert calls_of(
        call_piece("", index=0, id="call-1", type="function", name="weather"),
        call_piece('{"city":', index=0),
        call_piece(' "Paris"}', index=0),
    ) == [("call-1", "weather", '{"city": "Paris"}')]


def test_parallel_tool_calls_take_turns() -> None:
    """Calls written at the same time are told apart by their index."""
    assert calls_of(
        call_piece(index=0, id="a", name="first"),
        call_piece(index=1, id="b", name="second"),
        call_piece('{"x"', index=0),
        call_piece('{"y"', index=1),
        call_piece(":1}", index=0),
        call_piece(":2}", index=1),
    ) == [("a", "first", '{"x":1}'), ("b", "second", '{"y":2}')]


def test_tool_calls_without_index_by_id() -> None:
    """Where there is no index, the id says which call a piece belongs to, also when calls take turns."""
    assert calls_of(
        call_piece(id="a", name="first"),
        call_piece(id="b", name="second"),
        call_piece("1", id="a"),
        call_piece("2", id="b"),
    ) == [("a", "first", "1"), ("b", "second", "2")]


def test_tool_calls_without_index_and_id() -> None:
    """With neither index nor id, a name begins a call and what follows belongs to it."""
    assert calls_of(
        call_piece("{", name="first"),
        call_piece("}"),
        call_piece(name="second"),
        call_piece("[", id=""),
        call_piece("]"),
    ) == [("", "first", "{}"), ("", "second", "[]")]


def test_whole_tool_calls_that_share_an_index() -> None:
    """Some servers send whole calls that all have the same index; another id and a name make another call."""
    assert calls_of(
        call_piece('{"a":1}', index=0, id="a", name="first"), call_piece('{"b":2}', index=0, id="b", name="first")
    ) == [("a", "first", '{"a":1}'), ("b", "first", '{"b":2}')]


def test_pieces_follow_the_newest_call_of_an_index() -> None:
    """After a second call took over an index, that index means the second."""
    assert calls_of(
        call_piece("1", index=0, id="a", name="first"),
        call_piece(index=0, id="b", name="second"),
        call_piece("2", index=0),
    ) == [("a", "first", "1"), ("b", "second", "2")]


def test_arguments_may_come_as_an_object() -> None:
    """Arguments that come whole as an object are the JSON text of it."""
    ((_, _, arguments),) = calls_of(call_piece({"city": "Paris"}, index=0, id="a", name="weather"))
    assert json.loads(arguments) == {"city": "Paris"}


def test_ids_may_come_late_and_again() -> None:
    """An id that comes after the name, or with every piece, changes nothing about the call."""
    assert calls_of(
        call_piece(index=0, name="weather"),
        call_piece("{", index=0, id="late"),
        call_piece("}", index=0, id="late", name="weather", type="function"),
    ) == [("late", "weather", "{}")]


def test_names_may_come_in_pieces() -> None:
    """A function's name that is cut in two is one name."""
    assert calls_of(call_piece(index=0, id="a", name="get_"), call_piece("{}", index=0, name="weather")) == [
        ("a", "get_weather", "{}")
    ]


def test_a_tool_call_without_a_function_keeps_its_place() -> None:
    """A first piece may hold the id alone."""
    assert calls_of({"index": 0, "id": "a", "type": "function"}, call_piece("{}", index=0, name="f")) == [
        ("a", "f", "{}")
    ]


def test_tool_calls_leave_no_empty_text() -> None:
    """A bare tool call has no content, as the API wants it back; an answer without anything has the empty text."""
    whole = assembled(chunk(piece({"content": "", "tool_calls": [call_piece("{}", index=0, id="a", name="f")]})))
    assert whole.message.content is None
    assert assembled(chunk(piece(finish_reason="stop"))).message.content == ""


def test_log_probabilities_are_strung_together() -> None:
    """Log probabilities of content and refusal are lists that grow."""
    whole = assembled(
        chunk(piece({"content": "Hi"}, logprobs={"content": [LOGPROB]})),
        chunk(piece({"content": "Hi"}, logprobs={"content": [LOGPROB], "refusal": None})),
        chunk(piece(finish_reason="stop", logprobs={"refusal": [LOGPROB]})),
    )
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert [token.token for token in logprobs.content or ()] == ["Hi", "Hi"]
    assert [token.top_logprobs[0].logprob for token in logprobs.refusal or ()] == [-0.1]
    assert assembled(chunk(piece({"content": "Hi"}))).choices[0].logprobs is None


def test_usage_in_a_last_chunk_without_choices() -> None:
    """Usage that comes in a chunk of its own belongs to the answer, and the last one counts."""
    whole = assembled(
        chunk(piece({"content": "Hi"}), usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}),
        chunk(piece(finish_reason="stop")),
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
    )
    assert whole.usage is not None
    assert (whole.usage.completion_tokens, whole.text) == (2, "Hi")


def test_what_is_not_known_is_kept() -> None:
    """Fields this version does not know reach the answer: texts and lists grow, everything else is the last said."""
    whole = assembled(
        chunk(piece({"content": "Hi", "annotations": [1], "note": "a", "score": 1}), x_groq={"id": "r"}),
        chunk(piece({"annotations": [2], "note": "b", "score": 2, "nothing": None})),
    )
    assert whole.message.model_extra == {"annotations": [1, 2], "note": "ab", "score": 2}
    assert (whole.model_extra or {})["x_groq"] == {"id": "r"}


def test_the_message_can_be_sent_back() -> None:
    """An assembled message has everything the API asks of an assistant message in the next call."""
    whole = assembled(chunk(piece({"tool_calls": [call_piece("{}", index=0, id="a", name="f")]})))
    sent = whole.message.model_dump(exclude_none=True)
    assert sent["role"] == "assistant"
    assert sent["tool_calls"][0] == {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


Split = tuple[str, list[str]]


@st.composite
def split_texts(draw: st.DrawFn) -> Split:
    """A text, and the same text in pieces."""
    text = draw(st.text(max_size=40))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    return text, [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def split_completions(draw: st.DrawFn) -> tuple[ChatCompletion, list[ChatCompletionChunk]]:
    """A completion of several choices, and its pieces, each choice's in order and the choices mixed."""
    choices: list[dict[str, Any]] = []
    queues: list[list[dict[str, Any]]] = []
    for index in range(draw(st.integers(1, 3))):
        said = {name: draw(split_texts()) for name in ("content", "reasoning_content")}
        calls = [draw(split_texts()) for _ in range(draw(st.integers(0, 3)))]
        queues.append(_pieces(index, said, calls))
        choices.append(_choice(index, {name: whole for name, (whole, _) in said.items()}, [text for text, _ in calls]))
    chunks: list[ChatCompletionChunk] = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        chunks.append(chunk(queue.pop(0)))
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    head = {"id": "chat-1", "created": 1700000000, "model": "m"}
    return ChatCompletion.model_validate({**head, "choices": choices, "usage": usage}), [*chunks, chunk(usage=usage)]


def _pieces(index: int, said: dict[str, Split], calls: list[Split]) -> list[dict[str, Any]]:
    pieces = [piece({name: part}, index) for name, (_, parts) in said.items() for part in parts]
    for number, (_, parts) in enumerate(calls):
        begun = call_piece("", index=number, id=f"call-{number}", type="function", name="f")
        written = [call_piece(part, index=number) for part in parts]
        pieces += [piece({"tool_calls": [each]}, index) for each in (begun, *written)]
    return [*pieces, piece(index=index, finish_reason="stop")]


def _choice(index: int, said: dict[str, str], calls: list[str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said["content"] or (None if calls else "")}
    if said["reasoning_content"]:
        message["reasoning_content"] = said["reasoning_content"]
    if calls:
        message["tool_calls"] = [
            {"id": f"call-{number}", "type": "function", "function": {"name": "f", "arguments": text}}
            for number, text in enumerate(calls)
        ]
    return {"index": index, "message": message, "finish_reason": "stop", "logprobs": None}


@given(split_completions())
def test_any_split_comes_together_again(split: tuple[ChatCompletion, list[ChatCompletionChunk]]) -> None:
    """However a completion is cut into chunks, its chunks are that completion."""
    whole, chunks = split
    assert assembled(*chunks).model_dump() == whole.model_dump()


def test_content_in_parts_is_put_together_apart() -> None:
    """What was said and what was thought do not mix, however the parts arrive."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    pieces = [[thinking], [thinking, {"type": "text", "text": "Hel"}], "lo"]
    assembly = ChatAssembly()
    for content in pieces:
        assembly.add(ChatCompletionChunk.model_validate({"choices": [{"delta": {"content": content}}]}))
    whole = assembly.result()
    assert whole is not None
    assert (whole.text, whole.reasoning) == ("Hello", "HmHm")


def test_an_id_that_comes_late_makes_no_second_call() -> None:
    """A call that began without an id and an index is the one that the id coming next belongs to."""
    pieces = [call_piece(name="f"), call_piece("{}", id="x")]
    assert calls_of(*pieces) == [("x", "f", "{}")]


def test_a_legacy_function_call_is_joined() -> None:
    """`function_call` came before tool calls, and still comes in pieces."""
    pieces = [{"name": "weather", "arguments": ""}, {"arguments": '{"city":'}, {"arguments": ' "Paris"}'}]
    whole = assembled(*(chunk(piece({"function_call": each, "content": None})) for each in pieces))
    assert whole.message.model_extra == {"function_call": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    assert whole.message.content is None


def test_audio_is_joined() -> None:
    """Sound and transcript grow, the id is one, and the last time counts."""
    pieces = [{"id": "a", "transcript": "He"}, {"id": "a", "data": "AA"}, {"data": "BB", "transcript": "y"}]
    whole = assembled(*(chunk(piece({"audio": each})) for each in [*pieces, {"id": "", "expires_at": 5}]))
    assert whole.message.model_extra == {"audio": {"id": "a", "transcript": "Hey", "data": "AABB", "expires_at": 5}}


def test_what_comes_with_a_tool_call_is_kept() -> None:
    """Gemini refuses the next call if its thought_signature is lost."""
    google = {"extra_content": {"google": {"thought_signature": "sig"}}}
    pieces = [call_piece("{", index=0, id="a", name="f", **google), call_piece("}", index=0)]
    pieces[0]["function"]["strict"] = True
    whole = assembled(*(chunk(piece({"tool_calls": [each]})) for each in pieces))
    function = {"name": "f", "arguments": "{}", "strict": True}
    assert whole.tool_calls[0].model_dump() == {"id": "a", "type": "function", "function": function, **google}


@pytest.mark.parametrize("kind", [{"type": "custom"}, {}])
def test_custom_tool_calls_are_joined(kind: dict[str, str]) -> None:
    """A custom tool has a name and an input in place of a function, also where there is no index."""
    pieces = [
        {"id": "a", **kind, "custom": {"name": "sql", "input": ""}},
        {"custom": {"input": "select "}},
        {"custom": {"input": "1"}},
        {"id": "b", **kind, "custom": {"name": "shell", "input": "ls"}},
    ]
    whole = assembled(*(chunk(piece({"tool_calls": [each]})) for each in pieces))
    assert [call.model_dump() for call in whole.tool_calls] == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
        {"id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
    ]


def test_what_comes_with_a_choice_is_kept() -> None:
    """A filter's verdict is repeated, not continued; an empty one at the end takes nothing back."""
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    late = {"violence": {"filtered": True, "severity": "high"}}
    whole = assembled(
        chunk(piece({"content": "Hi"}, content_filter_results=safe, stop_reason=None)),
        chunk(piece({"content": "!"}, content_filter_results={**safe, **late}, token_ids=[1])),
        chunk(piece(finish_reason="stop", content_filter_results={}, stop_reason="</s>", token_ids=[2])),
    )
    expected = {"content_filter_results": {**safe, **late}, "stop_reason": "</s>", "token_ids": [1, 2]}
    assert whole.choices[0].model_extra == expected


def test_log_probabilities_of_another_shape_are_kept() -> None:
    """Together's are bare lists beside OpenAI's."""
    pieces = [{"tokens": ["H"], "token_logprobs": [-1]}, {"tokens": ["i"], "token_logprobs": [-2]}]
    logprobs = assembled(*(chunk(piece({"content": "x"}, logprobs=each)) for each in pieces)).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.model_extra == {"tokens": ["H", "i"], "token_logprobs": [-1, -2]}


def test_a_partial_answer_does_not_grow() -> None:
    """What was asked for in the middle stays as it was, and the chunks themselves are left alone."""
    first = chunk(piece({"notes": [1], "audio": {"data": "A"}}))
    assembly = ChatAssembly()
    assembly.add(first)
    before = assembly.result()
    assembly.add(chunk(piece({"notes": [2], "audio": {"data": "B"}})))
    assert before is not None
    assert before.message.model_extra == first.choices[0].delta.model_extra == {"notes": [1], "audio": {"data": "A"}}


def test_reasoning_that_is_no_text_is_kept() -> None:
    """An object under that name is not known, and so it is kept as it is."""
    whole = assembled(chunk(piece({"reasoning": {"text": "Let "}})), chunk(piece({"reasoning": {"text": "me"}})))
    assert (whole.message.model_extra, whole.reasoning) == ({"reasoning": {"text": "Let me"}}, None)


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.integers() | split_texts().map(lambda split: split[0]),
            lambda inner: st.dictionaries(st.text(), inner, max_size=3),
        ),
    )
)
def test_unknown_fields_that_come_whole_stay_whole(extras: dict[str, Any]) -> None:
    """Whatever a provider adds in one piece is the same in the answer."""
    delta = {f"x-{name}": value for name, value in extras.items()}
    assert assembled(chunk(piece(delta))).message.model_extra == delta

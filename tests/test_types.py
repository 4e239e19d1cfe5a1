"""The types off the wire: frozen, lenient about what they do not need, strict about their shape."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import hfclient.types
from hfclient.assembly import ChatAssembly
from hfclient.errors import OutputParseError
from hfclient.flow import Response
from hfclient.providers.openai_compatible import read_chunk, read_completion
from hfclient.types import (
    Attempt,
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    Embeddings,
    Function,
    Meta,
    ParsedChatCompletion,
    Pricing,
    Usage,
    assistant,
    system,
    tool,
    user,
)
from hfclient.types.base import with_meta
from hfclient.types.text import TextGeneration
from tests.flows import COMPLETION, event, reply

META = Meta("groq", model="org/m", request_id="r-1", status=200, attempts=(Attempt("groq", 200),), seconds=0.5)


def completion(**message: Any) -> ChatCompletion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return read_completion(reply({**COMPLETION, "choices": [choice]}))


def chunk(payload: dict[str, Any]) -> ChatCompletionChunk:
    found = read_chunk(event(payload))
    assert found is not None
    return found


def test_the_short_ways_lead_to_the_first_choice() -> None:
    """`text`, `tool_calls`, `usage` and `finish_reason` spare the walk through choices."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    answer = completion(content="Hi!", tool_calls=[call], reasoning_content="Hm.")
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Hi!", "Hm.", "stop")
    assert answer.tool_calls[0].function.parse() == {"a": 1}
    assert answer.message is answer.choices[0].message
    assert answer.usage == Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11)


def test_a_message_that_says_nothing_has_empty_text() -> None:
    """A bare tool call has content null, and `text` is still a text."""
    answer = completion(content=None)
    assert (answer.text, answer.reasoning, answer.tool_calls) == ("", None, ())
    assert answer.message.content is None


def test_reasoning_is_found_under_either_name() -> None:
    """DeepSeek says reasoning_content, OpenRouter and the router's vLLM say reasoning."""
    assert completion(content="x", reasoning="Hm.").reasoning == "Hm."
    assert completion(content="x", reasoning={"not": "text"}).reasoning is None
    delta = {"choices": [{"index": 0, "delta": {"reasoning": "Hm."}}]}
    assert chunk(delta).reasoning == "Hm."
    delta = {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}
    assert chunk(delta).reasoning == "Hm."


def test_content_in_parts_is_read_as_text() -> None:
    """Mistral's reasoning models answer in parts."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thinking, {"type": "text", "text": "Hi"}, "?", {"type": "text", "text": "!"}]
    for answer in (completion(content=parts), chunk({"choices": [{"index": 0, "delta": {"content": parts}}]})):
        assert (answer.text, answer.reasoning) == ("Hi!", "Hm.")


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": None}, '{"a": null}'), ("{}", "{}"), ("", ""), (None, ""), ([1], "[1]")]
)
def test_arguments_come_as_text_however_they_were_sent(arguments: object, text: str) -> None:
    """The API has JSON text there; some servers send the object itself, or null for none."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    assert completion(content=None, tool_calls=[call]).tool_calls[0].function.arguments == text


def test_no_arguments_parse_as_an_empty_object() -> None:
    """A function without parameters can be called with what `parse` gives."""
    assert Function(name="f").parse() == {}


@pytest.mark.parametrize("arguments", [" \n", ""])
def test_blank_arguments_are_no_arguments(arguments: str) -> None:
    """Nothing but white space is nothing."""
    assert Function(name="f", arguments=arguments).parse() == {}


@pytest.mark.parametrize("arguments", ['{"city": "Par', "Paris", "[" * 100_000])
def test_arguments_that_are_no_json_are_a_typed_error(arguments: str) -> None:
    """A model may write anything; the error names the function and keeps the text."""
    with pytest.raises(OutputParseError, match="weather") as caught:
        Function(name="weather", arguments=arguments).parse()
    assert caught.value.text == arguments


def test_a_custom_tool_call_is_no_fault() -> None:
    """A call without a function is read, has an empty one to ask, and goes back as it came."""
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    (found,) = completion(content=None, tool_calls=[call]).tool_calls
    assert (found.type, found.function.name, found.function.arguments) == ("custom", "", "")
    assert found.custom == {"name": "sql", "input": "select 1"}  # type: ignore[attr-defined]
    assert found.model_dump() == call
    (null,) = completion(content=None, tool_calls=[{**call, "function": None}]).tool_calls
    assert null.model_dump() == call


def test_a_dumped_message_has_no_empty_list_of_tool_calls() -> None:
    """Servers refuse `tool_calls: []` in the next call's messages; real calls stay."""
    assert "tool_calls" not in completion(content="Hi", tool_calls=[]).choices[0].message.model_dump()
    assert "tool_calls" not in completion(content="Hi", tool_calls=[]).model_dump_json()
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert completion(content="Hi", tool_calls=[call]).message.model_dump()["tool_calls"] == (call,)


@pytest.mark.parametrize(("sent", "text"), [(1700000000, "1700000000"), (1700000000.5, "1700000000.5")])
def test_a_time_stays_the_number_it_was(sent: float, text: str) -> None:
    """Whole seconds do not turn into 1700000000.0 on the way through."""
    assert f'"created":{text},' in read_completion(reply({**COMPLETION, "created": sent})).model_dump_json()
    assert f'"created":{text},' in chunk({"choices": [], "created": sent}).model_dump_json()


def test_the_first_choice_is_the_one_with_the_first_number() -> None:
    """Choices may come in any order; where none has the number 0, the first to come is meant."""
    two = [{"index": i, "message": {"content": str(i)}, "finish_reason": f"end-{i}"} for i in (1, 0)]
    answer = read_completion(reply({**COMPLETION, "choices": two}))
    assert (answer.text, answer.finish_reason) == ("0", "end-0")
    assert read_completion(reply({**COMPLETION, "choices": two[:1]})).text == "1"


def test_a_piece_of_another_choice_is_not_mixed_in() -> None:
    """With n=2 the pieces take turns; text, reasoning and finish reason are those of the choice 0 alone."""
    second = {"index": 1, "delta": {"content": "b", "reasoning": "B"}, "finish_reason": "length"}
    first = {"index": 0, "delta": {"content": "a", "reasoning": "A"}, "finish_reason": "stop"}
    for choices, expected in (([second], ("", "", None)), ([second, first], ("a", "A", "stop"))):
        found = chunk({"choices": choices})
        assert (found.text, found.reasoning, found.finish_reason) == expected


ODD: list[dict[str, Any]] = [
    {"usage": ""},
    {"usage": []},
    {"usage": {"prompt_tokens": 1.5, "completion_tokens": 2}},
    {"usage": {"prompt_tokens_details": [], "completion_tokens": 2}},
    {"created": "2025-01-01T00:00:00Z"},
    {"created": {}, "usage": 3, "system_fingerprint": ["x"]},
]


@pytest.mark.parametrize("fields", ODD, ids=repr)
def test_nonsense_beside_the_answer_does_not_cost_it(fields: dict[str, Any]) -> None:
    """A count or a date of the wrong shape is left out; the answer, and the rest of the counts, stay."""
    answer = read_completion(reply({**COMPLETION, **fields}))
    piece = chunk({"choices": [{"index": 0, "delta": {"content": "Hi!"}}], **fields})
    for found in (answer, piece):
        assert found.text == "Hi!"
        if isinstance(fields.get("usage"), dict):
            assert found.usage is not None
            assert found.usage.completion_tokens == 2


@pytest.mark.parametrize("odd", [-0.5, "x", [], {"content": [{"token": "Hi", "logprob": None}]}], ids=repr)
def test_odd_log_probabilities_do_not_cost_the_answer(odd: object) -> None:
    """They are left out where they cannot be read."""
    choice = {"index": 0, "message": {"content": "Hi!"}, "delta": {"content": "Hi!"}, "logprobs": odd}
    for found in (read_completion(reply({**COMPLETION, "choices": [choice]})), chunk({"choices": [choice]})):
        assert (found.text, found.choices[0].logprobs) == ("Hi!", None)


def test_nonsense_in_the_answer_is_still_an_error() -> None:
    """Only what stands beside the answer is forgiven."""
    with pytest.raises(hfclient.errors.ResponseError, match="content"):
        completion(content={"not": "text"})


def test_a_numbered_tool_call_keeps_its_number() -> None:
    """Text Generation Inference numbers its tool calls; the id must come back in the next message."""
    call = {"id": 0, "type": "function", "function": {"name": "f", "arguments": {}}}
    assert completion(content=None, tool_calls=[call]).tool_calls[0].id == "0"
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": 7}]}}]}
    calls = chunk(delta).choices[0].delta.tool_calls
    assert calls is not None
    assert calls[0].id == "7"


NULLS: list[dict[str, Any]] = [
    {"id": None},
    {"object": None, "created": None, "model": None},
    {"usage": None, "system_fingerprint": None},
    {"usage": {"prompt_tokens": None, "completion_tokens": 2, "prompt_tokens_details": None}},
    {"choices": [{"index": None, "message": {"role": None, "content": "Hi!", "tool_calls": None}, "logprobs": None}]},
    {"choices": [{"message": {"content": "Hi!", "refusal": None, "reasoning_content": None}, "finish_reason": None}]},
]


@pytest.mark.parametrize("fields", NULLS, ids=repr)
def test_a_null_in_place_of_a_value_means_none(fields: dict[str, Any]) -> None:
    """A server that writes null where a value belongs is understood, in whole answers."""
    assert read_completion(reply({**COMPLETION, **fields})).text == "Hi!"


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None, "created": None},
        {"choices": [{"index": None, "delta": {"content": "Hi!"}}]},
        {"choices": [{"index": 0, "delta": {"content": "Hi!", "tool_calls": None, "role": None}}]},
        {"usage": {"total_tokens": None}},
        {"choices": [{"index": 0, "delta": {"content": "Hi!", "tool_calls": [{"function": {"name": None}}]}}]},
    ],
    ids=repr,
)
def test_a_null_in_place_of_a_value_means_none_in_streams_too(fields: dict[str, Any]) -> None:
    """A server that writes null where a value belongs is understood, piece by piece."""
    assert chunk({"choices": [{"index": 0, "delta": {"content": "Hi!"}}], **fields}).text == "Hi!"


def test_a_last_delta_may_be_null() -> None:
    """Some servers end with a choice that has a finish reason and no delta."""
    last = chunk({"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]})
    assert (last.text, last.finish_reason) == ("", "stop")


def test_an_answer_has_the_first_id_there_is() -> None:
    """Azure's first chunk has neither id nor model; later ones do, and the whole answer shall have them."""
    assembly = ChatAssembly()
    for head in ({"id": "", "model": ""}, {"id": "c1", "model": "m", "created": 5}, {"id": "c2", "model": "other"}):
        assembly.add(chunk({"choices": [{"index": 0, "delta": {"content": "x"}}], **head}))
    answer = assembly.result()
    assert answer is not None
    assert (answer.id, answer.model, answer.created, answer.text) == ("c1", "m", 5, "xxx")


def test_unknown_fields_are_kept_at_every_depth() -> None:
    """What a provider adds stays readable under its own name."""
    answer = completion(content="Hi", annotations=[{"url": "u"}])
    assert answer.message.annotations == [{"url": "u"}]  # type: ignore[attr-defined]
    whole = read_completion(reply({**COMPLETION, "x_groq": {"id": "r"}, "usage": {"queue_time": 0.1}}))
    assert whole.x_groq == {"id": "r"}  # type: ignore[attr-defined]
    assert whole.usage is not None
    assert whole.usage.queue_time == 0.1  # type: ignore[attr-defined]


def test_usage_tells_cached_and_reasoning_tokens() -> None:
    """The details are absent as often as not; then there are none of either."""
    told = Usage(prompt_tokens_details={"cached_tokens": 5}, completion_tokens_details={"reasoning_tokens": 3})
    assert (told.cached_tokens, told.reasoning_tokens) == (5, 3)
    silent = Usage(prompt_tokens_details={"cached_tokens": None})
    assert (silent.cached_tokens, silent.reasoning_tokens) == (0, 0)


PRICE = Pricing(input=0.5, output=2)


@pytest.mark.parametrize(
    ("usage", "pricing", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100}, PRICE, 0.0007),
        ({"prompt_tokens": 1000, "total_tokens": 1000}, Pricing(input=0.5), 0.0005),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, Pricing(input=0.5), None),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, Pricing(output=0.5), None),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, Pricing(input=0, output=0), 0.0),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, None, None),
        ({"total_tokens": 1100}, PRICE, None),
        ({}, PRICE, None),
        ({"prompt_tokens": 1000, "cost": 0.25}, PRICE, 0.25),
        ({"cost": 0, "estimated_cost": 7}, None, 0.0),
        ({"estimated_cost": 1e-07}, None, 1e-07),
        ({"prompt_tokens": 1000, "cost": "0.25"}, PRICE, 0.0005),
        ({"prompt_tokens": 1000, "cost": None, "estimated_cost": 0.3}, PRICE, 0.3),
        ({"prompt_tokens": 1000, "cost": {"total_cost": 1}}, PRICE, 0.0005),
        ({"prompt_tokens": 1000, "cost": True}, PRICE, 0.0005),
        ({"prompt_tokens": 1000, "cost": float("nan"), "estimated_cost": float("inf")}, PRICE, 0.0005),
        ({"prompt_tokens": 1000, "cost": -1}, PRICE, 0.0005),
    ],
    ids=repr,
)
def test_tokens_have_a_cost(usage: dict[str, Any], pricing: Pricing | None, cost: float | None) -> None:
    """What the provider says it cost, if that is a number; else tokens times prices, where all are known."""
    assert Usage(**usage).cost_at(pricing) == (cost if cost is None else pytest.approx(cost))


def test_an_answer_without_usage_or_origin_has_no_cost() -> None:
    """Where nothing is known, that is what is said."""
    answer = completion(content="x")
    assert answer.cost is None
    assert with_meta(answer, replace(META, pricing=PRICE)).cost == pytest.approx((9 * 0.5 + 2 * 2) / 1_000_000)
    silent = read_completion(reply({**COMPLETION, "usage": None}))
    assert with_meta(silent, replace(META, pricing=PRICE)).cost is None


@pytest.mark.parametrize("kind", ["text", "vectors"])
def test_whatever_has_usage_has_a_cost(kind: str) -> None:
    """Text and vectors reckon as a chat does."""
    usage = Usage(prompt_tokens=1000)
    answer = (
        TextGeneration(generated_text="x", usage=usage) if kind == "text" else Embeddings.from_rows([1], usage=usage)
    )
    assert answer.cost is None
    assert with_meta(answer, replace(META, pricing=PRICE)).cost == pytest.approx(0.0005)


def test_log_probabilities_have_their_shape() -> None:
    """Tokens, their bytes and their rivals are typed; null for no rivals is an empty tuple."""
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": [{"token": "Yo", "logprob": -2}]}
    choice = {
        "index": 0,
        "message": {"content": "Hi"},
        "logprobs": {"content": [token, {"token": "!", "logprob": -1.5, "top_logprobs": None}]},
    }
    probabilities = read_completion(reply({**COMPLETION, "choices": [choice]})).choices[0].logprobs
    assert probabilities is not None
    assert probabilities.content is not None
    first, second = probabilities.content
    assert (first.top_logprobs[0].token, first.bytes, second.top_logprobs) == ("Yo", [72, 105], ())


def test_a_chunk_without_choices_says_nothing() -> None:
    """The last chunk often holds nothing but the usage."""
    last = chunk({"choices": [], "usage": {"total_tokens": 5}})
    assert (last.text, last.reasoning, last.finish_reason) == ("", "", None)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (completion(content="x"), "id"),
        (completion(content="x").message, "content"),
        (completion(content="x", extra="kept").message, "extra"),
        (chunk({"choices": []}), "model"),
        (Usage(), "total_tokens"),
        (META, "provider"),
        (META.attempts[0], "status"),
    ],
)
def test_values_are_frozen(value: Any, name: str) -> None:
    """Nobody can change an answer under another's hands."""
    with pytest.raises((ValidationError, AttributeError)):
        setattr(value, name, "other")


def test_an_answer_knows_where_it_came_from() -> None:
    """`meta` is there once a call has given the answer, and its absence says why."""
    answer = completion(content="x")
    with pytest.raises(AttributeError, match="did not come from a call"):
        _ = answer.meta
    assert with_meta(answer, META) is answer
    assert answer.meta == META


def test_what_cannot_carry_meta_is_passed_on() -> None:
    """A flow may give anything; a plain value has nowhere to put its origin."""
    plain = ["a"]
    assert with_meta(plain, META) is plain


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_answers_can_be_kept(duplicate: Any) -> None:
    """Copied or pickled, an answer is equal and still knows where it came from."""
    answer = with_meta(completion(content="x", extra=[None]), META)
    again = duplicate(answer)
    assert again == answer
    assert (again.meta, again.model_dump()) == (META, answer.model_dump())


def test_a_parsed_answer_is_the_answer_and_the_instance() -> None:
    """Nothing of the answer is lost when its text was read as a model."""
    answer = with_meta(completion(content="[1]", extra="kept"), META)
    parsed = ParsedChatCompletion.of(answer, [1])
    assert (parsed.parsed, parsed.text, parsed.meta) == ([1], "[1]", META)
    assert parsed.message.extra == "kept"  # type: ignore[attr-defined]
    assert parsed.model_dump() == answer.model_dump()


def test_an_answer_reads_itself_back() -> None:
    """What `model_dump_json` writes, the same type reads: answers can be stored."""
    answer = completion(content="Hi", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}])
    assert ChatCompletion.model_validate_json(answer.model_dump_json()) == answer


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=12
)


@given(JSON_VALUES)
def test_any_json_is_an_answer_or_a_typed_error(payload: Any) -> None:
    """Whatever a server sends with status 200, no foreign exception comes out."""
    for read in (lambda: read_completion(reply(payload)), lambda: read_chunk(event(payload))):
        try:
            found = read()
        except hfclient.errors.HFClientError:
            continue
        assert found is None or isinstance(found, ChatCompletion | ChatCompletionChunk)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_typed_error(content: bytes) -> None:
    """Nor for bytes that are no JSON at all."""
    with pytest.raises(hfclient.errors.ResponseError):
        read_completion(Response(200, {}, content))


def test_json_nested_beyond_reason_is_a_typed_error() -> None:
    """A server cannot break its reader with a hundred thousand brackets."""
    with pytest.raises(hfclient.errors.ResponseError):
        read_completion(Response(200, {}, b"[" * 100_000))
    with pytest.raises(hfclient.errors.StreamFailedError):
        read_chunk(event(b'{"choices":' * 100_000))


def test_the_short_ways_to_write_messages() -> None:
    """Each helper gives the plain dict that the API takes."""
    assert system("a") == {"role": "system", "content": "a"}
    assert user("a") == {"role": "user", "content": "a"}
    assert user("a", b"\x89PNG") == {"role": "user", "content": ["a", b"\x89PNG"]}
    assert user(b"\x89PNG") == {"role": "user", "content": [b"\x89PNG"]}
    assert assistant("a") == {"role": "assistant", "content": "a"}
    assert tool("c1", "a") == {"role": "tool", "tool_call_id": "c1", "content": "a"}


def test_every_type_is_exported() -> None:
    """`hfclient.types` has all it promises."""
    assert all(hasattr(hfclient.types, name) for name in hfclient.types.__all__)
    assert isinstance(ChatMessage(), hfclient.types.base.Wire)

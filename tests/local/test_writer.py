"""Tokens become what a reader is given: text, thoughts, calls, log probabilities, and the reason why it ended."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from families import TIME, WEATHER, family, sentencepiece, shared
from hypothesis import given, settings
from hypothesis import strategies as st

from hfclient.local.dialects.choosing import dialect_of
from hfclient.local.engine import Ending, Written
from hfclient.local.likelihoods import Likelihoods
from hfclient.local.spelling import Spelling
from hfclient.local.template import Template
from hfclient.local.writer import Pieces, TextWriter, Writer
from hfclient.types import ToolCall
from hfclient.types.chat import LogProbs

TOOLS = [WEATHER, TIME]
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def writer(name: str = "qwen", tokenizer: Any = None, *, tools: Any = (), **how: Any) -> Writer:
    tokenizer = tokenizer or shared(name)
    template = Template.of(tokenizer)
    return Writer(tokenizer, template, dialect=dialect_of(tokenizer, template), tools=tools, **how)


def spelt(text: str, name: str = "qwen", logprobs: bool = False, ending: Ending = "stop") -> list[Written]:
    """The tokens of a text as an engine tells them, up to the one that stops it, or is cut off after the last."""
    tokenizer = shared(name)
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if ending == "stop":
        tokens = [*tokens, tokenizer.eos_token_id]
    extra: dict[str, Any] = {"logprob": -0.5, "top": ((tokens[0], -0.5), (5, float("-inf")))} if logprobs else {}
    return [
        Written(1, token, ending if place == len(tokens) - 1 else None, **extra) for place, token in enumerate(tokens)
    ]


def whole(writer: Writer, tokens: list[Written]) -> Pieces:
    """All that a reader was given, together."""
    found = Pieces(tool_calls=[], logprobs=[])
    for written in tokens:
        assert not found.finish_reason or writer.over
        pieces = writer.write(written)
        found.content += pieces.content
        found.reasoning += pieces.reasoning
        found.tool_calls = [*found.tool_calls, *pieces.tool_calls]
        found.logprobs = [*found.logprobs, *pieces.logprobs]
        found.finish_reason = found.finish_reason or pieces.finish_reason
    assert writer.over == (found.finish_reason is not None)
    return found


def called(pieces: Pieces) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in pieces.tool_calls]


def test_plain_text() -> None:
    """Each token's text comes with it; the token that stops is not part of it."""
    first, *rest = spelt("fox 日本 😀")
    one = writer()
    assert one.write(first).content == "fo"
    found = whole(one, rest)
    assert (found.content, found.reasoning, found.tool_calls, found.finish_reason) == ("x 日本 😀", "", [], "stop")
    assert one.write(first) == Pieces()


def test_an_output_cut_by_length() -> None:
    """The reason is length, and what was held back comes with it."""
    cut = spelt("A 日", ending="length")[:-1]
    cut[-1] = Written(1, cut[-1].token, "length")
    found = whole(writer(stop=["never"]), cut)
    assert (found.content, found.finish_reason) == ("A \N{REPLACEMENT CHARACTER}", "length")


def test_an_ending_without_a_token() -> None:
    """An engine may tell the end by itself."""
    found = whole(writer(stop=["xyz"]), [*spelt("ab x", ending="length")[:-1], Written(1, None, "length")])
    assert found.finish_reason == "length"


def test_a_stop_string_ends_it() -> None:
    """What follows is not told, the reason is stop, and the writer is over before the engine is."""
    one = writer(stop=["brown", "zzz"])
    found = whole(one, spelt("The quick brown fox"))
    assert (found.content, found.finish_reason) == ("The quick ", "stop")


def test_thoughts_calls_and_text() -> None:
    """Each goes where it belongs, and no tag is anywhere."""
    output = f"<think>\nHm 😀.\n</think>\n\nLet me see.\n{CALL}\n{CALL}"
    found = whole(writer(tools=TOOLS), spelt(output))
    assert (found.content, found.reasoning, found.finish_reason) == ("Let me see.", "Hm 😀.", "tool_calls")
    assert called(found) == [("get_weather", {"city": "Paris"})] * 2
    for place, call in enumerate(found.tool_calls):
        assert call["index"] == place
        assert re.fullmatch("call_[0-9a-f]{32}", call["id"])
        assert ToolCall.model_validate(call).function.name == "get_weather"
    assert found.tool_calls[0]["id"] != found.tool_calls[1]["id"]


def test_calls_are_looked_for_where_tools_were_offered() -> None:
    """Without tools, markup is text like any other."""
    found = whole(writer(), spelt(CALL))
    assert (found.content, found.tool_calls, found.finish_reason) == (CALL, [], "stop")


def test_a_call_cut_by_length_is_text() -> None:
    """The reason is length, and nothing of it is lost."""
    cut = CALL[:40]
    found = whole(writer(tools=TOOLS), spelt(cut, ending="length"))
    assert (found.content, found.tool_calls, found.finish_reason) == (cut, [], "length")


def test_one_call_at_a_time() -> None:
    """Without parallel calls the writer is over after the first, as soon as that is whole."""
    one = writer(tools=TOOLS, parallel_tool_calls=False)
    tokens = spelt(f"{CALL}\n{CALL} and text")
    found = whole(one, tokens)
    assert len(found.tool_calls) == 1
    assert (found.content, found.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    ("output", "calls"),
    [
        ('{"name": "get_time", "arguments": {}}', [("get_time", {})]),
        (' {"name": "f", "arguments": {"a": "<think>"}}', [("f", {"a": "<think>"})]),
        ('[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]', [("f", {}), ("g", {})]),
    ],
)
def test_forced_output_is_a_call(output: str, calls: list[tuple[str, Any]]) -> None:
    """The JSON that the output was constrained to becomes calls, and no content, in any dialect."""
    for name in ("qwen", "gemma"):
        found = whole(writer(name, tools=TOOLS, forced=True, prompt=()), spelt(output, name))
        assert (called(found), found.content, found.finish_reason) == (calls, "", "tool_calls")


def test_forced_output_cut_by_length_is_text() -> None:
    """Half a call is told as it is."""
    found = whole(writer(tools=TOOLS, forced=True), spelt('{"name": "get_ti', ending="length"))
    assert (found.content, found.tool_calls, found.finish_reason) == ('{"name": "get_ti', [], "length")


def test_a_prompt_that_ends_in_thought() -> None:
    """The output begins inside the thoughts, unless it is constrained to a grammar from its first token."""
    prompt = shared("deepseek").encode("<|Assistant|><think>\n")
    output = spelt("Hm.</think>Yes.", "deepseek")
    one = writer("deepseek", prompt=prompt)
    found = whole(one, output)
    assert (found.reasoning, found.content) == ("Hm.", "Yes.")
    assert one.reasoning_tokens == len(shared("deepseek").encode("Hm.</think>"))
    found = whole(writer("deepseek", prompt=prompt, constrained=True), spelt('{"a": 1}', "deepseek"))
    assert (found.reasoning, found.content) == ("", '{"a": 1}')


def test_markup_that_is_a_special_token() -> None:
    """The dialect's own special tokens are read where tools were offered, all others never show."""
    output = '[TOOL_CALLS][{"name": "get_time", "arguments": {}}]'
    found = whole(writer("mistral", tools=TOOLS), spelt(output, "mistral"))
    assert (called(found), found.content) == ([("get_time", {})], "")
    found = whole(writer("mistral"), spelt("[INST]a[TOOL_CALLS]b", "mistral"))
    assert found.content == "ab"


def test_think_tags_that_are_special_tokens() -> None:
    """They are markup, though nobody sees special tokens."""
    tokenizer = family("parts")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<think>", "</think>"]})
    tokens = tokenizer.encode("<think>Hm.</think>Yes.")
    found = whole(writer(tokenizer=tokenizer), [*(Written(1, each) for each in tokens), Written(1, 1, "stop")])
    assert (found.reasoning, found.content) == ("Hm.", "Yes.")


def test_log_probabilities_have_openais_shape() -> None:
    """Text, bytes and alternatives of each token; what could not come at all has a number that JSON knows."""
    found = whole(writer(), spelt("A 日.", logprobs=True))
    assert LogProbs.model_validate({"content": found.logprobs}).content
    assert b"".join(bytes(entry["bytes"]) for entry in found.logprobs) == "A 日.".encode()
    assert found.logprobs[0]["token"] == "A"
    assert found.logprobs[0]["top_logprobs"][0] == {"token": "A", "logprob": -0.5, "bytes": [65]}
    assert found.logprobs[0]["top_logprobs"][1]["logprob"] == -9999.0


@pytest.mark.parametrize(
    ("output", "how", "content"),
    [
        ("<think>Hm.</think>Yes, fox.", {}, "Yes, fox."),
        (f"Let me see.\n{CALL}", {"tools": TOOLS}, "Let me see."),
        ("The quick brown fox", {"stop": ["brown"]}, "The quick "),
        ("A fox <|im_start|>jumps", {}, "A fox jumps"),
    ],
)
def test_log_probabilities_are_those_of_the_content(output: str, how: dict[str, Any], content: str) -> None:
    """Thoughts, markup and what is cut off have none; each token's come with the last of its text."""
    one = writer(**how)
    told, entries = "", b""
    for written in spelt(output, logprobs=True):
        pieces = one.write(written)
        told += pieces.content
        entries += b"".join(bytes(entry["bytes"]) for entry in pieces.logprobs)
        assert entries.decode(errors="ignore").startswith(told) or told.startswith(entries.decode(errors="ignore"))
    assert told == content
    assert content in entries.decode()
    assert len(entries.decode()) - len(content) <= 12  # the rest of a token of which the beginning was content


def test_a_token_that_is_half_markup_is_told() -> None:
    """One whose text begins as content and goes on as something else is told with the rest of it, and once."""
    likelihoods = Likelihoods(Spelling.of(shared("qwen")))
    for number in (40, 41):
        likelihoods.note(Written(1, number, logprob=-1.0))
        likelihoods.came(3)
    assert likelihoods.passed(1, content=True) == []
    assert len(likelihoods.passed(2, content=False)) == 1
    assert likelihoods.passed(3, content=False) == []
    assert likelihoods.rest() == []


def test_a_stop_string_in_the_last_token_there_may_be() -> None:
    """It ended the text, so the reason is not its length."""
    found = whole(writer(stop=["fox"]), spelt("A fox", ending="length"))
    assert (found.content, found.finish_reason) == ("A ", "stop")


@pytest.mark.parametrize(("continues", "content"), [(True, " b"), (False, "b")])
def test_an_answer_that_goes_on_keeps_its_blank(continues: bool, content: str) -> None:
    """The last message is gone on with as the vocabulary has it."""
    tokenizer = sentencepiece()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    prompt, token = tokenizer.convert_tokens_to_ids(["▁a", "▁b"])
    found = whole(writer(tokenizer=tokenizer, prompt=[prompt], continues=continues), [Written(1, token, "length")])
    assert found.content == content


def test_a_token_that_is_cut_in_two_by_a_stop_string_is_told() -> None:
    """Some of its text is content, so its log probability is."""
    (token,) = [number for number in range(len(shared("qwen"))) if shared("qwen").decode([number]) == "The"]
    found = whole(writer(stop=["e"]), [Written(1, token, logprob=-1.0)])
    assert (found.content, [entry["token"] for entry in found.logprobs]) == ("Th", ["The"])


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_is_written_something_is_told_of_it(data: st.DataObject) -> None:
    """For any output: what is told is the same whether tokens are letters or words, and every call is in it once."""
    bits = ["<think>", "</think>", CALL, "<tool_call>", "</tool_call>", "fox", " ", "\n", "日", "<", "STOP"]
    text = "".join(data.draw(st.lists(st.sampled_from(bits), max_size=8)))
    tokenizer = shared("qwen")
    how: dict[str, Any] = {"tools": TOOLS, "stop": ["STOP"]}
    found = whole(writer(**how), spelt(text))
    letters = [*(Written(1, letter(byte)) for byte in text.encode()), Written(1, tokenizer.eos_token_id, "stop")]
    again = whole(writer(**how), letters)
    assert (again.content, again.reasoning, called(again)) == (found.content, found.reasoning, called(found))
    assert again.finish_reason == found.finish_reason


@cache
def letter(byte: int) -> int:
    """The token that is this byte alone."""
    spelling = Spelling.of(shared("qwen"))
    return next(token for token in range(len(shared("qwen"))) if spelling.bytes_of(token) == bytes([byte]))


def test_text_generation_goes_on_from_its_prompt() -> None:
    """Text up to a stop string, with each token for the details; special tokens have no text of their own."""
    tokenizer = shared("llama")
    one = TextWriter(tokenizer, stop=["lazy"], prompt=tokenizer.encode("The"))
    told = [one.write(written) for written in spelt(" quick<|eom_id|> fox lazy dog", "llama")]
    assert "".join(piece.text for piece in told) == " quick fox "
    assert [piece.finish_reason for piece in told if piece.finish_reason] == ["stop"]
    special = [piece.token["text"] for piece in told if piece.token and piece.token["special"]]
    assert special == ["<|eom_id|>"]
    assert one.over


@pytest.mark.parametrize("ending", ["stop", "length"])
def test_text_generation_ends_as_the_engine_says(ending: Ending) -> None:
    """Cut by length, or stopped by a token, which is told and has no part in the text."""
    told = [*map(TextWriter(shared("llama")).write, spelt("A fox", "llama", ending=ending))]
    assert "".join(piece.text for piece in told) == "A fox"
    assert told[-1].finish_reason == ending
    assert all(piece.token and piece.token["id"] is not None for piece in told)


def test_text_generation_ends_without_a_token() -> None:
    """What was held back comes with the end."""
    one = TextWriter(shared("llama"), stop=["fox trot"])
    told = [
        one.write(written) for written in [*spelt("A fox", "llama", ending="length")[:-1], Written(1, None, "length")]
    ]
    assert told[-1].token is None
    assert told[-1].finish_reason == "length"

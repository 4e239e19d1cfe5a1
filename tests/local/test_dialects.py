"""Calls of tools are found in what a model writes, in each family's way of writing them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from cutting import calls, cuts, of, raw, run
from families import TIME, WEATHER, family, shared
from hypothesis import given, settings
from hypothesis import strategies as st

from hfclient.local.dialects.arguments import Asked, fitted, offers_of
from hfclient.local.dialects.choosing import dialect_of
from hfclient.local.dialects.deepseek import DEEPSEEK
from hfclient.local.dialects.dialect import Dialect
from hfclient.local.dialects.gemma import GEMMA, signature
from hfclient.local.dialects.hermes import HERMES, QWEN_CODER
from hfclient.local.dialects.llama import LLAMA, PYTHONIC
from hfclient.local.dialects.mistral import MISTRAL
from hfclient.local.pieces import Call, Malformed, Markup, Piece, Text
from hfclient.local.template import Template

DIALECTS = [HERMES, QWEN_CODER, GEMMA, LLAMA, PYTHONIC, MISTRAL, DEEPSEEK]
TOOLS = [WEATHER, TIME]

every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)

RESPONSE_TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"\s*<\|call>call:(?P<name>\w+)",
            "close": "<call|>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
        "content": {"close": ["<|im_end|>"], "content": "text"},
    },
}


def read(dialect: Dialect, text: str, tools: list[dict[str, Any]] = TOOLS) -> list[Piece]:
    pieces = run(dialect.parser(tools), [text])
    assert raw(pieces) == text
    return pieces


def paris(**more: Any) -> tuple[str, str]:
    return "get_weather", json.dumps({"city": "Paris", **more}, ensure_ascii=False)


CALLS: list[tuple[Dialect, str, list[tuple[str, str]]]] = [
    (HERMES, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>', [paris()]),
    (HERMES, '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}', [paris()]),  # never closed
    (HERMES, "<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Paris', 'metric': True}}</tool_call>",
     [paris(metric=True)]),
    (HERMES, '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>', [paris()]),
    (HERMES, '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}}\n</tool_call>', [paris()]),
    (HERMES, '<tool_call>{"name": "get_time", "arguments": {}}\n{"name": "get_weather", "arguments": {"city": "Paris"}}'
     "</tool_call>", [("get_time", "{}"), paris()]),
    (HERMES, '<tool_call>[{"name": "get_time", "arguments": {}}, {"name": "get_time", "arguments": null}]</tool_call>',
     [("get_time", "{}"), ("get_time", "{}")]),
    (HERMES, '<tool_call>{"name": "x", "arguments": {"a": "</tool_call>\\"}"}}</tool_call>',
     [("x", '{"a": "</tool_call>\\"}"}')]),
    (HERMES, '<tool_call>{"name": "unknown", "arguments": {"a": [1, 2.5, null]}}</tool_call>',
     [("unknown", '{"a": [1, 2.5, null]}')]),
    (HERMES, '<tool_call>{"name": "x", "arguments": {"a": "two\nlines"}}</tool_call>',
     [("x", '{"a": "two\\nlines"}')]),
    (QWEN_CODER, "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n"
     "</parameter>\n</function>\n</tool_call>", [paris(days=3)]),
    (QWEN_CODER, "<function=get_weather><parameter=city>Paris</parameter></function>", [paris()]),
    (QWEN_CODER, "<tool_call><function=x><parameter=a>\n  indented\nlines\n</parameter></function></tool_call>",
     [("x", '{"a": "  indented\\nlines"}')]),
    (QWEN_CODER, "<tool_call><function=get_time></function></tool_call>", [("get_time", "{}")]),
    (QWEN_CODER, "<tool_call><function=get_weather><parameter=city>3</parameter><parameter=metric>True</parameter>"
     "</function></tool_call>", [("get_weather", '{"city": "3", "metric": true}')]),
    (GEMMA, "```tool_code\nget_weather(city='Paris', days=3)\n```", [paris(days=3)]),
    (GEMMA, "```tool_code\nget_weather('Paris', 3)\n```", [paris(days=3)]),
    (GEMMA, "```tool_code\nget_weather('Paris', metric=true)\n```", [paris(metric=True)]),
    (GEMMA, "```tool_code\nprint(get_weather(city=\"Paris\"))\n```", [paris()]),
    (GEMMA, "```tool_code\nweather = default_api.get_weather(city='Paris')\n```", [paris()]),
    (GEMMA, "```tool_code\n[get_weather(city='Paris'), get_time()]\n```", [paris(), ("get_time", "{}")]),
    (GEMMA, "```tool_code\nget_time()\nget_weather(**{'city': 'Paris'})\n```", [("get_time", "{}"), paris()]),
    (GEMMA, "```tool_code\nget_weather --city Paris --days 3\n```", [paris(days=3)]),
    (GEMMA, "```tool_code\nget_weather city=Paris days=3\n```", [paris(days=3)]),
    (GEMMA, "```tool_code\nget_weather Paris --days=3 --metric\n```", [paris(days=3, metric=True)]),
    (GEMMA, "```tool_code\nget_weather 'Paris' 3\nget_time\n```", [paris(days=3), ("get_time", "{}")]),
    (GEMMA, '```tool_code\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```', [paris()]),
    (GEMMA, "```tool_code\nget_weather(city='``` Paris')\n```", [("get_weather", '{"city": "``` Paris"}')]),
    (GEMMA, '```tool_code\nget_weather(city="""```"\nParis""")\n```', [("get_weather", '{"city": "```\\"\\nParis"}')]),
    (GEMMA, "```tool_code\nget_weather --city L'Aquila\n```", [("get_weather", '{"city": "L\'Aquila"}')]),
    (HERMES, '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>', [paris()]),
    (DEEPSEEK, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n'
     '{"city": "Paris"}\n```<｜tool▁call▁end｜>\n'
     "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n```json\n{}\n```<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>", [paris(), ("get_time", "{}")]),
    (DEEPSEEK, '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}'
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", [paris()]),
    (LLAMA, '{"name": "get_weather", "parameters": {"city": "Paris"}}', [paris()]),
    (LLAMA, '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}', [paris()]),
    (LLAMA, '{"name": "get_time", "parameters": {}}; {"name": "get_weather", "parameters": {"city": "Paris"}}',
     [("get_time", "{}"), paris()]),
    (LLAMA, '{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}', [paris()]),
    (LLAMA, '{"type": "function", "function": "get_weather", "parameters": {"city": "Paris"}}', [paris()]),
    (LLAMA, '<function=get_weather>{"city": "Paris"}</function>', [paris()]),
    (LLAMA, '<|python_tag|>brave_search.call(query="Paris")', [("brave_search", '{"query": "Paris"}')]),
    (PYTHONIC, "[get_weather(city='Paris'), get_time()]", [paris(), ("get_time", "{}")]),
    (PYTHONIC, '<|python_start|>[get_weather(city="Paris")]<|python_end|>', [paris()]),
    (PYTHONIC, "[x(a=[1, {'b': (2, -3)}], c=None)]", [("x", '{"a": [1, {"b": [2, -3]}], "c": null}')]),
    (MISTRAL, '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "abcdefghi"}]', [paris()]),
    (MISTRAL, '[TOOL_CALLS] {"name": "get_weather", "arguments": {"city": "Paris"}}', [paris()]),
    (MISTRAL, '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]get_time[ARGS]{}',
     [paris(), ("get_time", "{}")]),
    (MISTRAL, '[TOOL_CALLS]get_weather[CALL_ID]abc[ARGS]{"city": "Paris"}', [paris()]),
    (MISTRAL, '[TOOL_CALLS]get_weather{"city": "Paris"}', [paris()]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "text", "found"), CALLS)
def test_calls_are_found(dialect: Dialect, text: str, found: list[tuple[str, str]]) -> None:
    """Each way of writing calls gives their names, and their arguments as JSON; no markup is left."""
    pieces = read(dialect, text)
    assert calls(pieces) == found
    assert of(Text, pieces) + of(Malformed, pieces) == ""


@pytest.mark.parametrize(("dialect", "text", "found"), CALLS)
@given(st.data())
@settings(max_examples=10)
def test_where_a_call_is_cut_does_not_matter(
    dialect: Dialect, text: str, found: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Calls come out the same however their text was cut, with text before and after them."""
    text = data.draw(st.sampled_from([text, text + "\nSo much for that.", text + "\n\n" + text]))
    if not any(block.first for block in dialect.blocks):
        text = data.draw(st.sampled_from(["", "Let me see.\n", "a < b [c] "])) + text
    assert run(dialect.parser(TOOLS), data.draw(cuts(text))) == read(dialect, text)


SOUP = {
    "hermes": ["<tool_call>", "</tool_call>", '{"name": "f", "arguments": {}}', "{", "}", '"', "'", "\\", "<tool", "x"],
    "qwen-coder": ["<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=a>", "</parameter>", "1"],
    "gemma": ["```tool_code\n", "```", "f(a=1)", "get_weather --city x", "'", '"', "(", ")", "``", "\\", '"""'],
    "llama": ['{"name": "f", "parameters": {}}', '{"name"', "<|python_tag|>", "<|", "{", "}", ";", '"', "f()"],
    "pythonic": ["[f(a=1)]", "[", "f(", ")", "]", "<|python_start|>", "<|python_end|>", "'", "x", '{"name": 1}'],
    "deepseek": [
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
        "function",
        "f",
        "```json",
        "```",
        "{}",
        "{",
        "<",
    ],
    "mistral": ["[TOOL_CALLS]", '[{"name": "f", "arguments": {}}]', "f[ARGS]{}", "[", "]", "{", "}", "[TOOL_", '"'],
}


@every_dialect
@given(st.data())
@settings(max_examples=100)
def test_nothing_is_lost_of_anything(dialect: Dialect, data: st.DataObject) -> None:
    """Whatever is written, well or badly, the pieces are all of it, and the same however it was cut."""
    bits = st.lists(st.sampled_from([*SOUP[dialect.name], " ", "\n"]), max_size=10)
    text = "".join(data.draw(bits))
    assert run(dialect.parser(TOOLS), data.draw(cuts(text))) == read(dialect, text)


@every_dialect
@given(st.text(max_size=60))
def test_plain_text_is_text(dialect: Dialect, text: str) -> None:
    """What holds no call comes out as it is."""
    assert of(Text, read(dialect, text)) == text


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (HERMES, '<tool_call>{"name": }</tool_call>'),
        (HERMES, "<tool_call>nothing of the kind</tool_call>"),
        (HERMES, '<tool_call>{"arguments": {}}</tool_call>'),
        (HERMES, '<tool_call>{"name": "f"}</tool_call>'),
        (HERMES, '<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
        (HERMES, '<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>'),
        (HERMES, '<tool_call>{"name": "f", "arguments": {"a": 1'),
        (HERMES, "<tool_call>[]</tool_call>"),
        (HERMES, '<tool_call>{"name": "f", "arguments": {"a": ' + "[" * 10_000 + "]" * 10_000 + "}}</tool_call>"),
        (HERMES, '<tool_call>{"name": "f, "arguments": {}}</tool_call> and more'),
        (QWEN_CODER, "<tool_call><function=f>and</function></tool_call>"),
        (QWEN_CODER, "<tool_call>what? <function=f></function></tool_call>"),
        (GEMMA, "```tool_code\nimport os\nos.system('ls')\n```"),
        (GEMMA, "```tool_code\nget_weather(city=open('x'))\n```"),
        (GEMMA, "```tool_code\nget_weather('a', 1, True, 2)\n```"),
        (GEMMA, "```tool_code\nf(a={1, 2})\n```"),
        (GEMMA, "```tool_code\n(lambda: 1)()\n```"),
        (GEMMA, "```tool_code\n```"),
        (LLAMA, '<|python_tag|>{"name": "f", "parameters": {"a"'),
    ],
)
def test_a_malformed_call_is_given_as_text(dialect: Dialect, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is told as it was written, with a warning that does not repeat it."""
    with caplog.at_level(logging.WARNING, logger="hfclient"):
        pieces = read(dialect, text)
    assert calls(pieces) == []
    assert of(Malformed, pieces)
    assert of(Markup, pieces) == ""
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "tool call" in record.getMessage()
    assert text not in record.getMessage()


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (LLAMA, '{"name": "Paris", "country": "France"}'),
        (LLAMA, '{"answer": 42}'),
        (LLAMA, 'An object: {"name": "f", "parameters": {}}'),
        (PYTHONIC, "[see (1)](http://example.com)"),
        (PYTHONIC, "[f(x + 1)]"),
        (PYTHONIC, "A list: [f(a=1)]"),
        (MISTRAL, "[TOOL_CALLS] was not meant"),
    ],
)
def test_what_only_looks_like_a_call_is_text(dialect: Dialect, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Bare JSON and bare lists are calls only at the beginning, where they name a function; nobody is warned."""
    assert read(dialect, text) == [Text(text)]
    assert caplog.records == []


def test_text_streams_until_a_call_may_begin() -> None:
    """Only the beginning of a tag is held back, with the white space before it."""
    parser = HERMES.parser(TOOLS)
    assert parser.feed("Let me see") == [Text("Let me see")]
    assert parser.feed(".\n") == [Text(".")]
    assert parser.feed("<b>") == [Text("\n<b>")]
    assert parser.feed("\n<tool_") == []
    assert parser.feed('call>{"name": "get_time", "arguments": {}') == []
    (call,) = parser.feed("}")  # it is whole before its tag is closed
    assert isinstance(call, Call)
    assert parser.feed("\n</tool") == [Markup("\n")]
    assert parser.feed("_call>\nDone.") == [Markup("</tool_call>"), Markup("\n"), Text("Done.")]
    assert parser.finish() == []


def test_each_call_of_a_block_has_its_place() -> None:
    """The first call has the text of the block, so that all pieces together are the output."""
    text = '[TOOL_CALLS][{"name": "a", "arguments": {}}, {"name": "b", "arguments": {}}]'
    assert read(MISTRAL, text) == [Call("a", "{}", text), Call("b", "{}")]


@every_dialect
def test_what_is_written_into_a_history_can_be_read(dialect: Dialect) -> None:
    """Calls are written as the dialect reads them, and nothing about them is lost."""
    asked = [Asked("get_weather", {"city": 'L\'Aquila "x"\n', "days": 3, "metric": True}), Asked("get_time", {})]
    found = calls(read(dialect, dialect.call(asked)))
    assert [(name, json.loads(arguments)) for name, arguments in found] == [(n, {**a}) for n, a in asked]


@every_dialect
def test_an_offer_names_all_there_is(dialect: Dialect) -> None:
    """The text that offers tools holds their names, their parameters and what they are for; results are in it too."""
    offer = dialect.offer(TOOLS)
    assert all(text in offer for text in ("get_weather", "get_time", "city", "metric", "Tell the weather of a city."))
    assert "21 degrees" in dialect.result("get_weather", "21 degrees")


def test_a_signature_reads_as_python() -> None:
    """A tool is told to Gemma as the head of a function: what must be given first, the rest with defaults."""
    schema = {
        "type": "object",
        "properties": {
            "unit": {"enum": ["C", "F"], "default": "C"},
            "places": {"type": "array", "items": {"type": "string"}, "description": "Where."},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["places"],
    }
    (offer,) = offers_of([{"function": {"name": "look", "description": "Look.", "parameters": schema}}]).values()
    assert signature(offer) == (
        "def look(places: list[str], unit: Literal['C', 'F'] = 'C', limit: int | None = None):\n"
        '    """Look.\n\n    Args:\n        places: Where.\n    """\n'
    )
    (bare,) = offers_of([TIME]).values()
    assert signature(bare) == "def get_time():\n    ...\n"


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("3", {"type": "integer"}, 3),
        ("3.0", {"type": "integer"}, 3),
        ("3.5", {"type": "integer"}, "3.5"),
        ("3.5", {"type": "number"}, 3.5),
        ("NaN", {"type": "number"}, "NaN"),
        ("True", {"type": "boolean"}, True),
        ("yes", {"type": "boolean"}, "yes"),
        ("None", {"type": ["string", "null"]}, None),
        ("5", {"type": "string"}, "5"),
        ("5", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, 5),
        ('["a"]', {"type": "array"}, ["a"]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("{a", {"type": "object"}, "{a"),
        ("5", {}, "5"),
        ("5", None, "5"),
    ],
)
def test_texts_become_what_the_schema_says(text: str, schema: dict[str, Any] | None, value: object) -> None:
    """Where a style has no types, the schema gives them; what does not fit stays a text."""
    found = fitted(text, schema)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "dialect"),
    [("qwen", HERMES), ("gemma", GEMMA), ("llama", LLAMA), ("mistral", MISTRAL), ("deepseek", HERMES)],
)
def test_each_family_speaks_its_dialect(name: str, dialect: Dialect) -> None:
    """The template and the vocabulary tell; Hermes is what is spoken where they do not."""
    tokenizer = shared(name)
    assert dialect_of(tokenizer, Template.of(tokenizer)) is dialect


@pytest.mark.parametrize(
    ("told", "dialect"),
    [
        ("<tool_call>\n<function=f>\n<parameter=a>", QWEN_CODER),
        ("<|python_start|>", PYTHONIC),
        ("[func_name1(params_name1=params_value1)]", PYTHONIC),
        ("```tool_code", GEMMA),
        ("<｜tool▁call▁begin｜>", DEEPSEEK),
    ],
)
def test_a_template_tells_its_dialect(told: str, dialect: Dialect) -> None:
    """What stands in the template counts for more than the vocabulary."""
    tokenizer = family("qwen", "{# " + told + " #}{{ messages[0].content }}")
    assert dialect_of(tokenizer, Template.of(tokenizer)) is dialect


def with_response_template(**changes: Any) -> tuple[Any, Dialect]:
    tokenizer = family("qwen")
    fields = {**RESPONSE_TEMPLATE["fields"], **changes}
    tokenizer.response_template = {**RESPONSE_TEMPLATE, "fields": fields}
    return tokenizer, dialect_of(tokenizer, Template.of(tokenizer))


def test_the_tokenizers_own_response_template_comes_first() -> None:
    """Where the tokenizer says how calls are read, it is asked; tools are offered as the family's dialect has it."""
    tokenizer, dialect = with_response_template()
    text = 'Let me see.\n<|call>call:get_weather{"city": "Paris"}<call|><|call>call:get_time{}<call|>'
    pieces = read(dialect, text)
    assert calls(pieces) == [paris(), ("get_time", "{}")]
    assert of(Text, pieces) == "Let me see."
    assert dialect.offer is HERMES.offer
    assert any("<|call>" in mark for mark in dialect.markup)
    assert Template.of(tokenizer).think == ("<think>", "</think>")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_response_template_loses_nothing(data: st.DataObject) -> None:
    """Whatever is written, the pieces are all of it, and the same however it was cut."""
    dialect = RESPONDING
    bits = ["<|call>call:f", "<call|>", "{}", '{"a": 1}', "{", "x", " ", "<|call>", "<|"]
    text = "".join(data.draw(st.lists(st.sampled_from(bits), max_size=8)))
    assert run(dialect.parser(TOOLS), data.draw(cuts(text))) == read(dialect, text)


_, RESPONDING = with_response_template()


@pytest.mark.parametrize(
    "calls_field",
    [
        {"open": ["<c>", "<call>"], "close": ["</c>", "</call>"], "content": "json", "repeats": True},
        {"open": "<call>", "close_pattern": r"</call>\s*", "content": "json", "repeats": True},
    ],
)
def test_response_templates_have_texts_and_patterns(calls_field: dict[str, Any]) -> None:
    """Marks are texts, lists of texts, or patterns."""
    shape = {"type": "function", "function": "{content}"}
    _, dialect = with_response_template(tool_calls={**calls_field, "transform": shape})
    pieces = read(dialect, '<call>{"name": "get_weather", "arguments": {"city": "Paris"}}</call> Done.')
    assert calls(pieces) == [paris()]
    assert of(Text, pieces).strip() == "Done."


def test_a_response_template_without_calls_leaves_the_dialect() -> None:
    """One that only says how thoughts are told apart is heeded for those."""
    tokenizer = family("qwen")
    fields = {"thinking": {"open": "<mull>", "close": "</mull>", "content": "text"}, "content": {"content": "text"}}
    tokenizer.response_template = {"defaults": {}, "start_anchor": "x", "fields": fields}
    assert dialect_of(tokenizer, Template.of(tokenizer)) is HERMES
    assert Template.of(tokenizer).think == ("<mull>", "</mull>")

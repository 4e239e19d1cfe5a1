"""A tokenizer that says itself how its model's calls are to be read: by a response template of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from hfclient.extras import extra
from hfclient.local.dialects.arguments import Asked, Offers
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.parser import Block, Body, Read
from hfclient.local.marks import Mark
from hfclient.local.shapes import fields_of

regex: Any = extra("regex", "'hfclient[torch]'", needed_by="A response template")

_CALLS = "tool_calls"


def with_response_template(base: Dialect, tokenizer: Any) -> Dialect:
    """The dialect, its calls read by the tokenizer's own template; tools are offered as the base dialect has it."""
    template = fields_of(getattr(tokenizer, "response_template", None))
    calls = fields_of(fields_of(template.get("fields")).get(_CALLS))
    openers = _marks(calls, "open")
    if not openers:
        return base
    closers = _marks(calls, "close")

    def blocks_for(tools: Tools) -> tuple[Block, ...]:
        read = _reader(tokenizer, {**template, "fields": {_CALLS: calls}}, [*tools])
        return tuple(Block(opener, _one_of(closers), read, ends="plain") for opener in openers)

    return replace(base, name="response-template", blocks_for=blocks_for, markup=tuple(_texts(calls)))


def _marks(field: Mapping[str, Any], side: str) -> list[Mark]:
    """The marks on one side of a field: texts, or a pattern."""
    if pattern := field.get(f"{side}_pattern"):
        return [regex.compile(pattern, regex.DOTALL)]
    value: Any = field.get(side) or ()
    return [value] if isinstance(value, str) else sorted(value, key=len, reverse=True)


def _one_of(marks: list[Mark]) -> Mark:
    if len(marks) < 2:  # noqa: PLR2004
        return marks[0] if marks else ""
    return regex.compile("|".join(regex.escape(mark) for mark in marks))


def _texts(value: Any) -> Iterable[str]:
    """All texts in a field, patterns as they read without their backslashes: markup tokens are written in them."""
    match value:
        case str():
            yield value.replace("\\", "")
        case dict():
            for each in cast("dict[str, Any]", value).values():
                yield from _texts(each)
        case list():
            for each in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _texts(each)
        case _:
            pass


def _reader(tokenizer: Any, template: Mapping[str, Any], tools: list[Mapping[str, Any]]) -> Read:
    def read(body: Body, offers: Offers) -> list[Asked]:
        parsed: Mapping[str, Any] = tokenizer.parse_response(body.raw, template, prefix="", tools=tools)
        return [_asked(each) for each in cast("Iterable[Any]", parsed.get(_CALLS) or ())]

    return read


def _asked(call: Any) -> Asked:
    function = call["function"]
    name, arguments = function["name"], function["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError("it has no name, or its arguments are no object")  # noqa: TRY004  the text is at fault
    return Asked(name, cast("dict[str, Any]", arguments))

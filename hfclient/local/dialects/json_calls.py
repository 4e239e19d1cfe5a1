"""Calls written as JSON: a name, and an object of arguments under one of the words that models use for it."""

from __future__ import annotations

import ast
import json
from typing import Any, cast

from hfclient.local.dialects.arguments import Asked, Offers
from hfclient.local.dialects.parser import Body
from hfclient.local.shapes import JsonObject

_ARGUMENTS = ("arguments", "parameters", "args")


def read_json(body: Body, offers: Offers) -> list[Asked]:
    """The calls in a JSON object or list; or the arguments alone, where the name stands before them."""
    value = loaded(body.text)
    if body.name:
        return [Asked(body.name, _object(value))]
    return [_call(each) for each in (cast("list[object]", value) if isinstance(value, list) else [value])]


def loaded(text: str) -> Any:
    """JSON as models write it: with line breaks in strings, or as a Python literal."""
    try:
        return json.loads(text, strict=False, parse_constant=_no_number)
    except ValueError as error:
        if "'" not in text:
            raise
        try:
            return ast.literal_eval(text.strip())
        except SyntaxError:
            raise error from None


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number in JSON")


def _call(value: object) -> Asked:
    call = _object(value)
    function = call.get("function")
    if isinstance(function, dict):
        return _call(cast("object", function))
    name = call.get("name") or function
    if not isinstance(name, str) or not name:
        raise ValueError("it has no name")
    arguments = next((call[key] for key in _ARGUMENTS if call.get(key) is not None), None)
    if arguments is None and not call.keys() & {*_ARGUMENTS}:
        raise ValueError("it has no arguments")
    if isinstance(arguments, str):
        arguments = loaded(arguments)
    return Asked(name, _object({} if arguments is None else arguments))


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is wanted, not {type(value).__name__}")  # noqa: TRY004  the text is at fault
    return cast("JsonObject", value)

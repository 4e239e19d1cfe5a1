"""Answers in a shape the caller chose: a pydantic model out as `response_format`, and back in as an instance."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hfclient.errors import InputError, OutputParseError, RefusalError
from hfclient.functions import Schema, each_schema, is_model, schema_of
from hfclient.types import ChatCompletion, ParsedChatCompletion
from hfclient.types.base import first_fault

ModelT = TypeVar("ModelT", bound=BaseModel)

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*)```", re.DOTALL | re.IGNORECASE)


def as_response_format(value: Mapping[str, Any] | type[BaseModel]) -> dict[str, Any]:
    """Give a response format as the API takes it; a dict passes as it is, a pydantic model becomes a strict schema."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Mapping):
        return {**value}
    if not is_model(value):
        found = f"the class {value.__name__}" if inspect.isclass(value) else f"of type {type(value).__name__}"
        advice = 'Pass a pydantic model class, or a dict such as {"type": "json_object"}.'
        raise InputError(f"response_format is {found}.", advice=advice)
    schema = each_schema(_strict, schema_of(value))
    return {"type": "json_schema", "json_schema": {"name": _safe_name(value), "schema": schema, "strict": True}}


def _strict(schema: Schema) -> Schema:
    """Write one schema as servers with a strict mode want it: nothing optional, nothing more, no default."""
    strict = {key: value for key, value in schema.items() if key not in {"default", "discriminator"}}
    if "oneOf" in strict:
        strict["anyOf"] = strict.pop("oneOf")
    if "$ref" in strict and strict.keys() - {"$ref", "$defs"}:
        # They take nothing beside a reference, and a description often stands there.
        strict["anyOf"] = [{"$ref": strict.pop("$ref")}]
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    if "properties" in strict:
        strict["required"] = list(strict["properties"])
    return strict


def _safe_name(model: type[BaseModel]) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", model.__name__).strip("_")[:64] or "response"


def parse_completion(model: type[ModelT], completion: ChatCompletion) -> ParsedChatCompletion[ModelT]:
    """Read the answer's text as the model; an error keeps the text and the whole answer."""
    text = completion.text
    if refusal := completion.message.refusal:
        raise RefusalError(f"The model declined: {refusal}", text=refusal, completion=completion)
    if completion.finish_reason == "length":
        raise OutputParseError(
            f"The answer was cut off before it was a whole {model.__name__}.",
            advice="Raise max_tokens; a reasoning model spends some of them on thinking.",
            text=text,
            completion=completion,
        )
    if completion.tool_calls and not text.strip():
        names = ", ".join(call.function.name for call in completion.tool_calls)
        advice = "Run the tools and call again; the calls are in this error's completion."
        problem = f"The model called tools ({names}) instead of answering with a {model.__name__}."
        raise OutputParseError(problem, advice=advice, text=text, completion=completion)
    try:
        return ParsedChatCompletion.of(completion, _validated(model, text))
    except ValidationError as error:
        problem = f"The answer does not fit {model.__name__}: {first_fault(error)}"
        raise OutputParseError(problem, text=text, completion=completion) from error


def _validated(model: type[ModelT], text: str) -> ModelT:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        fenced = _FENCE.search(text)
        if fenced is None or error.errors()[0]["type"] != "json_invalid":
            raise
    return model.model_validate_json(fenced[1])
